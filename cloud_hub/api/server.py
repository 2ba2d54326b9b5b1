"""The HTTPS server: uvicorn with client certificates, its signals left to the hub."""

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from cloud_hub.api.tls import TlsHttpProtocol

SHUTDOWN_GRACE_S = 5
# Longer than a client keeps a connection that it does not use (httpx: 5 s). The same five seconds here were
# a race: a request went out over a connection that the hub closed in that moment, and was not repeated.
KEEP_ALIVE_S = 20


class HttpsServer(uvicorn.Server):
    """Serves an application; `stop` ends it, signals are the hub's: it has more to shut down than HTTP."""

    def __init__(self, app: FastAPI, *, certificate: Path, key: Path, client_ca: Path) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=TlsHttpProtocol,
                ws="none",
                lifespan="off",
                ssl_certfile=str(certificate),
                ssl_keyfile=str(key),
                ssl_ca_certs=str(client_ca),
                ssl_cert_reqs=ssl.CERT_OPTIONAL,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # an address that a client writes itself is none
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    def stop(self) -> None:
        """End serving, in good order."""
        self.should_exit = True
