"""YAML that people wrote, with the line of every field; bombs and ambiguity are refused.

Aliases are refused (a 300-byte document of aliases can stand for gigabytes), so are duplicate
keys, several documents, and anything but plain scalars, lists and mappings with text keys.
"""

from dataclasses import dataclass
from typing import Any

import yaml

from cloud_hub.errors import ManifestError
from contract.errors import FieldProblem

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Source:
    """A document as plain values, and the 1-based line of each path in it."""

    value: Any
    lines: dict[Path, int]

    def problem(self, path: Path, reason: str) -> FieldProblem:
        """Return the problem at ``path``, with the line of it or of its nearest parent."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        return FieldProblem(
            field=".".join(map(str, path)) or "document", line=self.lines.get(known), reason=reason
        )


def read_yaml(text: str) -> Source:
    """Parse one document; raises `ManifestError` with the line of the fault."""
    if len(text.encode()) > MAX_BYTES:
        raise ManifestError(f"a manifest may have {MAX_BYTES} bytes", fix="Split it into several.")
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise _fault(event.start_mark, "aliases are not allowed", "Write the value out.")
        loader = yaml.CSafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                raise ManifestError("the manifest is empty", fix="See configs/rollout.yaml for one.")
            lines: dict[Path, int] = {}
            _walk(node, (), lines)
            return Source(loader.construct_document(node), lines)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _fault(mark, error.problem or "not YAML", "Correct that line.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ManifestError("not YAML", fix="Save the file as UTF-8 text.") from error


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    lines[path] = node.start_mark.line + 1
    if len(path) > MAX_DEPTH:
        raise _fault(node.start_mark, "nested too deeply", "Flatten it.")
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), lines)
    elif isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _fault(key.start_mark, "a key must be text", "Write a plain key.")
            here = (*path, key.value)
            if here in lines:
                raise _fault(
                    key.start_mark, f"the key stands twice, first in line {lines[here]}", "Remove one."
                )
            _walk(item, here, lines)
            lines[here] = key.start_mark.line + 1


def _fault(mark: Any, reason: str, fix: str) -> ManifestError:  # noqa: ANN401  yaml's marks have no type
    line = mark.line + 1 if mark is not None else None
    return ManifestError(reason, fix=fix, errors=(FieldProblem(field="document", line=line, reason=reason),))
