"""Names that people give things, and the rules they follow."""

import re
from typing import Final

from contract.errors import HeadlandError

DEVICE_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
TAG_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
TAG_NAME_WORDS: Final = "1 to 63 of a-z, 0-9, '.', '_' and '-'"
TAG_VALUE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,99}")
TAG_VALUE_WORDS: Final = "1 to 100 letters, digits and any of . _ : / + -"
NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
STREAM: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


class InvalidNameError(HeadlandError):
    """A name breaks the rule for its kind."""

    code = "invalid-name"


def check_device_id(value: str, *, where: str = "device") -> str:
    """Return ``value`` if it may be a device id, else raise `InvalidNameError`.

    The rule keeps an id safe as an MQTT topic level, a NATS subject token, a file name and a
    certificate's common name: no dot, slash, wildcard or upper case.
    """
    return _check(DEVICE_ID, value, where, "1 to 63 of a-z, 0-9 and '-', not starting with '-'")


def check_name(value: str, *, where: str) -> str:
    """Return ``value`` if it may name a workspace, model, image, module or rollout."""
    return _check(NAME, value, where, "1 to 63 of a-z, 0-9 and '-', not starting or ending with '-'")


def check_stream(value: str, *, where: str = "stream") -> str:
    """Return ``value`` if it may name a telemetry stream."""
    return _check(STREAM, value, where, "1 to 63 of a-z, 0-9, '_' and '-', not starting with '_' or '-'")


def check_tag(name: str, value: str | None) -> None:
    """Raise `InvalidNameError` where a device may not have this tag; a value of None is any."""
    _check(TAG_NAME, name, "tags", TAG_NAME_WORDS)
    if value is not None:
        _check(TAG_VALUE, value, f"tags.{name}", TAG_VALUE_WORDS)


def split_versioned(value: str, *, where: str) -> tuple[str, int | None]:
    """Split ``name:version`` (or ``name`` alone, meaning the newest) into its parts."""
    name, colon, version = value.partition(":")
    check_name(name, where=where)
    if not colon:
        return name, None
    if len(version) > 9 or not version.isascii() or not version.isdigit() or int(version) < 1:
        raise InvalidNameError(
            "the version after ':' is not a whole number from 1", where=where, fix="Write it as name:1."
        )
    return name, int(version)


def _check(rule: re.Pattern[str], value: str, where: str, words: str) -> str:
    if not rule.fullmatch(value):
        raise InvalidNameError("the name is not allowed", where=where, fix=f"Use {words}.")
    return value
