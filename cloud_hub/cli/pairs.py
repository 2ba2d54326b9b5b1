"""``key=value`` on a command line."""

import typer

Pairs = list[str] | None


def pairs(texts: Pairs) -> dict[str, str]:
    """Return the values by key; the last of a key counts. Wrong use is said as such."""
    wrong = next((text for text in texts or () if "=" not in text or text.startswith("=")), None)
    if wrong is not None:
        raise typer.BadParameter(f"write it as key=value, not {wrong!r}")
    return dict(text.split("=", 1) for text in texts or ())
