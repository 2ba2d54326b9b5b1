"""A camera that reads handwritten digits: sends held-out images to a scoring endpoint, one by one.

Open Inference Protocol v2 over HTTP on a Unix socket, or on a TCP port. One connection, reconnected where the
server closes it; a request is counted as refused when no answer came, whatever the reason.
"""

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.endpoints.unix_client import UnixHttpConnection

TIMEOUT_S = 10.0


@dataclass
class Tally:
    """What came of the requests; ``refused`` holds the reason of each that got no good answer."""

    sent: int = 0
    answered: int = 0
    refused: list[str] = field(default_factory=list)


class DigitsSensor:
    """Sends row ``i % len(images)`` of ``images`` (N x 64, float32) as request ``{name}-{i}``."""

    def __init__(
        self,
        name: str,
        endpoint: Path | tuple[str, int],
        model: str,
        images: npt.NDArray[np.float32],
        rate_hz: float,
    ) -> None:
        self._name = name
        self._endpoint = endpoint
        self._path = f"/v2/models/{model}/infer"
        self._images = images
        self._interval_s = 1 / rate_hz
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sensor-{name}", daemon=True)
        self.tally = Tally()

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> Tally:
        """Finish the request in hand; return what came of all."""
        self._stopping.set()
        self._thread.join()
        return self.tally

    def _run(self) -> None:
        connection: http.client.HTTPConnection
        if isinstance(self._endpoint, Path):
            connection = UnixHttpConnection(self._endpoint, timeout_s=TIMEOUT_S)
        else:
            connection = http.client.HTTPConnection(*self._endpoint, timeout=TIMEOUT_S)
        due = time.monotonic()
        while not self._stopping.is_set():
            self._send(connection, self.tally.sent)
            due += self._interval_s
            self._stopping.wait(max(0.0, due - time.monotonic()))
        connection.close()

    def _send(self, connection: http.client.HTTPConnection, number: int) -> None:
        row = self._images[number % len(self._images)]
        body = json.dumps(
            {
                "id": f"{self._name}-{number}",
                "inputs": [
                    {"name": "image", "shape": [1, len(row)], "datatype": "FP32", "data": row.tolist()}
                ],
            }
        )
        self.tally.sent += 1
        try:
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self.tally.refused.append(f"{number}: {type(error).__name__}: {error}")
            return
        if response.status == http.client.OK:
            self.tally.answered += 1
        else:
            self.tally.refused.append(f"{number}: {response.status} {answer[:200]!r}")
