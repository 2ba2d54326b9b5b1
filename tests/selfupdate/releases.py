"""Releases of the agent for tests: this tree under another version, made by the true builder."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cloud_hub.sdk.agent_packing import pack_release

ROOT = Path(__file__).parents[2]
Mend = Callable[[Path], None]


def make_tree(folder: Path, version: str, libraries: Path) -> Path:
    """Return the tree of ``version`` below ``folder``; ``libraries`` keeps what all versions share."""
    lib = folder / version / "lib"
    lib.parent.mkdir(parents=True)
    env = os.environ | {"DEB_PYTHON": sys.executable, "AGENT_VERSION": version, "AGENT_LIBS": str(libraries)}
    uv = str(Path(sys.executable).parent / "uv")
    subprocess.run([ROOT / "configs/deb/tree.sh", lib], check=True, env=env | {"UV": uv})
    return lib


def make_release(folder: Path, version: str, libraries: Path, mend: Mend = lambda _: None) -> Path:
    """Return a packed release of this tree, after ``mend`` did its work on it."""
    lib = make_tree(folder, version, libraries)
    mend(lib)
    file = folder / f"{version}.tar"
    pack_release(lib, file)
    return file


def adding(name: str, source: str) -> Mend:
    """Return what adds lines to a file of the tree."""

    def mend(lib: Path) -> None:
        with (lib / name).open("a") as file:
            file.write(f"\n{source}\n")

    return mend


SYNTAX_ERROR = adding("agent/app.py", "def (")
MISSING_FILE: Mend = lambda lib: (lib / "agent/lock.py").unlink()  # noqa: E731
CRASHES_AT_IMPORT = adding("agent/cli.py", "raise RuntimeError('no')")
HANGS_AT_IMPORT = adding("agent/cli.py", "import time\ntime.sleep(3600)")
CANNOT_CONNECT = adding("agent/transport/mqtt.py", "MqttTransport.start = lambda *_: None")
DIES = adding("agent/cli.py", "import os\nos.kill(os.getpid(), 9)")
DEAF = adding("agent/app.py", "Agent.desired_arrived = lambda *_: None")
