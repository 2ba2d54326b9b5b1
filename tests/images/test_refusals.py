"""What a build refuses, and that it leaves nothing behind."""

from dataclasses import replace
from pathlib import Path

import pytest

from cloud_hub.images.build import (
    BuildCancelledError,
    BuildError,
    BuildInputs,
    BuiltImage,
    ModelChangedError,
    PipWheelSource,
    ScriptRefusedError,
    build_image,
)
from cloud_hub.images.build.layer_tar import Directory, File, from_bytes, write_layer
from contract.digests import InvalidDigestError, sha256
from contract.errors import HeadlandError
from contract.ids import InvalidNameError
from tests.images.conftest import Built


class Bench:
    """Builds over the finished image's store, so that only what a test changes is new."""

    def __init__(self, built: Built, work_dir: Path) -> None:
        self.inputs = BuildInputs("pump-wear", 3, built.model, sha256(built.model.read_bytes()))
        self.store = built.copied_store(work_dir.parent / "store")
        self.wheels = PipWheelSource(built.wheels)
        self.work_dir = work_dir
        self.messages: list[tuple[float, str]] = []
        self.looks_left = 1_000_000

    def build(self, inputs: BuildInputs) -> BuiltImage:
        return build_image(
            inputs,
            layers=self.store,
            wheels=self.wheels,
            work_dir=self.work_dir,
            progress=lambda fraction, message: self.messages.append((fraction, message)),
            cancelled=self._cancelled,
        )

    def _cancelled(self) -> bool:
        self.looks_left -= 1
        return self.looks_left < 0


@pytest.fixture
def bench(built: Built, tmp_path: Path) -> Bench:
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    return Bench(built, work_dir)


def test_progress_grows_to_one_and_names_each_layer(bench: Bench) -> None:
    bench.build(bench.inputs)
    fractions = [fraction for fraction, _ in bench.messages]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert "Layer 7 of 7: model" in {message for _, message in bench.messages}


@pytest.mark.parametrize("name", ["", "Pump", "a/b", "../x", "a b", "a\nHEADLAND_SCRIPT=/x", "a" * 64, "é"])
def test_a_hostile_model_name_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(InvalidNameError):
        bench.build(replace(bench.inputs, model_name=name))


def test_a_version_below_one_and_a_bad_digest_are_refused(bench: Bench) -> None:
    with pytest.raises(BuildError, match="version"):
        bench.build(replace(bench.inputs, model_version=0))
    with pytest.raises(InvalidDigestError):
        bench.build(replace(bench.inputs, model_digest="sha256:../../x"))


def test_a_model_that_is_not_the_one_named_is_refused_and_not_remembered(bench: Bench) -> None:
    wrong = replace(bench.inputs, model_digest=sha256(b"another model"))
    for _ in range(2):  # the second time too: nothing was kept under the wrong digest
        with pytest.raises(ModelChangedError):
            bench.build(wrong)
    assert bench.store.saved == 0
    assert list(bench.work_dir.iterdir()) == []


def test_a_missing_model_says_so_and_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    missing = BuildInputs("pump-wear", 3, tmp_path / "none.onnx", sha256(b"none"))
    with pytest.raises(BuildError, match="No such file"):
        bench.build(missing)
    assert list(bench.work_dir.iterdir()) == []


@pytest.mark.parametrize("looks", range(3))
def test_a_cancelled_build_stops_and_leaves_nothing(bench: Bench, tmp_path: Path, looks: int) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"another model %d" % looks)
    bench.looks_left = looks
    with pytest.raises(BuildCancelledError):
        bench.build(BuildInputs("pump-wear", 4, other, sha256(other.read_bytes())))
    assert bench.store.saved == 0
    assert list(bench.work_dir.iterdir()) == []


def test_a_script_that_is_not_python_is_refused_with_its_line(bench: Bench, tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text("def init():\n    pass\n\ndef run(raw_data)\n    return secret_word\n")
    with pytest.raises(ScriptRefusedError, match="line 4") as caught:
        bench.build(replace(bench.inputs, script=script))
    assert "secret_word" not in str(caught.value)


def test_a_script_that_is_too_large_or_breaks_the_parser_is_refused(bench: Bench, tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    for source in (b"#" * ((1 << 20) + 1), b"(" * 100_000, b"-" * 1_000_000 + b"1"):
        script.write_bytes(source)
        with pytest.raises(ScriptRefusedError):
            bench.build(replace(bench.inputs, script=script))


@pytest.mark.parametrize(
    "path", ["relative", "/a/../b", "//a", "/a//b", "/a/", "/a\nb", "/a\\b", "/", "/../etc/passwd", "/\udcff"]
)
def test_a_path_that_is_not_plain_never_gets_into_a_layer(tmp_path: Path, path: str) -> None:
    with pytest.raises(BuildError):
        write_layer([File(path, from_bytes(b""))], tmp_path / "layer", title="odd")


def test_two_entries_on_one_path_are_refused(tmp_path: Path) -> None:
    file = File("/a", from_bytes(b""))
    with pytest.raises(BuildError, match="same path"):
        write_layer([file, Directory("/a")], tmp_path / "one", title="odd")
    with pytest.raises(BuildError, match="both a file and a directory"):
        write_layer([file, File("/a/b", from_bytes(b""))], tmp_path / "two", title="odd")


def test_errors_are_one_tree_with_codes_of_their_own() -> None:
    def below(kind: type[HeadlandError]) -> list[type[HeadlandError]]:
        return [kind, *(found for child in kind.__subclasses__() for found in below(child))]

    # Those of the kind fpga are of its own room.
    codes = [kind.code for kind in below(BuildError) if kind.__module__ == BuildError.__module__]
    assert len(codes) == len(set(codes)) == 15
