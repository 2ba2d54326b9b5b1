"""The agent's control socket, ``STATE_DIR/control.sock``, mode 0600: commands reach the running daemon by it.

It lies outside ``run``, which other containers may be given. Whoever may open it may write the state
folder anyway: a document that comes by it is judged like every other.
"""

import http.client
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import msgspec

from agent.endpoints.unix_client import UnixHttpConnection
from agent.endpoints.unix_server import LocalSocket, UnixHandler, UnixServer
from agent.errors import ControlUnavailableError, DocumentRefusedError, StateWriteError
from agent.trust.acceptance import ALREADY_HELD, Refused
from contract.desired import Desired
from contract.encoding import decode, encode
from contract.errors import Problem
from contract.messages import Reported

log = logging.getLogger(__name__)

SOCKET = "control.sock"
DOCUMENT_PATH = "/v1/document"
REPORTED_PATH = "/v1/reported"
MAX_DOCUMENT_BYTES = 1024 * 1024  # what the hub's broker lets through
TIMEOUT_S = 30.0


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """A document that is in force; ``accepted`` is false where it was before."""

    generation: int
    rollout: str
    accepted: bool


Offer = Callable[[bytes], Desired | Refused]


@dataclass(frozen=True)
class Doors:
    """What the daemon does for commands: judge a document, tell the one in force, and its last report."""

    offer: Offer
    held: Callable[[], Desired | None]
    reported: Callable[[], Reported | None]


def applied(envelope: bytes, offer: Offer, held: Callable[[], Desired | None]) -> Applied:
    """Offer a document that a person gave; raises `DocumentRefusedError` where it is not acceptable."""
    verdict = offer(envelope)
    if isinstance(verdict, Desired):
        return Applied(generation=verdict.generation, rollout=verdict.rollout, accepted=True)
    document = held()
    if verdict.code != ALREADY_HELD or document is None:
        raise DocumentRefusedError(verdict.code, verdict.reason)
    return Applied(generation=document.generation, rollout=document.rollout, accepted=False)


class Control(LocalSocket):
    """Serves the control socket until closed."""

    def __init__(self, state_dir: Path, doors: Doors) -> None:
        super().__init__(state_dir / SOCKET, lambda listener: _Server(listener, doors))


class _Server(UnixServer):
    def __init__(self, listener: socket.socket, doors: Doors) -> None:
        super().__init__(listener, _Handler, "control")
        self.doors = doors


class _Handler(UnixHandler):
    server: _Server
    max_body_bytes = MAX_DOCUMENT_BYTES

    def do_GET(self) -> None:
        reported = self.server.doors.reported() if self.path == REPORTED_PATH else None
        if reported is None:
            self._problem(HTTPStatus.NOT_FOUND, "not-found", "nothing is there", retriable=False)
        else:
            self._answer(HTTPStatus.OK, encode(reported))

    def do_POST(self) -> None:
        body = self._read_body()
        if body is None:
            return
        if self.path != DOCUMENT_PATH:
            self._problem(HTTPStatus.NOT_FOUND, "not-found", "no such path", retriable=False)
            return
        try:
            self._answer(
                HTTPStatus.OK, encode(applied(body, self.server.doors.offer, self.server.doors.held))
            )
        except DocumentRefusedError as error:
            log.warning("refused a document from a file: %s [%s]", error, error.code)
            self._refuse(HTTPStatus.CONFLICT, error)
        except StateWriteError as error:
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, error)


def hand_over(state_dir: Path, envelope: bytes) -> Applied:
    """Give a document to the running daemon.

    Raises `DocumentRefusedError`, `StateWriteError`, or `ControlUnavailableError` where it does not answer.
    """
    status, body = ask(state_dir, DOCUMENT_PATH, envelope)
    if status == HTTPStatus.OK:
        return decode(body, Applied, what="answer of the agent")
    problem = decode(body, Problem, what="answer of the agent")
    if problem.code == StateWriteError.code:
        raise StateWriteError(problem.detail)
    raise DocumentRefusedError(problem.code, problem.detail)


def ask(state_dir: Path, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Ask the running daemon: GET, or POST where there is a body; raises `ControlUnavailableError`."""
    connection = UnixHttpConnection(state_dir / SOCKET, timeout_s=TIMEOUT_S)
    try:
        connection.request("GET" if body is None else "POST", path, body)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise ControlUnavailableError(
            f"the agent that works on this state folder does not answer ({error})",
            where=str(state_dir / SOCKET),
            fix="Try again; if it stays so, restart the agent.",
        ) from error
    finally:
        connection.close()
