"""The name that a device asks for where nobody gave it one.

The serial number that the board's firmware tells (a device tree has one: Raspberry Pi, Jetson), else a digest
of the system's machine id. The id itself is not told to others (machine-id(5)).
"""

import hashlib
import hmac
import re
from pathlib import Path
from typing import Final

from agent.errors import EnrolmentError

SERIAL: Final = "proc/device-tree/serial-number"
MACHINE_ID: Final = "etc/machine-id"
PURPOSE: Final = b"headland-device-name"
LONGEST: Final = 59


def default_name(root: Path = Path("/")) -> str:
    """Return ``dev-SERIAL`` or ``dev-DIGEST``; raises `EnrolmentError` where the machine has neither."""
    serial = re.sub("[^a-z0-9]+", "-", _text(root / SERIAL).lower()).strip("-")[:LONGEST]
    if set(serial) - set("0-"):  # some boards have zeros alone
        return f"dev-{serial}"
    machine_id = _text(root / MACHINE_ID)
    if re.fullmatch("[0-9a-f]{32}", machine_id):
        return f"dev-{hmac.new(bytes.fromhex(machine_id), PURPOSE, hashlib.sha256).hexdigest()[:16]}"
    raise EnrolmentError(
        "the machine has neither a serial number nor an id", where=str(root / MACHINE_ID), fix="Give --name."
    )


def _text(path: Path) -> str:
    try:
        return path.read_bytes().rstrip(b"\0\n").decode("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
