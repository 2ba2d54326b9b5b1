"""What images stand on: a base gives the first layers, their Python and its environment."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cloud_hub.images.build.bytecode import Compiler
from cloud_hub.images.build.errors import OptionRefusedError
from cloud_hub.images.build.interpreter import Interpreter, running_interpreter
from cloud_hub.images.build.layer_plans import LayerPlan, host_plan
from cloud_hub.images.build.layout import LIBRARIES, PYTHON, PYTHON_HOME
from cloud_hub.images.build.options import HOST, own_platform
from cloud_hub.images.build.ports import Layer
from cloud_hub.images.build.target import Target


@dataclass(frozen=True)
class SystemPackage:
    """A package of the base: what it is in a package URL (``deb/debian``), and the digest of its file."""

    kind: str
    name: str
    version: str
    architecture: str
    digest: str = ""


@dataclass(frozen=True)
class Base:
    """What an image of one platform stands on.

    ``layers`` come first in the image: plans, or layers whose bytes are in the store already.
    ``python`` is the program in the image that is started, with ``environment``. ``digest`` is that of
    a base that has one.
    """

    name: str
    target: Target
    python: str
    environment: tuple[str, ...]
    layers: tuple[LayerPlan | Layer, ...]
    compiler: Compiler
    packages: tuple[SystemPackage, ...] = ()
    digest: str = ""


@dataclass(frozen=True)
class Asked:
    """What a base is asked for: its name, the platform, a folder to work in, and how to stop and to tell."""

    name: str
    platform: str
    work_dir: Path
    cancelled: Callable[[], bool]
    said: Callable[[str], None]


class BaseSource(Protocol):
    """Where bases come from."""

    def base(self, asked: Asked, closing: ExitStack) -> Base:
        """Return a base, which can be read until ``closing`` is closed; raises `BuildError`."""
        ...


class HostBases:
    """The base ``host`` alone: the running Python."""

    def base(self, asked: Asked, closing: ExitStack) -> Base:
        """Return the running Python; raises `OptionRefusedError` for another base."""
        if asked.name != HOST:
            raise OptionRefusedError("this base is not built here", where=asked.name, fix="Choose host.")
        return host_base(asked.platform, closing)


def host_base(platform: str, closing: ExitStack) -> Base:
    """Return the running Python as a base; its files are all read once."""
    interpreter = running_interpreter()
    compiler = closing.enter_context(own_compiler(interpreter))
    target = native_target(interpreter)
    return Base(
        name=HOST,
        target=target,
        python=PYTHON,
        environment=(f"PATH={PYTHON_HOME}/bin:/usr/bin:/bin", f"LD_LIBRARY_PATH={LIBRARIES}"),
        layers=(host_plan(interpreter, compiler),),
        compiler=compiler,
        packages=(
            SystemPackage("generic", "python", target.python_full_version, platform.partition("/")[2]),
        ),
    )


def own_compiler(interpreter: Interpreter, *, kept: bool = True) -> Compiler:
    """Return the compiler of a Python of this machine."""
    facts = interpreter.facts
    return Compiler(
        lambda: [str(interpreter.executable)], cache_tag=facts.cache_tag, build=facts.build, kept=kept
    )


def native_target(interpreter: Interpreter | None = None) -> Target:
    """Return the running Python as what wheels are chosen for."""
    facts = (interpreter or running_interpreter()).facts
    return Target(own_platform(), facts.build.split()[1].rstrip("+"), native=True)
