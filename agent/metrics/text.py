"""Writes Prometheus's text format, version 0.0.4 (prometheus.io, "Exposition formats"). Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class Sample:
    """One value, told apart from the metric's others by its labels."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A metric with its samples; a counter's name ends in ``_total``."""

    name: str
    kind: Literal["counter", "gauge"]
    words: str
    samples: tuple[Sample, ...]

    def __post_init__(self) -> None:
        """Refuse what the format does not allow: a defect of ours."""
        labels = {name for sample in self.samples for name in sample.labels}
        if not NAME.fullmatch(self.name) or not all(LABEL.fullmatch(label) for label in labels):
            raise ValueError(f"not a name of a metric or label: {self.name} {sorted(labels)}")
        if (self.kind == "counter") != self.name.endswith("_total"):
            raise ValueError(f"a counter, and nothing else, ends in _total: {self.name}")


def gauge(name: str, words: str, value: float) -> Metric:
    """Return a gauge without labels."""
    return Metric(name, "gauge", words, (Sample(value),))


def counter(name: str, words: str, value: float) -> Metric:
    """Return a counter without labels."""
    return Metric(name, "counter", words, (Sample(value),))


def exposition(metrics: Iterable[Metric]) -> bytes:
    """Return the text of all metrics; each name stands once, with its help and type before its samples."""
    lines: list[str] = []
    for metric in metrics:
        lines.append(f"# HELP {metric.name} {_escaped(metric.words)}")
        lines.append(f"# TYPE {metric.name} {metric.kind}")
        lines += [
            f"{metric.name}{_labels(sample.labels)} {_number(sample.value)}" for sample in metric.samples
        ]
    return ("\n".join(lines) + "\n").encode()


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    inner = ",".join(f'{name}="{_escaped(value, quote=True)}"' for name, value in labels.items())
    return f"{{{inner}}}"


def _escaped(text: str, *, quote: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quote else text


def _number(value: float) -> str:
    if value != value:  # noqa: PLR0124  not a number
        return "NaN"
    if value in {float("inf"), float("-inf")}:
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() else repr(float(value))
