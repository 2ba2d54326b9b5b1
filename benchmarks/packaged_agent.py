"""The agent as its Debian package installs it, unpacked into a folder: Debian's Python and files of its own.

So it shares with the hub beside it nothing but the system's own libraries, as on a device where it is the
only Python there is; PSS then says what it says there.
"""

import os
import subprocess
from pathlib import Path

import msgspec

from agent.identity.store import DeviceFacts
from benchmarks.cut_line import CutLine
from simulators.demo.stage import Device, Stage

ROOT = Path(__file__).parents[1]
PYTHON = "/usr/bin/python3"
SETTINGS = "report_interval_s = {report_interval_s}\n"


def why_not() -> str:
    """Return why there can be no package here, or nothing."""
    return "" if Path(PYTHON).exists() and Path("/usr/bin/dpkg-deb").exists() else "this is no Debian"


def packaged_agent(folder: Path) -> str:
    """Build the package, unpack and compile it below ``folder``; return the path of its command."""
    done = subprocess.run(
        [ROOT / "configs/deb/build.sh", folder / "deb"],
        env=os.environ | {"DEB_PYTHON": PYTHON, "DPKG_DEB_COMPRESSOR_LEVEL": "0"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    tree = folder / "tree"
    subprocess.run(["/usr/bin/dpkg-deb", "-x", done.stdout.strip(), tree], check=True)
    subprocess.run([PYTHON, "-m", "compileall", "-q", tree / "opt/headland-agent/lib"], check=True)
    return str(tree / "opt/headland-agent/bin/headland-agent")


def enrol(stage: Stage, name: str, driver: str, program: str, report_interval_s: float) -> Device:
    """Enrol a device whose agent is ``program``; it is not started."""
    settings = stage.folder / f"{name}.toml"
    settings.write_text(SETTINGS.format(report_interval_s=report_interval_s))
    return stage.enrol(Device(name, stage.folder, driver, "--config", str(settings), program=program))


def through(line: CutLine, device: Device) -> None:
    """Let a device reach the hub's broker by ``line`` from its next start on."""
    path = device.state_dir / "identity/device.json"
    facts = msgspec.json.decode(path.read_bytes(), type=DeviceFacts)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(facts, mqtt_port=line.port)))
