"""The Python that becomes the base layer, described by itself."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from cloud_hub.images.build import elf
from cloud_hub.images.build.errors import HostRuntimeError
from contract.encoding import decode
from contract.errors import ContractError

FACTS: Final = Path(__file__).with_name("interpreter_facts.py")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What `interpreter_facts` prints."""

    prefix: str
    stdlib: str
    platstdlib: str
    platlibdir: str
    cache_tag: str
    build: str
    sysconfigdata: str
    variables: dict[str, str | int]


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """A Python on this machine: its real executable and what it says about itself."""

    executable: Path
    facts: Facts

    @property
    def name(self) -> str:
        """Name with version, as in ``python3.11``; also the name of its library folder."""
        return Path(self.facts.stdlib).name


def running_interpreter() -> Interpreter:
    """Describe the Python that runs this code; of a virtual environment, the Python below it."""
    base: str = getattr(sys, "_base_executable", "") or sys.executable
    return describe(Path(base))


def describe(executable: Path) -> Interpreter:
    """Ask the Python at ``executable`` about itself; raises `HostRuntimeError` if it gives no answer."""
    real = executable.resolve()
    try:
        with real.open("rb") as stream:
            is_elf = stream.read(len(elf.MAGIC)) == elf.MAGIC
        if not is_elf:
            raise HostRuntimeError(
                "it is not an ELF program",
                where="the running Python",
                fix="Run the hub with a Python for Linux itself, not through a wrapper script.",
            )
        answer = subprocess.run(
            [str(real), "-I", "-S", str(FACTS)],
            check=True,
            capture_output=True,
            timeout=30,
            env=trusted_environment(),
        )
        return Interpreter(executable=real, facts=decode(answer.stdout, Facts, what="description"))
    except (OSError, subprocess.SubprocessError, ContractError) as error:
        raise HostRuntimeError(
            "Python did not say where its standard library is",
            where="the running Python",
            fix="Start it with `-I -S -m sysconfig` and look at its output.",
        ) from error


def trusted_environment() -> dict[str, str]:
    """Return an environment for programs that look at this machine: no preloads, no locale."""
    kept = {"LC_ALL": "C", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
    libraries = os.environ.get("LD_LIBRARY_PATH")
    return kept | ({"LD_LIBRARY_PATH": libraries} if libraries else {})
