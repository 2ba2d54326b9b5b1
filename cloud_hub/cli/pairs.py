"""``key=value`` on a command line."""

from collections.abc import Mapping

import typer

Pairs = list[str] | None


def pairs(texts: Pairs) -> dict[str, str]:
    """Return the values by key; the last of a key counts. Wrong use is said as such."""
    wrong = next((text for text in texts or () if "=" not in text or text.startswith("=")), None)
    if wrong is not None:
        raise typer.BadParameter(f"write it as key=value, not {wrong!r}")
    return dict(text.split("=", 1) for text in texts or ())


def tag_changes(tags: Pairs, remove: Pairs) -> dict[str, str | None]:
    """Return what `headland model tag` and its like are to change: a key of None is taken away."""
    return {**dict.fromkeys(remove or ()), **pairs(tags)}


def joined(values: Mapping[str, str]) -> str:
    """Return them on one line, as they are typed."""
    return ", ".join(f"{key}={value}" for key, value in values.items())
