"""YAML that people wrote, with the line of every field; bombs and ambiguity are refused.

Aliases are refused (a 300-byte document of aliases can stand for gigabytes), so are duplicate
keys, several documents, merge keys, and tags, by which a document chooses how it is constructed.
All that is judged on the stream of events: libyaml's composer recurses on the C stack, and 64 kB
of brackets would end the whole process there.
"""

from dataclasses import dataclass
from typing import Any

import yaml

from cloud_hub.errors import ManifestError
from contract.errors import FieldProblem

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MERGE = "tag:yaml.org,2002:merge"
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
    # Lone surrogates cannot be encoded; the parser refuses them with words of its own.
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise ManifestError(f"a manifest may have {MAX_BYTES} bytes", fix="Split it into several.")
    try:
        _judge_events(text)
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


def _judge_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _fault(event.start_mark, "aliases are not allowed", "Write the value out.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise _fault(event.start_mark, "nested too deeply", "Flatten it.")
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag is not None:
            raise _fault(event.start_mark, "tags are not allowed", "Write the value without `!`.")


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), lines)
    elif isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _fault(key.start_mark, "a key must be text", "Write a plain key.")
            if key.tag == MERGE:
                raise _fault(key.start_mark, "merge keys are not allowed", "Write the keys out.")
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
