"""apt as a plain user: lists and packages of Debian below a folder of our own, for any processor."""

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cloud_hub.images.build.errors import DebianFetchError, DebianUnavailableError
from cloud_hub.images.build.interpreter import trusted_environment
from cloud_hub.images.build.lock import LockedDeb
from cloud_hub.images.build.pip_run import reason_in, run_to_end
from contract.digests import hex_of

RELEASE: Final = "bookworm"
MIRROR: Final = "http://deb.debian.org/debian"
SECURITY: Final = "http://deb.debian.org/debian-security"
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
HELPER: Final = "/usr/lib/apt/apt-helper"
OF_SECURITY: Final = "pool/updates/"
TIMEOUT_S: Final = 600.0
_SUITES: Final = (RELEASE, f"{RELEASE}-security")
_INSTALL: Final = "Install it (Debian, Ubuntu: apt install debian-archive-keyring), or choose another base."


class Apt:
    """apt over ``folder``, for one architecture (Debian's name: ``amd64``).

    ``mirror`` is the address of Debian's archive; without one it is the mirror that this machine's own
    apt has for the release, else Debian's. ``keyring`` holds the keys that lists must be signed with.
    """

    def __init__(
        self,
        folder: Path,
        architecture: str,
        *,
        mirror: str = "",
        keyring: Path = KEYRING,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._folder, self._architecture, self._cancelled = folder, architecture, cancelled
        if shutil.which("apt-get") is None:
            raise DebianUnavailableError("apt is not on this machine", where="base debian", fix=_INSTALL)
        if not keyring.is_file():
            raise DebianUnavailableError(
                "Debian's keys are not on this machine", where=str(keyring), fix=_INSTALL
            )
        own = dict(zip(_SUITES, (mirror, f"{mirror}-security"), strict=True))
        self._places = own if mirror else _of_the_machine()
        self._prepare(keyring)

    @property
    def lists(self) -> Path:
        """Where the signed lists are."""
        return self._folder / "lists"

    def update(self) -> None:
        """Fetch the lists that are new, and check their signatures; raises `DebianFetchError`."""
        self._run("apt-get", "update", what="the lists of packages could not be fetched or are not signed")

    def stanzas(self, names: Sequence[str]) -> str:
        """Return what the lists say of the newest version of each package."""
        command = ["apt-cache", *self._options(), "--no-all-versions", "show", *names]
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=60, env=trusted_environment()
            )
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
            raise DebianFetchError(
                "apt-cache gave no answer", where="base debian", fix="Try again."
            ) from error
        return done.stdout

    def download(self, wanted: Sequence[tuple[LockedDeb, Path]]) -> None:
        """Download each package to its path; one with another digest is none. Raises `DebianFetchError`.

        Digests are pinned, so that a package need not stand in the lists of today.
        """
        arguments = []
        for deb, target in wanted:
            place = self._places[f"{RELEASE}-security" if deb.filename.startswith(OF_SECURITY) else RELEASE]
            arguments += [f"{place}/{deb.filename}", str(target), f"SHA256:{hex_of(deb.digest)}"]
        self._run(HELPER, "download-file", *arguments, what="packages could not be fetched")

    def _run(self, program: str, *arguments: str, what: str) -> None:
        command = [program, "-qq", *self._options(), *arguments]
        try:
            code, stderr = run_to_end(command, timeout_s=TIMEOUT_S, cancelled=self._cancelled)
        except (OSError, subprocess.SubprocessError) as error:
            raise DebianFetchError(
                f"apt did not finish within {TIMEOUT_S:.0f} s",
                where="base debian",
                fix="Look at the network.",
            ) from error
        if code != 0:
            raise DebianFetchError(
                f"{what}: {reason_in(_as_errors(stderr))}",
                where=f"base debian, {self._architecture}",
                fix="Look at the network and at apt's configuration (`apt-config dump`), then build again.",
            )

    def _options(self) -> list[str]:
        folder = self._folder
        options = {
            "APT::Architecture": self._architecture,
            "APT::Architectures": self._architecture,
            "APT::Sandbox::User": "root",  # that is: this user; the folder is for no other
            "APT::Update::Error-Mode": "any",  # else apt goes on with old lists and says nothing
            "Acquire::AllowInsecureRepositories": "false",
            "Acquire::Check-Valid-Until": "true",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
            "Dir::Cache": str(folder / "cache"),
            "Dir::Etc::sourcelist": str(folder / "sources.list"),
            "Dir::Etc::sourceparts": str(folder / "none"),
            "Dir::Etc::trustedparts": str(folder / "none"),
            "Dir::State::lists": str(self.lists),
            "Dir::State::status": str(folder / "status"),
        }
        return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]

    def _prepare(self, keyring: Path) -> None:
        for name in ("lists/partial", "cache/archives/partial", "none"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        rows = [f"deb [signed-by={keyring}] {self._places[suite]} {suite} main\n" for suite in _SUITES]
        self.sources = "".join(rows)
        (self._folder / "sources.list").write_text(self.sources)


def _of_the_machine() -> dict[str, str]:
    """Return where this machine's own apt has the release from, else Debian's addresses."""
    found = {RELEASE: MIRROR, f"{RELEASE}-security": SECURITY}
    command = [
        "apt-get",
        "indextargets",
        "--format",
        "$(RELEASE) $(COMPONENT) $(SITE)",
        "Created-By: Packages",
    ]
    try:
        told = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=30, env=trusted_environment()
        ).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return found
    for line in told.splitlines():
        release, component, site = (*line.split(), "", "", "")[:3]
        if release in found and component == "main" and re.fullmatch(r"(https?|mirror\+\S+|file):\S+", site):
            found[release] = site
    return found


def _as_errors(stderr: str) -> str:
    """Return apt's ``E:`` lines in the form of pip's errors."""
    return re.sub(r"^[EW]: ", "ERROR: ", stderr, flags=re.MULTILINE)
