"""The agent's socket for one container: `contract.agent_api` over HTTP/1.1 on a Unix socket.

Each container has a socket of its own, so the agent knows who speaks without asking for a name.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from agent.endpoints.listeners import bind
from agent.endpoints.unix_server import UnixHandler, UnixServer
from agent.errors import StateWriteError
from agent.outbox.port import Outbox, OutboxError, OutboxFullError
from contract.agent_api import (
    DEFER_PATH,
    READY_PATH,
    TELEMETRY_PATH,
    Deferral,
    DeferralAnswer,
    Handover,
    HandoverAnswer,
)
from contract.encoding import decode, encode
from contract.errors import ContractError
from contract.ids import InvalidNameError, check_stream
from contract.messages import MAX_SEQUENCE, sample_fault

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_SAMPLE_BYTES = 256 * 1024
MAX_SAMPLES = 10_000
MAX_PRODUCER_CHARS = 64
MAX_DEFERRAL_S = 31 * 24 * 3600


@dataclass(frozen=True)
class Hooks:
    """What a module's words lead to."""

    outbox: Outbox
    ready: Callable[[str], None]
    defer: Callable[[str, float], float]
    stored: Callable[[], None]


class ModuleApi:
    """Serves one container's agent socket until closed."""

    def __init__(self, container_id: str, path: Path, hooks: Hooks) -> None:
        self._server = _Server(bind(path), container_id, hooks)
        self._server.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.close()


class _Server(UnixServer):
    def __init__(self, listener: socket.socket, container_id: str, hooks: Hooks) -> None:
        super().__init__(listener, _Handler, f"module-api-{container_id}")
        self.container_id = container_id
        self.hooks = hooks


class _Handler(UnixHandler):
    server: _Server
    max_body_bytes = MAX_BODY_BYTES

    def do_POST(self) -> None:
        try:
            body = self._read_body()
            if body is None:
                return
            if self.path == READY_PATH:
                self._note_ready()
                self._answer(HTTPStatus.OK, b"{}")
            elif self.path == DEFER_PATH:
                self._take_deferral(decode(body, Deferral, what="deferral"))
            elif self.path.startswith(TELEMETRY_PATH):
                self._take_telemetry(check_stream(self.path.removeprefix(TELEMETRY_PATH)), body)
            else:
                self._problem(HTTPStatus.NOT_FOUND, "not-found", "no such path", retriable=False)
        except (ContractError, InvalidNameError) as error:
            self._refuse(HTTPStatus.BAD_REQUEST, error)
        except OutboxFullError as error:
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, error)
        except (OutboxError, StateWriteError) as error:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, error)

    def _note_ready(self) -> None:
        try:
            self.server.hooks.ready(self.server.container_id)
        except OSError as error:
            raise StateWriteError(
                f"that the module is ready cannot be kept ({error.strerror})",
                where="state_dir",
                fix="Say it again later.",
            ) from error

    def _take_deferral(self, asked: Deferral) -> None:
        if not 0 <= asked.seconds <= MAX_DEFERRAL_S:
            raise ContractError(f"a deferral is 0 to {MAX_DEFERRAL_S} seconds", where="deferral")
        granted = self.server.hooks.defer(self.server.container_id, asked.seconds)
        self._answer(HTTPStatus.OK, encode(DeferralAnswer(seconds=granted)))

    def _take_telemetry(self, stream: str, body: bytes) -> None:
        handover = decode(body, Handover, what="hand-over")
        if fault := sample_fault(handover.sampled_at_us, handover.bodies):
            raise ContractError(fault, where="hand-over")
        if not 0 <= handover.number <= MAX_SEQUENCE or len(handover.producer) > MAX_PRODUCER_CHARS:
            raise ContractError("number or producer out of range", where="hand-over")
        if len(handover.bodies) > MAX_SAMPLES:
            raise ContractError(f"a hand-over may have {MAX_SAMPLES} samples", where="hand-over")
        if any(len(bytes(body)) > MAX_SAMPLE_BYTES for body in handover.bodies):
            raise ContractError(f"a sample may have {MAX_SAMPLE_BYTES} bytes", where="hand-over")
        hooks = self.server.hooks
        stored = hooks.outbox.put(
            stream, handover.producer, handover.number, handover.sampled_at_us, handover.bodies
        )
        hooks.stored()
        self._answer(HTTPStatus.OK, encode(HandoverAnswer(stored=stored)))
