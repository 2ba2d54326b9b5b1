"""JSON and YAML that other tools wrote, as plain values: bounded in size and depth, no key lost. Pure."""

import datetime
import json
import re
from typing import Any

from cloud_hub.errors import ManifestError
from cloud_hub.importing.errors import ImportFileError, ImportInvalidError
from cloud_hub.rollouts.yaml_source import MAX_BYTES, MAX_DEPTH, read_yaml

FIX = "Give the file as the other platform's tools write it."
STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)


def read_document(data: bytes, file: str, *, yaml: bool = False) -> Any:  # noqa: ANN401  any JSON
    """Return what a file says; raises `ImportFileError` and `ImportInvalidError` with the file's name."""
    if len(data) > MAX_BYTES:
        raise ImportFileError(
            f"the file has more than {MAX_BYTES} bytes", where=file, fix="Take out what is no deployment."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImportInvalidError("the file is not UTF-8 text", where=file, fix="Save it as UTF-8.") from error
    if yaml and not text.lstrip().startswith("{"):
        return _whole(_yaml(text, file), file)
    try:
        return _whole(read_json(text), file)
    except ValueError as error:
        raise ImportInvalidError(f"not JSON: {error}", where=file, fix=FIX) from error


def read_json(text: str) -> Any:  # noqa: ANN401  any JSON
    """Return what a JSON text says; raises `ValueError`, without any of the text, where it is none."""
    _judge_depth(text)
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error


def _judge_depth(text: str) -> None:
    """Look at the brackets before the parser does: it recurses."""
    depth = 0
    for character in STRING.sub("", text):
        depth += (character in "[{") - (character in "]}")
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object, and nobody can say which of them counts")
    return found


def _no_constant(_: str) -> None:
    raise ValueError("NaN and Infinity are no numbers of JSON")


def _yaml(text: str, file: str) -> Any:  # noqa: ANN401  any YAML
    try:
        return read_yaml(text).value
    except ManifestError as error:
        line = next((f"line {one.line}: " for one in error.errors if one.line), "")
        raise ImportInvalidError(f"not YAML: {line}{error.what}", where=file, fix=error.fix) from error


def _whole(value: Any, file: str) -> Any:  # noqa: ANN401  any JSON
    """Return a value of JSON's kinds alone: times, which only YAML has, are text."""
    if isinstance(value, dict):
        return {_text(key, file): _whole(inner, file) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner, file) for inner in value]
    if isinstance(value, datetime.date | str | bytes):
        return _text(value, file)
    return value


def _text(value: object, file: str) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ImportInvalidError("a text holds half of a pair of UTF-16", where=file, fix="Correct it.")
    return text
