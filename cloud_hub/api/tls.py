"""Client certificates for the application: uvicorn's protocol, with the ASGI TLS extension's chain.

uvicorn leaves the TLS extension of ASGI ("TLS Extension", version 0.2) out; devices show their
certificate on the same port as people their tokens, so the scope must say who is there.
"""

import asyncio
import ssl
from typing import cast

from fastapi import Request

from cloud_hub.api.connection import BoundedHttpProtocol

CERTIFICATE = "headland.client_certificate"


class TlsHttpProtocol(BoundedHttpProtocol):
    """HTTP/1.1 whose scope carries the peer's verified certificate (DER) under `CERTIFICATE`."""

    _peer_der: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Look at the certificate once for each connection."""
        super().connection_made(transport)
        tls = cast(ssl.SSLObject | None, transport.get_extra_info("ssl_object"))
        self._peer_der = tls.getpeercert(binary_form=True) if tls is not None else None

    def on_message_begin(self) -> None:
        """Put it into each request's scope."""
        super().on_message_begin()
        if self._peer_der is not None:
            cast(dict[str, object], self.scope)[CERTIFICATE] = self._peer_der


def client_certificate(request: Request) -> bytes | None:
    """Return the DER of the certificate that the client showed and TLS verified, if any."""
    return cast(bytes | None, request.scope.get(CERTIFICATE))
