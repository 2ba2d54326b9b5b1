"""YAML from people: what would blow up, crash the process or be ambiguous is refused with its line."""

import subprocess
import sys

import pytest
import yaml

from cloud_hub.errors import ManifestError
from cloud_hub.rollouts.manifest import read_manifest
from cloud_hub.rollouts.yaml_source import MAX_BYTES, MAX_DEPTH, read_yaml

WIDTH, LEVELS = 9, 9
BOMB = "a0: &a0 lol\n" + "\n".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * WIDTH)}]" for level in range(1, LEVELS)
)
# As JSON gives it to a route: one half of a pair.
SURROGATE = "a: \ud800"
DEEP = {
    "sequences": "- " * 60_000,
    "flow": "[" * 60_000 + "]" * 60_000,
    "mappings": "{a: " * 30_000 + "}" * 30_000,
    "keys": "? " * 60_000,
}
REFUSED = {
    "aliases": (BOMB, "aliases"),
    "alias to itself": ("a: &a [*a]", "aliases"),
    "size": ("a: " + "x" * MAX_BYTES, str(MAX_BYTES)),
    "duplicate": ("a: 1\na: 2", "twice"),
    "duplicate, quoted": ('a: 1\n"a": 2', "twice"),
    "duplicate, within": ("x:\n  - {a: 1, a: 2}", "twice"),
    "merge": ("a: {<<: {b: 1}, b: 2}", "merge"),
    "python object": ("a: !!python/object/apply:os.system [id]", "tags"),
    "bad boolean": ("a: !!bool hello", "tags"),
    "bad time": ("a: !!timestamp hello", "tags"),
    "bad number": ("a: !!float ''", "tags"),
    "set": ("!!set {a, b}", "tags"),
    "several": ("a: 1\n---\nb: 2", ""),
    "half a pair": (SURROGATE, ""),
    "key that is a list": ("? [a]\n: 1", "text"),
    **{f"deep {name}": (text, "deeply") for name, text in DEEP.items()},
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_words(name: str) -> None:
    text, word = REFUSED[name]
    with pytest.raises(ManifestError) as caught:
        read_yaml(text)
    told = " ".join([caught.value.what, *(fault.reason for fault in caught.value.errors)])
    assert word in told
    assert caught.value.fix


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH])
def test_depth_is_allowed_up_to_its_bound(depth: int) -> None:
    read_yaml("[" * depth + "]" * depth)
    with pytest.raises(ManifestError):
        read_yaml("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


def leaves(value: object, seen: dict[int, int]) -> int:
    """Count the scalars that a value stands for, each shared list counted once and multiplied."""
    if not isinstance(value, (list, dict)):
        return 1
    if id(value) not in seen:
        seen[id(value)] = sum(leaves(v, seen) for v in (value if isinstance(value, list) else value.values()))
    return seen[id(value)]


def test_without_the_guard_the_bomb_goes_off() -> None:
    """Negative control: a plain safe loader takes the bomb, which stands for 48 million texts."""
    assert len(BOMB) < 500
    assert leaves(yaml.load(BOMB, Loader=yaml.CSafeLoader), {}) > WIDTH ** (LEVELS - 1)


@pytest.mark.parametrize("name", DEEP)
def test_without_the_guard_depth_ends_the_process(name: str) -> None:
    """Negative control: composed at once, the same text kills the Python that reads it."""
    source = f"import sys, yaml; yaml.load({DEEP[name]!r}, Loader=yaml.CSafeLoader)"
    done = subprocess.run([sys.executable, "-"], input=source.encode(), capture_output=True, check=False)
    assert done.returncode < 0 or b"RecursionError" in done.stderr


MANIFEST = """\
apiVersion: headland/v1
kind: Rollout
metadata: {{name: digits}}
spec:
  target: {{devices: [cam-1]}}
  modules:
    digits: {{image: "digits:1", limits: {{{key}: {value}}}}}
"""


@pytest.mark.parametrize("value", ["0x" + "f" * 20_000, "1:" * 10_000 + "1", "9" * 20_000, ".inf", ".nan"])
@pytest.mark.parametrize("key", ["memory", "cpus", "pids"])
def test_numbers_beyond_all_bounds_are_manifest_errors(key: str, value: str) -> None:
    with pytest.raises(ManifestError):
        read_manifest(MANIFEST.format(key=key, value=value))
