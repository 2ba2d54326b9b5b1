"""`headland model quantise-update` as a person types it, against a running hub."""

import hashlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simulators.demo.stage import Device
from tests.deltas.layers import tuned
from tests.docs.pages import page
from tests.docs.typed import blocks_with_output
from tests.e2e.conftest import World, command
from tests.e2e.test_model_commands import answer, refused
from tests.rounding.nets import net, samples, weights, write


@pytest.fixture
def name(world: World, tmp_path: Path) -> str:
    """Return a model whose first version is registered; its files are in the test's folder."""
    write(tmp_path)
    name = f"net-{tmp_path.name}".replace("_", "-").lower()[:40].rstrip("-0")
    assert answer("model", "register", name, str(tmp_path / "old.onnx"))["version"] == 1
    return name


def versions(name: str) -> list[int]:
    return [one["version"] for one in answer("model", "list", name)]


def asked(name: str, folder: Path) -> tuple[str, ...]:
    return (
        "model",
        "quantise-update",
        f"{name}:1",
        str(folder / "new.onnx"),
        "--data",
        str(folder / "rows.npz"),
    )


def test_nothing_is_registered_before_it_is_accepted(name: str, tmp_path: Path) -> None:
    out = tmp_path / "rounded.onnx"
    told = answer(*asked(name, tmp_path), "--out", str(out))
    assert (told["registered"], versions(name)) == (None, [1])
    assert told["report"]["update_bytes"] < 0.6 * told["report"]["exact_update_bytes"]
    assert out.read_bytes() not in {
        (tmp_path / "new.onnx").read_bytes(),
        (tmp_path / "old.onnx").read_bytes(),
    }
    words = command("headland", *asked(name, tmp_path))
    assert words.returncode == 0
    for part in (f"from {name}:1: 8100 weights rounded to 8 bits", "update, rounded:", "scores", "0 of 50",
                 "nothing was registered"):  # fmt: skip
        assert part in words.stdout, words.stdout
    assert versions(name) == [1]

    done = answer(*asked(name, tmp_path), "--accept", "--tag", "stage=test")["registered"]
    assert (done["version"], done["tags"]) == (2, {"stage": "test"})
    assert done["properties"]["rounded.from"] == f"{name}:1"
    assert done["properties"]["rounded.update_bytes"] == str(told["report"]["update_bytes"])
    to = Path(answer("model", "download", f"{name}:2", "--to", str(tmp_path / "to"))["path"])
    assert to.read_bytes() == out.read_bytes(), "what is served is the rounded model"
    assert [one["version"] for one in answer("model", "list", "--property", f"rounded.from={name}:1")] == [2]


def worded(printed: str) -> str:
    """Return an output without its figures, which differ with the machine's libraries."""
    return " ".join(re.sub(r"\d[\d.]*(e-\d+)?", "N", printed).split())


def test_the_page_shows_what_is_printed(world: World, tmp_path: Path) -> None:
    before = weights()
    for file, each in (("camera.onnx", before), ("tuned.onnx", tuned(before))):
        (tmp_path / file).write_bytes(net(each, outputs=1))
    np.savez(tmp_path / "samples.npz", x=samples(597))
    answer("model", "register", "camera", str(tmp_path / "camera.onnx"))
    found = blocks_with_output(page("updates.md"), "test: rounded")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for block in found:
        done = subprocess.run(
            ["bash", "-ec", block.commands], cwd=tmp_path, env={**os.environ, "PATH": path},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert worded(done.stdout) == worded(block.shown or ""), done.stdout
    assert len(found) == 2
    assert worded("3 of 5 changed") != worded("3 of 5 kept"), "the control"


@pytest.mark.parametrize(("typed", "found"), [(b"n\n", [1]), (b"y\n", [1, 2])])
def test_a_person_is_asked(typed: bytes, found: list[int], name: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed)
        program = str(Path(sys.executable).parent / "headland")
        done = subprocess.run(
            [program, *asked(name, tmp_path)], stdin=theirs, capture_output=True, text=True, check=False
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert "Register the rounded model as the next version" in done.stderr
    assert sorted(versions(name)) == found


@pytest.mark.parametrize("driver", ["process"], indirect=True)
def test_a_device_gets_the_rounded_model_as_a_scaled_delta(
    name: str, world: World, device: Device, roll_out: Callable[..., None], tmp_path: Path
) -> None:
    answer("image", "build", name, "--model", f"{name}:1")
    roll_out(f"{name}:1")
    model = answer(*asked(name, tmp_path), "--accept")["registered"]
    answer("image", "build", name, "--model", f"{name}:2")
    newest = world.workspace.activities(kind="image-deltas")[0]
    world.workspace.wait(newest.id)
    assert "bytes of scaled for" in str(world.workspace.activity(newest.id).log)
    roll_out(f"{name}:2")
    lines = [line for line in device.daemon.log.splitlines() if "bytes of delta for" in line]
    assert len(lines) == 1, device.daemon.log
    files = [path for path in device.state_dir.rglob("*.onnx") if path.is_file()]
    digests = {f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files}
    assert model["digest"] in digests


def test_what_does_not_fit_is_refused_and_changes_nothing(name: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "narrow.npz", x=np.zeros((5, 3), np.float32))
    (tmp_path / "other.onnx").write_bytes(net(weights(), renamed="other."))
    rows, new = str(tmp_path / "rows.npz"), str(tmp_path / "new.onnx")
    for model, file, data, code in (
        (f"{name}:1", new, str(tmp_path / "narrow.npz"), "rounding-data-refused"),
        (f"{name}:1", str(tmp_path / "other.onnx"), rows, "rounding-no-common-tensors"),
        (f"{name}:1", str(tmp_path / "none.onnx"), rows, "rounding-model-refused"),
        (f"{name}:9", new, rows, "not-found"),
    ):
        said = refused("model", "quantise-update", model, file, "--data", data, "--accept")
        assert f"[{code}]" in said, said
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(tmp_path / "old.onnx", folder)
    assert answer("model", "register", name, str(folder))["version"] == 2
    said = json.loads(
        command(
            "headland",
            "model",
            "quantise-update",
            f"{name}:2",
            new,
            "--data",
            rows,
            "--accept",
            "--output",
            "json",
        ).stderr
    )
    assert said["error"] == "rounding-model-refused"
    assert sorted(versions(name)) == [1, 2]
