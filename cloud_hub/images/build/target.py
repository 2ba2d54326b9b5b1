"""The Python that wheels are chosen for."""

from dataclasses import dataclass
from typing import Final

MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
# PEP 600 and before: the oldest glibc that each name stands for.
_LEGACY: Final = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
_OLDEST: Final = {"x86_64": 5, "aarch64": 17}


@dataclass(frozen=True)
class Target:
    """A Python: its platform (``linux/arm64``), its version (``3.11.2``) and its C library.

    ``native``: it is the running one, for which pip needs no telling. ``libc`` is such as ``glibc 2.36``
    or ``musl 1.2``.
    """

    platform: str
    python_full_version: str
    libc: str = ""
    native: bool = False

    @property
    def python_version(self) -> str:
        """Major and minor version."""
        return ".".join(self.python_full_version.split(".")[:2])

    @property
    def cache_tag(self) -> str:
        """The tag of its bytecode files."""
        return f"cpython-{self.python_version.replace('.', '')}"

    @property
    def machine(self) -> str:
        """The kernel's name of its processor."""
        architecture = self.platform.partition("/")[2]
        return MACHINES.get(architecture, architecture)

    def platform_tags(self) -> tuple[str, ...]:
        """Return the platforms in the names of wheels that run there, the best first."""
        name, _, version = self.libc.partition(" ")
        major, minor = (int(part) for part in version.split(".")[:2])
        if name == "musl":
            return tuple(f"musllinux_{major}_{n}_{self.machine}" for n in range(minor, -1, -1))
        found = []
        for number in range(minor, _OLDEST.get(self.machine, 17) - 1, -1):
            found.append(f"manylinux_{major}_{number}_{self.machine}")
            if (major, number) in _LEGACY:
                found.append(f"{_LEGACY[major, number]}_{self.machine}")
        return (*found, f"linux_{self.machine}")

    def markers(self) -> dict[str, str]:
        """Return the environment that requirement markers are judged in (PEP 508)."""
        return {
            "implementation_name": "cpython",
            "implementation_version": self.python_full_version,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.python_full_version,
            "python_version": self.python_version,
            "sys_platform": "linux",
        }
