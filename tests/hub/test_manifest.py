"""Rollout manifests: what is right is read, and each fault is told with its line."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_hub.errors import ManifestError
from cloud_hub.rollouts.manifest import read_manifest

EXAMPLE = (Path(__file__).parents[2] / "configs" / "rollout.yaml").read_text()
GOOD = """\
apiVersion: headland/v1
kind: Rollout
metadata:
  name: digits
spec:
  target:
    devices: [cam-1]
  modules:
    digits:
      image: digits:1
"""


def faults(text: str) -> list[tuple[int | None, str, str]]:
    with pytest.raises(ManifestError) as caught:
        read_manifest(text)
    assert caught.value.fix
    return [(fault.line, fault.field, fault.reason) for fault in caught.value.errors]


def test_the_example_in_configs_is_valid() -> None:
    manifest, _ = read_manifest(EXAMPLE)
    assert manifest.spec.modules["digits"].limits.memory == 512 * 1024**2


def test_what_is_left_out_has_a_default() -> None:
    manifest, _ = read_manifest(GOOD)
    module = manifest.spec.modules["digits"]
    assert (module.limits.memory, module.limits.cpus, module.limits.pids) == (256 * 1024**2, 1.0, 64)
    assert module.ready_timeout_seconds == 60


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "reason"),
    [
        ("      image: digits:1", "      image: digits:1\n      imagee: x", 11, "imagee", "unknown key"),
        ("      image: digits:1", "      env: {}", 9, "spec.modules.digits.image", "required"),
        ("kind: Rollout", "kind: Rolout", 2, "kind", "Rollout"),
        ("headland/v1", "headland/v2", 1, "apiVersion", "headland/v1"),
        ("image: digits:1", "image: digits", 10, "image", "name:version"),
        ("image: digits:1", "image: digits:1@sha256:12", 10, "image", "name:version"),
        ("[cam-1]", "[cam.1]", 7, "spec.target.devices.0", "must be"),
        ("[cam-1]", "[]", 7, "spec.target.devices", "at least 1"),
        ("[cam-1]", "cam-1", 7, "spec.target.devices", "list"),
        ("  name: digits", "  name: digits\n  name: again", 5, "document", "twice"),
        ("image: digits:1", "image: digits:1\n      limits: {memory: 12 MB}", 11, "limits.memory", "256Mi"),
        ("image: digits:1", "image: digits:1\n      limits: {memory: 1Ki}", 11, "limits.memory", "greater"),
        ("image: digits:1", "image: digits:1\n      env: {LISTEN_FDS: '9'}", 11, "env", "not used by"),
        ("image: digits:1", "image: digits:1\n      env: {A: 1}", 11, "env.A", "string"),
        ("image: digits:1", "image: digits:1\n      readyTimeoutSeconds: .inf", 11, "readyTimeout", "3600"),
        ("kind: Rollout", "kind: [Rollout", 3, "document", ""),
        ("kind: Rollout", "kind: &a Rollout\nx: *a", 3, "document", "aliases"),
    ],
)
def test_a_fault_is_told_with_its_line(old: str, new: str, line: int, field: str, reason: str) -> None:
    found = faults(GOOD.replace(old, new))
    assert any(at == line and field in where and reason in why for at, where, why in found), (
        f"expected {line}, {field}, {reason}; found {found}"
    )


def test_all_faults_are_told_at_once() -> None:
    text = GOOD.replace("kind: Rollout", "kind: X").replace("image: digits:1", "picture: digits:1")
    assert len(faults(text)) >= 3


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    layers = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9))
    found = faults("a0: &a0 lol\n" + layers)
    assert "aliases" in found[0][2]


@pytest.mark.parametrize(
    "text", ["", "# only a comment", "a: b\n---\nc: d", "\x00", "[" * 5000, "- 1\n- 2", "12"]
)
def test_what_is_no_manifest_is_one_clear_error(text: str) -> None:
    with pytest.raises(ManifestError):
        read_manifest(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_no_text_is_more_than_a_manifest_error(text: str) -> None:
    with pytest.raises(ManifestError):
        read_manifest(text)


@pytest.mark.parametrize(
    ("lifecycle", "reason"),
    [
        ("{restart: sometimes}", "always"),
        ("{windows: [{cron: '0 0 * *', durationSeconds: 60}]}", "five fields"),
        ("{windows: [{cron: '0 0 * * *', durationSeconds: 60, timeZone: Mars}]}", "time zone"),
        ("{windows: [{cron: '0 0 * * *', durationSeconds: 59}]}", "60"),
        ("{liveness: {periodSeconds: 1}}", "one of http, file and exec"),
        ("{liveness: {exec: [x], file: x}}", "one of http, file and exec"),
        ("{liveness: {exec: ['']}}", "begins with a program"),
        ("{liveness: {exec: []}}", "at least 1"),
        ("{liveness: {http: /x, file: x}}", "one of http, file and exec"),
        ("{liveness: {file: ../x}}", "name of a file"),
        ("{readiness: {http: /x}}", "stop-first"),
        ("{dependsOn: [digits]}", "wait for itself"),
        ("{dependsOn: [other]}", "no module other"),
    ],
)
def test_a_life_that_cannot_be_is_refused_with_its_line(lifecycle: str, reason: str) -> None:
    found = faults(f"{GOOD}      lifecycle: {lifecycle}\n")
    assert any(line and reason in words for line, _, words in found), found


def test_modules_that_wait_for_each_other_are_refused() -> None:
    text = GOOD + (
        "      lifecycle: {dependsOn: [b]}\n    b:\n      image: b:1\n      lifecycle: {dependsOn: [c]}\n"
        "    c:\n      image: c:1\n      lifecycle: {dependsOn: [%s]}\n"
    )
    assert any("wait for itself" in words for _, _, words in faults(text % "digits"))
    read_manifest(text.replace("[%s]", "[]"))
