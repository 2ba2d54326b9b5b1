"""Wires the server: settings, model, socket, agent; ends with 0 after a drain, 2 if it cannot start."""

import asyncio
import gc
import os
import signal
import socket
import sys
from types import FrameType
from typing import Final, NoReturn

import uvloop

from contract.agent_api import READY_PATH
from modules.serving.acceptor import Acceptor, open_listeners
from modules.serving.agent_client import AgentClient
from modules.serving.drain import drain
from modules.serving.errors import StartError
from modules.serving.http import Connection, ServerState
from modules.serving.log import log_event, log_start_failure
from modules.serving.model import OnnxModel
from modules.serving.routes import Routes
from modules.serving.samples import Origin
from modules.serving.script import Script, load_script
from modules.serving.settings import Settings, read_settings
from modules.serving.telemetry import TelemetrySender, announce_ready

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
EXPIRY_CHECK_S: Final = 5.0


def main() -> int:
    """Run the server until it is told to stop; return the process's exit code."""
    # Process 1 gets no default signal actions, so a stop while the model loads needs a handler too.
    for number in STOP_SIGNALS:
        signal.signal(number, _stop_while_starting)
    try:
        settings = read_settings(os.environ)
        # onnxruntime reads it when it is imported, here or by a script.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        listeners = open_listeners(settings.listen)
        scored = _load(settings)
    except StartError as error:
        log_start_failure(error)
        return 2
    gc.collect()
    gc.freeze()  # what was loaded stays: collections while serving need not walk it
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, listeners, scored))
    return 0


def _load(settings: Settings) -> OnnxModel | Script:
    if settings.script is not None:
        return load_script(settings.script)
    # Here, so that a script that does not use onnxruntime does not carry its 40 MB.
    from modules.serving.onnx_file import load_model  # noqa: PLC0415

    return load_model(settings.model_dir, settings.ort_threads)


async def _serve(settings: Settings, listeners: list[socket.socket], scored: OnnxModel | Script) -> None:
    """Serve until the first stop signal, then drain; the second signal hurries the drain."""
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, _ask_to_stop, stop, hurry)
    client = AgentClient(settings.agent_socket) if settings.agent_socket else None
    sender = TelemetrySender(client, settings.telemetry_capacity) if client else None
    origin = Origin(settings.module, settings.model_name, settings.model_version, settings.image)
    routes = Routes(scored, origin, sender.record if sender else None)
    state = ServerState(settings.body_limit_bytes, settings.request_timeout_s)
    acceptors = [
        Acceptor(listener, lambda accepted: Connection(accepted, routes, state)) for listener in listeners
    ]
    for acceptor in acceptors:
        acceptor.start()
    log_event(f"serving model {settings.model_name}, version {settings.model_version}")
    background = [asyncio.create_task(_expire_requests(state))]
    if client is not None:
        background.append(asyncio.create_task(announce_ready(client, READY_PATH)))
    await stop.wait()
    await drain(acceptors, state, sender, hurry, idle_s=settings.drain_idle_s, grace_s=settings.stop_grace_s)
    for task in background:
        task.cancel()


def _ask_to_stop(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    (hurry if stop.is_set() else stop).set()


async def _expire_requests(state: ServerState) -> None:
    while True:
        await asyncio.sleep(min(EXPIRY_CHECK_S, state.request_timeout_s / 2))
        state.expire_requests()


def _stop_while_starting(_number: int, _frame: FrameType | None) -> NoReturn:
    log_event("stopped while starting")
    os._exit(0)  # not an exception: a script's init() could catch it, and nothing is open yet


if __name__ == "__main__":
    sys.exit(main())
