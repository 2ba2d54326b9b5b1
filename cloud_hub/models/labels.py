"""Tags and properties of models and images: the rules for both, and what a change leaves."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from cloud_hub.errors import InvalidInputError
from contract.errors import FieldProblem


class Labelled(Protocol):
    """A version with a description and tags."""

    description: Any

    @property
    def tags(self) -> dict[str, str]:
        """Return its tags."""
        ...


class LabelRow(Protocol):
    """A row of a tag."""

    key: Any
    value: Any


Label = TypeVar("Label", bound=LabelRow)

MOST = 50
LONGEST_KEY = 100
LONGEST_VALUE = 1_000
LONGEST_DESCRIPTION = 10_000


def check_labels(labels: Mapping[str, str], *, kind: str) -> None:
    """Raise `InvalidInputError` where there are too many, or one has a bad key or value."""
    problems = []
    if len(labels) > MOST:
        problems.append(FieldProblem(field=kind, reason=f"at most {MOST}"))
    for key, value in labels.items():
        if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable() or "=" in key or key != key.strip():
            reason = f"a key is 1 to {LONGEST_KEY} printable characters without '='"
            problems.append(FieldProblem(field=kind, reason=reason))
        elif len(value) > LONGEST_VALUE or "\x00" in value:
            problems.append(FieldProblem(field=f"{kind}.{key}", reason=f"at most {LONGEST_VALUE} characters"))
    if problems:
        raise InvalidInputError(f"the {kind} are not allowed", fix="Shorten them.", errors=tuple(problems))


def check_description(text: str) -> None:
    """Raise `InvalidInputError` where a description is too long."""
    if len(text) > LONGEST_DESCRIPTION or "\x00" in text:
        raise InvalidInputError(
            f"a description has at most {LONGEST_DESCRIPTION} characters", where="description"
        )


def changed(row: Labelled, description: str | None, tags: Mapping[str, str | None] | None) -> dict[str, str]:
    """Give a version a new description, where there is one, and return the tags that it is to have.

    ``tags`` is a merge patch (RFC 7396): None takes a tag away. Raises `InvalidInputError`.
    """
    if description is not None:
        check_description(description)
        row.description = description
    merged: dict[str, str | None] = {**row.tags, **(tags or {})}
    after = {key: value for key, value in merged.items() if value is not None}
    check_labels(after, kind="tags")
    return after


def rows_for(tags: Mapping[str, str], kept: Iterable[Label], new: Callable[..., Label]) -> list[Label]:
    """Return the rows of tags: those that are there already with their new values, else new ones."""
    found = {row.key: row for row in kept}
    rows = []
    for key, value in tags.items():
        row = found.get(key) or new(key=key, value=value)
        row.value = value
        rows.append(row)
    return rows
