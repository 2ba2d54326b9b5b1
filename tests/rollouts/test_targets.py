"""Which devices a rollout is for."""

import pytest

from cloud_hub.errors import ManifestError
from cloud_hub.rollouts.manifest import read_manifest
from cloud_hub.rollouts.targets import DeviceFacts

FLEET = [
    DeviceFacts("a", {"site": "lyon", "pilot": "yes"}, "runc", "0.1.0"),
    DeviceFacts("b", {"site": "lyon"}, "docker", "0.2.0"),
    DeviceFacts("c", {"site": "nice"}, "runc", "0.2.0"),
    DeviceFacts("d", {}, None, None),
    DeviceFacts("gone", {"site": "lyon"}, "runc", "0.1.0", usable=False),
]


def text(target: str) -> str:
    return (
        "apiVersion: headland/v1\nkind: Rollout\nmetadata: {name: line}\nspec:\n"
        f"  target: {target}\n  modules: {{scorer: {{image: 'digits:1'}}}}\n"
    )


@pytest.mark.parametrize(
    ("target", "reached"),
    [
        ("{devices: [c, a]}", "ca"),
        ("{devices: [c, a], except: [a]}", "c"),
        ("{where: [{tag: site}]}", "abc"),
        ("{where: [{tag: site, values: [lyon]}]}", "ab"),
        ("{where: [{tag: site, values: [lyon, nice]}]}", "abc"),
        ("{where: [{tag: site, values: [lyon], not: true}]}", "cd"),
        ("{where: [{tag: site}, {tag: pilot, not: true}]}", "bc"),
        ("{where: [{field: driver, values: [runc]}]}", "ac"),
        ("{where: [{field: driver, values: [runc], not: true}]}", "bd"),
        ("{where: [{field: agentVersion, values: [0.2.0]}], except: [b]}", "c"),
        ("{devices: [d], where: [{tag: pilot}]}", "da"),
        ("{devices: [b], where: [{tag: site}]}", "bac"),
        ("{where: [{tag: none}]}", ""),
    ],
)
def test_devices_are_found(target: str, reached: str) -> None:
    manifest, _ = read_manifest(text(target))
    assert "".join(manifest.spec.target.reached(FLEET)) == reached


@pytest.mark.parametrize(
    ("target", "field", "words"),
    [
        ("{}", "spec.target", "must have devices, or where"),
        ("{except: [a]}", "spec.target", "must have devices, or where"),
        ("{where: []}", "spec.target.where", "at least 1 item"),
        ("{where: [{values: [x]}]}", "spec.target.where.0", "one of tag and field"),
        ("{where: [{tag: a, field: driver}]}", "spec.target.where.0", "one of tag and field"),
        ("{where: [{field: driver}]}", "spec.target.where.0", "a field needs values"),
        (
            "{where: [{field: colour, values: [red]}]}",
            "spec.target.where.0.field",
            "'driver' or 'agentVersion'",
        ),
        ("{where: [{tag: A}]}", "spec.target.where.0.tag", "1 to 63 of a-z"),
        ("{where: [{tag: a, values: ['x y']}]}", "spec.target.where.0.values.0", "1 to 100 letters"),
        ("{where: [{tag: a, is: b}]}", "spec.target.where.0.is", "unknown key"),
    ],
)
def test_what_is_not_clear_is_refused(target: str, field: str, words: str) -> None:
    with pytest.raises(ManifestError) as refused:
        read_manifest(text(target))
    (problem,) = refused.value.errors
    assert problem.field == field
    assert words in problem.reason
