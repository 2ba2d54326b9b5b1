"""The registry as a client on the wire sees it: requests, and images pushed by them."""

from dataclasses import dataclass
from typing import Any

import httpx

from contract.digests import sha256
from tests.registry.content import Content

OCTETS = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class Wire:
    """A client with a token."""

    client: httpx.Client
    token: str

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request; ``path`` is below ``/v2/``, or a Location."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= more.pop("headers", {})
        where = path if path.startswith("/v2/") else f"/v2/{path}"
        return self.client.request(method, where, headers=headers, **more)

    def begin(self, repository: str) -> str:
        """Begin an upload; return its Location."""
        answer = self.ask("POST", f"{repository}/blobs/uploads/")
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"]

    def push_blob(self, repository: str, data: bytes) -> str:
        """Push a blob at once; return its digest."""
        answer = self.ask(
            "POST",
            f"{repository}/blobs/uploads/",
            params={"digest": sha256(data)},
            content=data,
            headers=OCTETS,
        )
        assert answer.status_code == 201, answer.text
        return sha256(data)

    def put_manifest(self, repository: str, content: Content, reference: str = "") -> httpx.Response:
        """Push a manifest, under its digest where no tag is given."""
        return self.ask(
            "PUT",
            f"{repository}/manifests/{reference or content.digest}",
            content=content.data,
            headers={"Content-Type": content.media_type},
        )

    def push(self, repository: str, content: Content, reference: str = "") -> str:
        """Push a manifest with its blobs; return its digest."""
        for data in content.blobs.values():
            self.push_blob(repository, data)
        answer = self.put_manifest(repository, content, reference)
        assert answer.status_code == 201, answer.text
        return content.digest


def code(answer: httpx.Response) -> str:
    """Return the specification's code of an error, which must have its form."""
    assert answer.headers["Content-Type"] == "application/json", answer.text
    (error,) = answer.json()["errors"]
    assert error["message"]
    return str(error["code"])


def said(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of an error."""
    return answer.status_code, code(answer)
