"""What one look found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from contract.errors import HeadlandError

Verdict = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Finding:
    """One look's verdict in words; ``fix`` says what to do where it is not ``ok``."""

    name: str
    verdict: Verdict
    words: str
    fix: str = ""


def ok(name: str, words: str) -> Finding:
    """All is well."""
    return Finding(name, "ok", words)


def warning(name: str, words: str, fix: str) -> Finding:
    """The device works, and may not for long or not as well as it could."""
    return Finding(name, "warning", words, fix)


def failed(name: str, words: str, fix: str) -> Finding:
    """Something does not work."""
    return Finding(name, "failed", words, fix)


def looked(name: str, look: Callable[[], Finding]) -> Finding:
    """Return what ``look`` finds; one that cannot look has failed, and the others are still done."""
    try:
        return look()
    except HeadlandError as error:
        where = f"{error.where}: " if error.where else ""
        return failed(name, f"{where}{error.what}", error.fix or "See the agent's log.")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return failed(name, f"cannot be looked at: {reason}", "Run the command as the agent's own user.")
