"""What was typed and printed, with its time; as a page and as an asciicast. Pure.

An asciicast, version 2 (docs.asciinema.org/manual/asciicast/v2), is a line of JSON that says how large the
terminal is, and then a line for each thing printed: seconds since the start, ``"o"``, the text.
"""

import json
from dataclasses import dataclass, field
from typing import Literal

WIDTH, HEIGHT = 120, 32
LONGEST_PAUSE_S = 2.0
Kind = Literal["heading", "words", "command", "output"]


@dataclass(frozen=True)
class Line:
    """Something in the recording at ``at_s`` seconds since its start; its text has no newline at its end."""

    at_s: float
    kind: Kind
    text: str


@dataclass
class Recording:
    """What happened, in its order."""

    lines: list[Line] = field(default_factory=list)

    def add(self, at_s: float, kind: Kind, text: str) -> None:
        """Put in what happened at ``at_s``; nothing where ``text`` is empty."""
        if text.strip():
            self.lines.append(
                Line(at_s, kind, "\n".join(line.rstrip() for line in text.rstrip().splitlines()))
            )


def page(recording: Recording) -> str:
    """Return it as Markdown: headings and words as they are, what was typed and printed in blocks."""
    parts: list[str] = []
    block: list[str] = []
    for line in recording.lines:
        if line.kind in {"command", "output"}:
            block.append(f"$ {line.text}" if line.kind == "command" else line.text)
            continue
        parts += _closed(block)
        parts.append(f"## {line.text}" if line.kind == "heading" else line.text)
        block = []
    return "\n\n".join([*parts, *_closed(block)]) + "\n"


def asciicast(recording: Recording, title: str) -> str:
    """Return it as an asciicast; players are told to show no pause longer than `LONGEST_PAUSE_S`."""
    head = {
        "version": 2,
        "width": WIDTH,
        "height": HEIGHT,
        "idle_time_limit": LONGEST_PAUSE_S,
        "title": title,
    }
    events = [[round(line.at_s, 3), "o", _printed(line)] for line in recording.lines]
    return "\n".join(json.dumps(entry, ensure_ascii=False) for entry in [head, *events]) + "\n"


def _closed(block: list[str]) -> list[str]:
    return ["```text\n" + "\n".join(block) + "\n```"] if block else []


def _printed(line: Line) -> str:
    text = line.text.replace("\n", "\r\n")
    shown = {
        "heading": f"\r\n\x1b[1m# {text}\x1b[0m\r\n",
        "words": f"\x1b[2m# {text}\x1b[0m\r\n",
        "command": f"\x1b[32m$\x1b[0m {text}\r\n",
        "output": f"{text}\r\n",
    }
    return shown[line.kind]
