"""Docker's API, which Podman has too, over the engine's Unix socket.

No version is in a path: the engine takes its newest.
"""

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from agent.drivers.port import DriverError
from agent.endpoints.unix_client import UnixHttpConnection

ANSWER_MAX: Final = 16 * 1024 * 1024
REASON_MAX: Final = 300
FINE: Final = 300
LOOKS: Final = 5
LOOK_AGAIN_S: Final = 0.1


class EngineUnreachableError(DriverError):
    """The container engine does not answer on its socket, or not in time."""

    code = "engine-unreachable"
    retriable = True


@dataclass(frozen=True)
class Answer:
    """What the engine said."""

    status: int
    body: bytes

    @property
    def fine(self) -> bool:
        """Was it done?"""
        return self.status < FINE

    def json(self) -> Any:  # noqa: ANN401  whatever it is
        """Return the body; raises `DriverError` where it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise DriverError("the engine's answer is not JSON", where="engine") from error

    def reason(self) -> str:
        """Return the engine's own words of what went wrong, shortened."""
        try:
            text = str(json.loads(self.body)["message"])
        except (ValueError, KeyError, TypeError):
            text = self.body.decode(errors="replace")
        return " ".join(text.split())[-REASON_MAX:] or f"HTTP {self.status}"


class Engine:
    """The engine behind ``socket``; each answer may take ``timeout_s``. Safe to use from several threads."""

    def __init__(self, socket: Path, *, timeout_s: float) -> None:
        self.socket = socket
        self._timeout_s = timeout_s

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        query: Mapping[str, object] | None = None,
        but: tuple[int, ...] = (),
        where: str = "engine",
    ) -> Answer:
        """Ask; raises `DriverError` with the engine's reason where it refuses, but for ``but``.

        A look that the engine itself failed at is tried again: Podman does where a container ends meanwhile.
        """
        answer = self._once(method, path, body, query)
        for _ in range(LOOKS - 1 if method == "GET" else 0):
            if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                break
            time.sleep(LOOK_AGAIN_S)
            answer = self._once(method, path, body, query)
        return self._judged(answer, but, where)

    def _once(
        self, method: str, path: str, body: Mapping[str, object] | None, query: Mapping[str, object] | None
    ) -> Answer:
        connection = self.connection()
        try:
            data = None if body is None else json.dumps(body).encode()
            headers = {} if data is None else {"Content-Type": "application/json"}
            connection.request(method, with_query(path, query), data, headers)
            response = connection.getresponse()
            return Answer(response.status, response.read(ANSWER_MAX))
        except (OSError, http.client.HTTPException) as error:
            raise self.unreachable(error) from error
        finally:
            connection.close()

    def send(self, path: str, kind: str, write: Callable[[Callable[[bytes], object]], None]) -> Answer:
        """POST a body of ``kind`` that ``write`` writes piece by piece."""
        connection = self.connection()

        def piece(data: bytes) -> int:
            if data:
                connection.send(b"%x\r\n%b\r\n" % (len(data), data))
            return len(data)

        try:
            connection.putrequest("POST", path)
            connection.putheader("Content-Type", kind)
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders()
            write(piece)
            connection.send(b"0\r\n\r\n")
            response = connection.getresponse()
            answer = Answer(response.status, response.read(ANSWER_MAX))
        except (OSError, http.client.HTTPException) as error:
            raise self.unreachable(error) from error
        finally:
            connection.close()
        return self._judged(answer, (), "engine")

    def connection(self, *, timeout_s: float | None = None) -> UnixHttpConnection:
        """Return a connection of its own, for an answer that is a stream."""
        return UnixHttpConnection(self.socket, timeout_s=self._timeout_s if timeout_s is None else timeout_s)

    def unreachable(self, error: Exception) -> EngineUnreachableError:
        """Return the error for an engine that does not answer."""
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        fix = "Start the engine, or set docker.socket."
        return EngineUnreachableError(
            f"the engine does not answer ({reason})", where=str(self.socket), fix=fix
        )

    @staticmethod
    def _judged(answer: Answer, but: tuple[int, ...], where: str) -> Answer:
        if answer.fine or answer.status in but or answer.status == HTTPStatus.NOT_MODIFIED:
            return answer
        fix = "Check the image's program, the module's limits, and the engine's own log."
        raise DriverError(f"the engine refused: {answer.reason()}", where=where, fix=fix)


def with_query(path: str, query: Mapping[str, object] | None) -> str:
    """Return a path with its query; what is not a text goes as JSON."""
    if not query:
        return path
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in query.items()}
    return f"{path}?{urlencode(texts)}"
