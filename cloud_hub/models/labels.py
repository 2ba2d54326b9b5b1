"""Tags and properties of models and images: the rules for both, and the tags that a change leaves. Pure."""

from collections.abc import Mapping

from cloud_hub.errors import InvalidInputError
from contract.errors import FieldProblem

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


def changed(tags: Mapping[str, str], change: Mapping[str, str | None]) -> dict[str, str]:
    """Return the tags after a merge patch (RFC 7396): None takes a tag away."""
    merged: dict[str, str | None] = {**tags, **change}
    return {key: value for key, value in merged.items() if value is not None}
