"""A reader of Prometheus's text format 0.0.4 that refuses what the format does not allow."""

import re
from dataclasses import dataclass, field

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


@dataclass
class Family:
    """A metric as it was read; a value by its labels, sorted."""

    kind: str
    values: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)

    def value(self, **labels: str) -> float:
        """Return the one value that has these labels."""
        (found,) = [v for k, v in self.values.items() if set(labels.items()) <= set(k)]
        return found


def read(data: bytes) -> dict[str, Family]:
    """Read a scrape; raises `ValueError` that says which rule a line breaks."""
    text = data.decode()
    if not text.endswith("\n"):
        raise ValueError("the last line must end with a line feed")
    found: dict[str, Family] = {}
    helped: set[str] = set()
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            if name in helped:
                raise ValueError(f"two helps: {line}")
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            if name in found or kind not in {"counter", "gauge"}:
                raise ValueError(f"a type twice, or unknown: {line}")
            found[name] = Family(kind)
            newest = name
        else:
            name, labels, value = _sample(line)
            if name not in found or name != newest:
                raise ValueError(f"not below its type, in one group: {line}")
            if labels in found[name].values:
                raise ValueError(f"twice the same labels: {line}")
            found[name].values[labels] = value
    return found


def _sample(line: str) -> tuple[str, tuple[tuple[str, str], ...], float]:
    parts = SAMPLE.fullmatch(line)
    if parts is None:
        raise ValueError(f"no sample: {line}")
    labels, at = [], 0
    text = parts[2] or ""
    while at < len(text):
        label = LABEL.match(text, at)
        if label is None:
            raise ValueError(f"no labels: {line}")
        value = re.sub(r'\\[\\"n]', lambda escape: UNESCAPED[escape[0]], label[2])
        labels.append((label[1], value))
        at = label.end()
    if len({name for name, _ in labels}) != len(labels):
        raise ValueError(f"a label twice: {line}")
    return parts[1], tuple(sorted(labels)), float(parts[3])
