"""Waves of a manifest: who is in which, and what is refused."""

import pytest

from cloud_hub.errors import ManifestError
from cloud_hub.rollouts.manifest import read_manifest
from cloud_hub.rollouts.targets import DeviceFacts
from cloud_hub.rollouts.waves import Share

TEN = [f"d{number}" for number in range(10)]


def text(strategy: str) -> str:
    return (
        "apiVersion: headland/v1\nkind: Rollout\nmetadata: {name: line}\nspec:\n"
        f"  target: {{devices: [{', '.join(TEN)}]}}\n"
        f"  strategy:\n{strategy}"
        "  modules: {scorer: {image: 'digits:1'}}\n"
    )


def divided(waves: str) -> list[int]:
    strategy = read_manifest(text(f"    waves: {waves}\n"))[0].spec.strategy
    assert strategy is not None
    pilots = {"d0": {"pilot": "yes"}, "d9": {"pilot": "yes"}, "other": {"pilot": "yes"}}
    fleet = [DeviceFacts(name, pilots.get(name, {}), None, None) for name in (*TEN, "other")]
    return [len(wave) for wave in strategy.divide(TEN, fleet)]


@pytest.mark.parametrize(
    ("waves", "sizes"),
    [
        ("[]", [10]),
        ("[{count: 1}]", [1, 9]),
        ("[{count: 1}, {percent: 50}, {percent: 100}]", [1, 4, 5]),
        ("[{percent: 1}, {percent: 11}]", [1, 1, 8]),
        ("[{count: 6}, {percent: 50}, {count: 4}]", [6, 0, 4]),
        ("[{count: 60}]", [10]),
        ("[{devices: [d9, d3]}, {count: 1}]", [2, 1, 7]),
        ("[{count: 9}, {devices: [d0]}]", [9, 1]),
        ("[{devices: [d1]}, {devices: [d1, d2]}]", [1, 1, 8]),
        ("[{count: 2}, {where: [{tag: pilot}]}]", [2, 2, 6]),
        ("[{where: [{tag: pilot}]}, {percent: 50}]", [2, 3, 5]),
        ("[{devices: [d0]}, {where: [{tag: pilot}]}]", [1, 1, 8]),
    ],
)
def test_devices_are_divided(waves: str, sizes: list[int]) -> None:
    assert divided(waves) == sizes


def test_the_order_is_that_of_the_manifest() -> None:
    strategy = read_manifest(text("    waves: [{devices: [d9, d3]}, {count: 2}]\n"))[0].spec.strategy
    assert strategy is not None
    assert strategy.divide(TEN)[:2] == [["d9", "d3"], ["d0", "d1"]]


def test_rules_are_what_the_manifest_says() -> None:
    strategy = read_manifest(
        text(
            "    waves: [{count: 1}, {percent: 50, approval: true}]\n    atOnce: 5\n    perMinute: 9\n"
            "    bakeSeconds: 7\n    gates: {failures: 2.5%}\n    onFailure: pause\n"
        )
    )[0].spec.strategy
    assert strategy is not None
    rules = strategy.rules(3)
    assert (rules.at_once, rules.per_minute, rules.bake_s, rules.on_failure) == (5, 9, 7, "pause")
    assert (rules.failures, rules.approvals, rules.waves) == (Share(percent=2.5), (1,), 3)


@pytest.mark.parametrize(
    ("strategy", "path", "words"),
    [
        ("    waves: [{}]\n", "spec.strategy.waves.0", "one of count, percent, devices and where"),
        ("    waves: [{count: 1, percent: 5}]\n", "spec.strategy.waves.0", "one of count"),
        ("    waves: [{count: 0}]\n", "spec.strategy.waves.0.count", "greater than or equal to 1"),
        ("    waves: [{percent: 101}]\n", "spec.strategy.waves.0.percent", "less than or equal to 100"),
        ("    gates: {failures: 101%}\n", "spec.strategy.gates.failures", "a share of the wave such as 5%"),
        ("    gates: {failures: -1}\n", "spec.strategy.gates.failures", "a number of devices"),
        ("    gates: {failures: true}\n", "spec.strategy.gates.failures", "a number of devices"),
        ("    bake: 5\n", "spec.strategy.bake", "unknown key"),
        ("    onFailure: ignore\n", "spec.strategy.onFailure", "'abort' or 'pause'"),
        ("    atOnce: 0\n", "spec.strategy.atOnce", "greater than or equal to 1"),
    ],
)
def test_what_is_not_clear_is_refused(strategy: str, path: str, words: str) -> None:
    with pytest.raises(ManifestError) as refused:
        read_manifest(text(strategy))
    (problem,) = refused.value.errors
    assert problem.field == path
    assert words in problem.reason
