"""Lists of devices that people wrote, as CSV or YAML: all faults at once, each with its line.

CSV has a first line of column names: ``name``, and every other column is a tag, where an empty cell is no
tag. YAML is a list of entries with ``name`` and, if wanted, ``tags``.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from cloud_hub.errors import DeviceListError, ManifestError
from cloud_hub.rollouts.yaml_source import MAX_BYTES, read_yaml
from contract.errors import FieldProblem
from contract.ids import InvalidNameError, check_device_id, check_tag

Kind = Literal["csv", "yaml"]

MOST_DEVICES: Final = 1000
MOST_TAGS: Final = 50
MOST_FAULTS: Final = 100
FIX: Final = "Correct the list and send it again; nothing was made."


@dataclass(frozen=True)
class Listed:
    """A device of a list; ``line`` is the 1-based line where it begins."""

    name: str
    tags: Mapping[str, str]
    line: int


def read_list(text: str, kind: Kind) -> list[Listed]:
    """Return the devices of a list in its order; raises `DeviceListError` with every fault."""
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise _refused([FieldProblem(field="document", reason=f"larger than {MAX_BYTES} bytes")])
    found = list(_csv(text.removeprefix("\ufeff")) if kind == "csv" else _yaml(text))
    faults = [each for each in found if isinstance(each, FieldProblem)]
    devices = [each for each in found if isinstance(each, Listed)]
    faults += _twice(devices)
    if not found:
        faults = [FieldProblem(field="document", reason="no device in it")]
    if len(devices) > MOST_DEVICES:
        faults = [FieldProblem(field="document", reason=f"more than {MOST_DEVICES} devices: make several")]
    if faults:
        raise _refused(faults)
    return devices


def refused_names(faults: Sequence[FieldProblem]) -> DeviceListError:
    """Return the error for a list whose names are taken."""
    return _refused(faults)


def _refused(faults: Sequence[FieldProblem]) -> DeviceListError:
    ordered = sorted(faults, key=lambda fault: fault.line or 0)[:MOST_FAULTS]
    count = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
    return DeviceListError(f"the list of devices has {count}", fix=FIX, errors=tuple(ordered))


def _twice(devices: Sequence[Listed]) -> Iterator[FieldProblem]:
    first: dict[str, int] = {}
    for device in devices:
        if device.name in first:
            reason = f"{device.name} stands twice, first in line {first[device.name]}"
            yield FieldProblem(field="name", line=device.line, reason=reason)
        first.setdefault(device.name, device.line)


def _csv(text: str) -> Iterator[Listed | FieldProblem]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    begins = 1
    columns: list[str] | None = None
    try:
        for row in rows:
            line, begins = begins, rows.line_num + 1
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if columns is None:
                columns = cells
                faults = list(_columns(columns, line))
                yield from faults
                if faults:
                    return
            elif len(cells) != len(columns):
                reason = f"{len(cells)} cells under {len(columns)} columns"
                yield FieldProblem(field="row", line=line, reason=reason)
            else:
                values = dict(zip(columns, cells, strict=True))
                name = values.pop("name")
                yield from _entry(name, {tag: value for tag, value in values.items() if value}, line)
    except csv.Error as error:
        yield FieldProblem(field="document", line=rows.line_num, reason=f"not CSV: {error}")


def _columns(columns: Sequence[str], line: int) -> Iterator[FieldProblem]:
    if "name" not in columns:
        reason = "the first line has the names of the columns, and one of them is name"
        yield FieldProblem(field="columns", line=line, reason=reason)
        return
    if len(set(columns)) != len(columns):
        yield FieldProblem(field="columns", line=line, reason="a column stands twice")
    yield from _tags(dict.fromkeys(each for each in columns if each != "name"), line)


def _yaml(text: str) -> Iterator[Listed | FieldProblem]:
    try:
        source = read_yaml(text)
    except ManifestError as error:
        yield from error.errors or [FieldProblem(field="document", reason=error.what)]
        return
    if not isinstance(source.value, list):
        yield FieldProblem(field="document", line=1, reason="write a list: lines that begin with `- name:`")
        return
    for index, entry in enumerate(source.value):
        line = source.lines[(index,)]
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            yield FieldProblem(field=str(index), line=line, reason="an entry has a name, which is text")
            continue
        for key in entry.keys() - {"name", "tags"}:
            yield source.problem((index, str(key)), "an entry has name and tags, nothing else")
        tags = entry.get("tags") or {}
        if _is_texts(tags):
            yield from _entry(entry["name"], tags, line)
        else:
            yield source.problem((index, "tags"), "tags are texts by name; put numbers in quotes")


def _is_texts(tags: Any) -> bool:  # noqa: ANN401  what YAML can say
    return isinstance(tags, dict) and all(isinstance(one, str) for pair in tags.items() for one in pair)


def _entry(name: str, tags: Mapping[str, str], line: int) -> Iterator[Listed | FieldProblem]:
    faults: list[Listed | FieldProblem] = list(_tags(tags, line))
    try:
        check_device_id(name)
    except InvalidNameError as error:
        faults.insert(0, FieldProblem(field="name", line=line, reason=f"{error.what}. {error.fix}"))
    yield from faults or [Listed(name, dict(tags), line)]


def _tags(tags: Mapping[str, str | None], line: int) -> Iterator[FieldProblem]:
    if len(tags) > MOST_TAGS:
        yield FieldProblem(field="tags", line=line, reason=f"a device has at most {MOST_TAGS} tags")
    for name, value in tags.items():
        try:
            check_tag(name, value)
        except InvalidNameError as error:
            yield FieldProblem(field=error.where, line=line, reason=f"{error.what}. {error.fix}")
