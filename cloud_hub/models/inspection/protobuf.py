"""Protobuf's wire format, read field by field from a file (protobuf.dev, "Encoding").

Nothing is loaded for its claim: what is long is skipped by seeking, and a length is judged against
the message around it before anything is done with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from cloud_hub.errors import NotOnnxError
from cloud_hub.models.inspection.errors import ModelTooComplexError

WINDOW_BYTES: Final = 64 * 1024
VARINT, FIXED64, BYTES, GROUP, FIXED32 = 0, 1, 2, 3, 5
ODD: Final = "the model has fields that ONNX does not have"


class NotProtobufError(NotOnnxError):
    """The bytes are not protobuf at all, so no parser of it would take them for ONNX."""

    def __init__(self) -> None:
        super().__init__("the file is not an ONNX model")


@dataclass(frozen=True)
class Field:
    """One field: its whole extent from ``at`` to ``end``, its content from ``start``.

    ``value`` is the number of a varint, and 0 for the other wire types.
    """

    number: int
    wire: int
    at: int
    start: int
    end: int
    value: int


class Wire:
    """A file as protobuf, with a bound on how many fields are looked at."""

    def __init__(self, file: BinaryIO, size_bytes: int, max_fields: int) -> None:
        self._file = file
        self.size_bytes = size_bytes
        self._fields_left = max_fields
        self._window, self._window_at = b"", 0

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Yield the fields of the message between two offsets; raises `NotOnnxError`."""
        at = start
        while at < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise ModelTooComplexError("the model has more parts than allowed")
            key, content = self._varint(at, end)
            number, wire = key >> 3, key & 7
            value = 0
            if wire == VARINT:
                value, stop = self._varint(content, end)
            elif wire == BYTES:
                length, content = self._varint(content, end)
                stop = content + length
            elif wire in {FIXED32, FIXED64}:
                stop = content + (4 if wire == FIXED32 else 8)
            elif wire == GROUP:
                raise NotOnnxError(ODD)  # ONNX has none, but a parser would skip it
            else:
                raise NotProtobufError
            if number == 0 or stop > end:
                raise NotProtobufError
            yield Field(number, wire, at, content, stop, value)
            at = stop

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes between two offsets; the caller has judged how many."""
        if self._window_at <= start and end <= self._window_at + len(self._window):
            return self._window[start - self._window_at : end - self._window_at]
        self._file.seek(start)
        found = self._file.read(end - start)
        if len(found) != end - start:
            raise NotProtobufError
        return found

    def varints(self, start: int, end: int) -> Iterator[int]:
        """Yield packed varints."""
        at = start
        while at < end:
            value, at = self._varint(at, end)
            yield value

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                break
            byte = self._byte(at)
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & (1 << 64) - 1, at
        raise NotProtobufError

    def _byte(self, at: int) -> int:
        index = at - self._window_at
        if not 0 <= index < len(self._window):
            self._file.seek(at)
            self._window, self._window_at, index = self._file.read(WINDOW_BYTES), at, 0
            if not self._window:
                raise NotProtobufError
        return self._window[index]


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def embedded(number: int, content: bytes) -> bytes:
    """Return a length-delimited field."""
    return varint(number << 3 | BYTES) + varint(len(content)) + content
