"""The files of `headland device invite --from`: a list is read, a folder of invitations written."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import typer
from rich.progress import MofNCompleteColumn

from cloud_hub.cli.output import bar_of, progress_console, show, show_error
from cloud_hub.cli.secret_input import write_private
from cloud_hub.sdk import HubRefusedError, SdkError
from contract.encoding import encode
from contract.enrolment import Invitation

KINDS: dict[str, Literal["csv", "yaml"]] = {".csv": "csv", ".yaml": "yaml", ".yml": "yaml"}
AGAIN = "The devices are made: run the command again for new tokens."


def read_list(source: Path) -> tuple[str, Literal["csv", "yaml"]]:
    """Return the text of a list of devices, and which kind its name says that it is."""
    kind = KINDS.get(source.suffix.lower())
    if kind is None:
        raise SdkError("the list is neither .csv nor .yaml", where=str(source), fix="Check --from.")
    try:
        return source.read_text(encoding="utf-8"), kind
    except (OSError, UnicodeDecodeError) as error:
        raise SdkError("cannot read the list", where=str(source), fix="Check --from.") from error


@contextmanager
def refusals_of(source: Path) -> Iterator[None]:
    """Show what the hub refuses with the lines of the file."""
    try:
        with progress_console.status("inviting the devices"):
            yield
    except HubRefusedError as error:
        show_error(error, file=str(source))
        raise typer.Exit(1) from error


def show_folder(folder: Path, invitations: Sequence[Invitation], hours: int) -> None:
    """Tell where the invitations are."""
    show(
        [{"device": each.device, "file": str(folder / _name(each))} for each in invitations],
        f"{len(invitations)} invitations are in {folder}; each works once, for {hours} h.\n"
        f"On each device: headland-agent enroll --invitation {_name(invitations[0])}",
    )


def _name(invitation: Invitation) -> str:
    return f"{invitation.device}.json"


def write_all(folder: Path, invitations: Sequence[Invitation]) -> None:
    """Write each invitation into a file of its own, with mode 0600."""
    with bar_of(MofNCompleteColumn()) as bar:
        task = bar.add_task("writing the invitations", total=len(invitations))
        for each in invitations:
            # A file of this folder, whatever the hub says that a device's id is.
            path, content = folder / Path(_name(each)).name, encode(each)
            try:
                write_private(path, partial(bytes, content))
            except SdkError as error:
                raise SdkError(error.what, where=str(path), fix=AGAIN) from error
            bar.advance(task)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder that takes the place of ``folder``, which is empty or not there, when the block ends.

    It is made before the block, so that a disk that takes nothing is known before any token is made.
    """
    try:
        if folder.is_symlink() or (folder.exists() and any(folder.iterdir())):
            raise SdkError(
                "the folder is not empty, and nothing in it is overwritten",
                where=str(folder),
                fix="Choose another --folder.",
            )
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
    except OSError as error:
        raise SdkError(
            f"cannot make the folder ({error.strerror})", where=str(folder), fix="Choose another --folder."
        ) from error
    try:
        yield beside
        beside.rename(folder)
    except OSError as error:
        raise SdkError(f"cannot write the files ({error.strerror})", where=str(folder), fix=AGAIN) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
