"""Secrets on their way in and out: never on the command line, and in files that only their owner reads."""

import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from cloud_hub.sdk import SdkError


def read_file(path: Path, *, option: str) -> str:
    """Return a text file's content without the line's end."""
    try:
        return path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SdkError(f"cannot read the file ({error})", where=str(path), fix=f"Check {option}.") from error


def read_value(file: Path | None, *, option: str) -> str:
    """Return a value: a file byte for byte, standard input without the line's end that ``echo`` adds."""
    try:
        if file is not None:
            return file.read_bytes().decode()
        if sys.stdin.isatty():
            return getpass.getpass("Value (not shown): ")
        text = sys.stdin.buffer.read().decode()
        return text.removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise SdkError(
            f"cannot read the value ({error.strerror})", where=str(file or "stdin"), fix=f"Check {option}."
        ) from error
    except UnicodeDecodeError:
        # The cause is left out: it holds the value.
        raise SdkError(
            "the value is not UTF-8 text", where=str(file or "stdin"), fix="Encode bytes as Base64."
        ) from None


def ask_password(words: str, *, twice: bool = False) -> str:
    """Ask a person at a terminal; else take a line of standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt(words, hide_input=True, confirmation_prompt=twice, err=True))
    return sys.stdin.readline().rstrip("\r\n")


def write_private(path: Path, content: Callable[[], bytes]) -> None:
    """Write a new file with mode 0600; opened before ``content`` is asked for, so that it is not lost."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise SdkError(
            f"cannot write the file ({error.strerror})", where=str(path), fix="Choose another --file."
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as target:
            target.write(content())
    except BaseException:
        path.unlink()
        raise
