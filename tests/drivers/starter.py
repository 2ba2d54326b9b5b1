"""An agent of its own for one test: starts a container from a pickled specification, then waits."""

import os
import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path

from agent.drivers.docker import DockerDriver
from agent.drivers.port import ContainerSpec, Driver
from agent.drivers.process import ProcessDriver
from agent.drivers.runc import RuncDriver


def main(kind: str, state: str, pickled: str, listener_fd: str) -> None:
    """Start the container; say so; live until killed."""
    kinds: dict[str, Callable[[], Driver]] = {
        "process": lambda: ProcessDriver(Path(state)),
        "runc": lambda: RuncDriver(Path(state)),
        "runc-userns": lambda: RuncDriver(Path(state), user_namespaces="required"),
    }
    driver = kinds[kind]() if kind in kinds else DockerDriver(Path(state), Path(os.environ["ENGINE"]))
    spec: ContainerSpec = pickle.loads(Path(pickled).read_bytes())
    print("starting", flush=True)
    driver.start(spec, int(listener_fd))
    print("started", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
