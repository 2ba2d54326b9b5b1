"""Answers with a part of something long (RFC 9110, section 14): one range of bytes."""

import re
from collections.abc import Callable, Iterator
from http import HTTPStatus

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")

Read = Callable[[int, int], Iterator[bytes]]
"""``read(first, last)`` yields these bytes, both ends included."""


def ranged(request: Request, size_bytes: int, read: Read, headers: dict[str, str] | None = None) -> Response:
    """Answer with what the request's ``Range`` names, or with everything; HEAD gets the headers alone."""
    first, last, status = 0, size_bytes - 1, HTTPStatus.OK
    asked = RANGE.fullmatch(request.headers.get("Range", ""))
    if asked is not None:
        first, last = int(asked[1]), min(int(asked[2] or last), last)
        if first > last:
            return Response(
                status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                headers={"Content-Range": f"bytes */{size_bytes}"},
            )
        status = HTTPStatus.PARTIAL_CONTENT
    told = {"Accept-Ranges": "bytes", "Content-Length": str(last - first + 1), **(headers or {})}
    if status is HTTPStatus.PARTIAL_CONTENT:
        told["Content-Range"] = f"bytes {first}-{last}/{size_bytes}"
    if request.method == "HEAD":
        return Response(headers=told, status_code=status, media_type="application/octet-stream")
    return StreamingResponse(read(first, last), status, told, "application/octet-stream")
