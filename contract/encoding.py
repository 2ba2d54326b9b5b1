"""Bytes of messages: JSON, tolerant when read, compact when written."""

from typing import TypeVar

import msgspec

from contract.errors import ContractError

T = TypeVar("T")


def encode(message: msgspec.Struct) -> bytes:
    """Return the wire bytes of a message: compact UTF-8 JSON, fields in their declared order."""
    return msgspec.json.encode(message)


def decode(data: bytes | bytearray | memoryview, kind: type[T], *, what: str) -> T:
    """Read ``data`` as a message of ``kind``; unknown fields are skipped.

    Raises `ContractError` that names the field but never repeats the input.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"not a valid {what}: {error}") from error


def canonical(value: object) -> bytes:
    """Return JSON bytes that are the same for equal values: sorted keys, no white space."""
    return msgspec.json.encode(value, order="sorted")
