"""Answering with bytes that never change: whole, in part, or not at all (RFC 9110, sections 13 and 14)."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from http import HTTPStatus

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

RANGE = re.compile(r"bytes=(?!-$)(\d{0,18})-(\d{0,18})")

Read = Callable[[int, int], Iterator[bytes]]
"""``read(offset, length)``: yield that part of the bytes."""


def bytes_response(request: Request, read: Read, *, digest: str = "", size_bytes: int) -> Response:
    """Return bytes, or the part of them that a single ``Range`` asks for; their digest is the ETag.

    What may be written over has no ``digest``: it gets no ETag.
    """
    etag = f'"{digest}"' if digest else ""
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, no-transform"}
    if digest:
        headers |= {"ETag": etag, "Docker-Content-Digest": digest}
    if etag and etag in re.split(r"\s*,\s*", request.headers.get("If-None-Match", "")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    asked = request.headers.get("Range", "")
    if request.headers.get("If-Range", etag) != etag:
        asked = ""
    first, last = _part(asked, size_bytes)
    if first > last and size_bytes:
        headers["Content-Range"] = f"bytes */{size_bytes}"
        return Response(status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=headers)
    status = HTTPStatus.OK
    if RANGE.fullmatch(asked) and size_bytes:
        status = HTTPStatus.PARTIAL_CONTENT
        headers["Content-Range"] = f"bytes {first}-{last}/{size_bytes}"
    length = last - first + 1
    headers["Content-Length"] = str(length)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type="application/octet-stream")
    return StreamingResponse(_ahead(read(first, length)), status, headers, "application/octet-stream")


def _part(asked: str, size_bytes: int) -> tuple[int, int]:
    """Return the first and last position; first beyond last where the range is not there."""
    found = RANGE.fullmatch(asked)
    if found is None:
        return 0, size_bytes - 1
    if not found[1]:
        suffix = int(found[2])
        return (max(0, size_bytes - suffix), size_bytes - 1) if suffix else (1, 0)
    return int(found[1]), min(int(found[2] or size_bytes - 1), size_bytes - 1)


async def _ahead(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Pass chunks on, each read in a thread."""
    end = b""
    while chunk := await run_in_threadpool(next, chunks, end):
        yield chunk
