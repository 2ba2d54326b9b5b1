"""Which driver this device gets, and why."""

from pathlib import Path
from typing import Literal

from agent.drivers.port import Driver, DriverUnavailableError
from agent.drivers.process import ProcessDriver
from agent.drivers.runc import RuncDriver
from agent.drivers.trial import docker_obstacle, runc_obstacle, user_namespace_obstacle
from agent.settings import DOCKER_SOCKET

Wanted = Literal["auto", "runc", "docker", "process"]
UserNamespaces = Literal["auto", "off"]


def choose_driver(
    wanted: Wanted,
    state_dir: Path,
    docker_socket: Path = DOCKER_SOCKET,
    user_namespaces: UserNamespaces = "auto",
) -> tuple[Driver, str]:
    """Return the driver and one line that says which and why.

    ``auto`` takes runc where a trial container starts, else plain processes; runc's containers have user
    namespaces where a trial container with one starts. Raises `DriverUnavailableError` where ``runc`` or
    ``docker`` is asked for and does not work.
    """
    if wanted == "process":
        return ProcessDriver(state_dir), "process (as set): plain processes, no isolation"
    if wanted == "docker":
        # Here, so that a device without an engine does not carry it.
        from agent.drivers.docker import DockerDriver  # noqa: PLC0415

        if (obstacle := docker_obstacle(state_dir, docker_socket)) is not None:
            words = f"docker cannot be used: {obstacle}"
            raise DriverUnavailableError(words, where="driver", fix="Start the engine, or set docker.socket.")
        return DockerDriver(state_dir, docker_socket), f"docker (as set): the engine at {docker_socket}"
    without = "as set" if user_namespaces == "off" else user_namespace_obstacle(state_dir)
    obstacle = runc_obstacle(state_dir) if without else None
    if obstacle is None:
        why = "as set" if wanted == "runc" else "a trial container ran"
        if without:
            return RuncDriver(state_dir), f"runc ({why}), without user namespaces ({without})"
        return RuncDriver(state_dir, user_namespaces="auto"), f"runc ({why}), with user namespaces"
    if wanted == "runc":
        fix = "Remove the obstacle, or set driver to auto or process."
        raise DriverUnavailableError(f"runc cannot be used: {obstacle}", where="driver", fix=fix)
    return ProcessDriver(state_dir), f"process (no runc: {obstacle}): plain processes, no isolation"
