"""A program in a running container of an engine: it has no way to stop one, so we end it by its mark."""

import contextlib
import http.client
import socket
import threading
from http import HTTPStatus
from typing import Final

from agent.drivers.docker_engine import Engine
from agent.drivers.docker_logs import read_piece
from agent.drivers.executing import OUTPUT_MAX, kill_all
from agent.drivers.port import DriverError, Executed
from agent.drivers.proc import marked

EXEC_ENV: Final = "HEADLAND_EXEC"
NOT_STARTED: Final = (126, 127)
ENGINES_WORDS: Final = (b"OCI runtime exec failed", b"executable file", b"crun:", b"runc:", b"exec failed")


def execute_in(
    engine: Engine, container: str, args: tuple[str, ...], timeout_s: float, *, mark: str
) -> Executed:
    """Run ``args`` in ``container``; raises `DriverError` where there is no such program."""
    body = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(args), "Env": [f"{EXEC_ENV}={mark}"]}
    made: str = engine.ask("POST", f"/containers/{container}/exec", body).json()["Id"]
    connection = engine.connection(timeout_s=timeout_s)
    late = threading.Event()

    def end() -> None:
        late.set()
        kill_all(lambda: marked({EXEC_ENV: mark}))
        if connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, end)
    timer.start()
    output = bytearray()
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", f"/exec/{made}/start", b'{"Detach": false, "Tty": false}', headers)
        response = connection.getresponse()
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise _not_there(container, response.read(OUTPUT_MAX))
        while (piece := read_piece(response)) is not None:
            output += piece[: max(0, OUTPUT_MAX - len(output))]
    except (OSError, http.client.HTTPException) as error:
        if not late.is_set():
            raise engine.unreachable(error) from error
    finally:
        timer.cancel()
        timer.join()
        connection.close()
        kill_all(lambda: marked({EXEC_ENV: mark}))
    if late.is_set():
        return Executed(None, bytes(output))
    code = engine.ask("GET", f"/exec/{made}/json").json()["ExitCode"]
    if code in NOT_STARTED and any(words in output for words in ENGINES_WORDS):
        raise _not_there(container, bytes(output))
    return Executed(code, bytes(output))


def _not_there(container: str, said: bytes) -> DriverError:
    reason = " ".join(said.decode(errors="replace").split())[-300:]
    fix = "Check that the image has that program."
    return DriverError(f"the engine refused: {reason}", where=f"container {container}", fix=fix)
