"""Packages without a wheel: built in a sandbox where that is allowed, and only there."""

import dataclasses
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cloud_hub.confinement.limits import MIB
from cloud_hub.images.build import PipWheelSource, Wheel
from cloud_hub.images.build.bases import native_target
from cloud_hub.images.build.errors import (
    BuildError,
    RequirementsUnresolvedError,
    SourceBuildRefusedError,
    WheelDownloadError,
)
from cloud_hub.images.build.lock import Lock, as_bytes, locked_wheels, read_lock
from cloud_hub.images.build.pip_run import Pip
from cloud_hub.images.build.sources.build import Archive
from tests.images.sdists import MARK, a_wheel, backed, native, told_by
from tests.images.source_builds import (
    OTHER,
    QUICK,
    builder,
    wheels_for,
)
from tests.images.source_builds import _with_bubblewrap as _with_bubblewrap  # noqa: PLC0414  fixtures
from tests.images.source_builds import index as index  # noqa: PLC0414
from tests.images.source_builds import of_server as of_server  # noqa: PLC0414
from tests.images.source_builds import setuptools as setuptools  # noqa: PLC0414
from tests.images.source_builds import small_index as small_index  # noqa: PLC0414

pytestmark = pytest.mark.system


def test_an_extension_in_c_is_built_imported_and_the_same_each_time(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = native(index)
    one = wheels_for(tmp_path / "cache", "hl_native\n")["hl_native"]
    assert one.source is not None
    assert (one.source.filename, one.source.digest) == (archive.filename, archive.digest)
    assert [wheel.filename.partition("-")[0] for wheel in one.source.requirements] == ["setuptools"]
    with zipfile.ZipFile(one.path) as packed:
        packed.extractall(tmp_path / "unpacked")
        names = packed.namelist()
        assert names[-1].endswith(".dist-info/RECORD")
        assert {member.date_time[0] for member in packed.infolist()} == {1980}
    script = "import hl_native; print(hl_native.answer())"
    told = subprocess.check_output([sys.executable, "-c", script], cwd=tmp_path / "unpacked")
    assert told == b"42\n"
    # Another folder has nothing that was kept: it is built again.
    assert builder(tmp_path / "other").build(archive).digest == one.digest
    # And what was kept needs neither what a build needs nor a build.
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PATH", "")
    assert builder(tmp_path / "cache").build(archive) == one


def test_without_the_option_nothing_is_executed(index: Path, tmp_path: Path) -> None:
    """Negative control: pip by itself does execute it."""
    marker = tmp_path / "marker"
    archive = backed(index, "hl_mark", MARK.format(marker=str(marker)))
    with pytest.raises(RequirementsUnresolvedError, match="--allow-source-builds"):
        wheels_for(tmp_path / "cache", "hl_mark\n", allowed=False)
    assert not marker.exists()
    pip = [sys.executable, "-m", "pip", "--quiet", "download", "--no-deps", "-d", str(tmp_path / "by-pip")]
    subprocess.run([*pip, str(archive.path)], check=True)
    assert marker.exists()


def test_pip_on_the_hub_executes_nothing_even_if_it_wants_to(small_index: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    archive = backed(small_index, "hl_mark", MARK.format(marker=str(marker)))
    script = (
        "import sys; from cloud_hub.images.build.pip_for_target import refuse_programs\n"
        "refuse_programs()\nfrom pip._internal.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    )
    words = ["download", "--no-deps", "--no-build-isolation", "-d", str(tmp_path / "got"), str(archive.path)]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "may not start programs" in done.stderr
    assert not marker.exists()


@pytest.mark.parametrize("allowed", [False, True])
def test_a_wheel_that_depends_on_an_address_leads_to_no_build(
    allowed: bool, small_index: Path, tmp_path: Path
) -> None:
    """Negative control: pip by itself builds what is there, also where it may take wheels only."""
    marker, command = tmp_path / "marker", ("--no-index", "--only-binary=:all:", "--dry-run", "hl_leads")
    archive = backed(tmp_path, "hl_mark", MARK.format(marker=str(marker)))
    a_wheel(small_index, "hl_leads", f"Requires-Dist: hl_mark @ file://{archive.path}\n")
    pip = Pip(native_target(), 120, lambda: False)
    found = tmp_path / "found"
    found.mkdir()
    code, said = pip.run("install", ["--dry-run", "hl_leads"], sources=found if allowed else None)
    assert code != 0
    assert ("by an address" if allowed else "may not start programs") in said
    assert list(found.iterdir()) == []
    assert not marker.exists()
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "install", *command], check=True)
    assert marker.exists()


def test_what_has_a_wheel_is_not_built(index: Path, tmp_path: Path) -> None:
    """An older wheel is taken before a newer source."""
    marker = tmp_path / "marker"
    backed(index, "hl_both", MARK.format(marker=str(marker)), version="2.0")
    a_wheel(index, "hl_both")
    found = wheels_for(tmp_path / "cache", "hl_both\n")["hl_both"]
    assert (found.filename, found.source) == ("hl_both-1.0-py3-none-any.whl", None)
    assert wheels_for(tmp_path / "cache", "hl_both==2.0\n")["hl_both"].source is not None
    assert not marker.exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"inside": "hl_other"}, "of another package"),
        ({"code": "VERSION = '2.0'"}, "another wheel: hl_names-2.0"),
        ({"code": "NAME = 'numpy'", "inside": "numpy"}, "another wheel: numpy-1.0"),
        ({"needs": ["../x"]}, "cannot be fetched"),
        ({"needs": ["x @ https://elsewhere.example/x.whl"]}, "cannot be fetched"),
        ({"needs": ["no-such-thing-at-all"]}, "no wheels for all that its build needs"),
    ],
)
@pytest.mark.usefixtures("small_index")
def test_what_does_not_fit_the_archive_is_refused(
    options: dict[str, str], reason: str, tmp_path: Path
) -> None:
    archive = backed(tmp_path, "hl_names", **options)  # type: ignore[arg-type]
    with pytest.raises(SourceBuildRefusedError, match=reason):
        builder(tmp_path / "cache").build(archive)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".whl"]


def test_a_wheel_with_a_name_that_leads_outside_is_refused(tmp_path: Path) -> None:
    code = "real = zipfile.ZipFile.writestr\n"
    code += "def other(self, name, data): real(self, name.replace('hl_out.py', '../x'), data)\n"
    code += "zipfile.ZipFile.writestr = other\n"
    with pytest.raises(BuildError) as caught:
        builder(tmp_path / "cache").build(backed(tmp_path, "hl_out", code))
    assert caught.value.code == "wheel-refused"


@pytest.mark.usefixtures("small_index")
def test_what_the_backend_asks_for_is_there_when_it_builds(tmp_path: Path) -> None:
    code = "def does():\n    import setuptools\n    return setuptools.__name__\n"
    archive = backed(tmp_path, "hl_asks", code, requires=["setuptools"])
    wheel = builder(tmp_path / "cache").build(archive)
    assert told_by(wheel) == "setuptools"
    assert wheel.source is not None
    assert len(wheel.source.requirements) == 1


def test_for_another_platform_only_what_runs_anywhere(small_index: Path, tmp_path: Path) -> None:
    # A list with hashes: the index has no wheels of the scoring server for the other platform.
    pure, compiled = (
        backed(small_index, "hl_pure"),
        backed(small_index, "hl_compiled", tag="cp311-cp311-linux_x86_64"),
    )
    for archive, refused in ((pure, False), (compiled, True)):
        pinned = tmp_path / "pinned.txt"
        pinned.write_text(f"{archive.name}==1.0 --hash={archive.digest}\n")
        source = PipWheelSource(
            tmp_path / "cache", pinned=pinned, allow_source_builds=True, source_limits=QUICK
        )
        if refused:
            with pytest.raises(SourceBuildRefusedError, match="compiles for the Python of this hub"):
                source.wheels(OTHER)
        else:
            assert [one.filename for one in source.wheels(OTHER)] == ["hl_pure-1.0-py3-none-any.whl"]


def test_a_list_with_the_hash_of_a_source_is_built_from_that_source(
    small_index: Path, tmp_path: Path
) -> None:
    archive = backed(small_index, "hl_pinned")
    pinned = tmp_path / "pinned.txt"
    pinned.write_text(f"hl_pinned==1.0 --hash={archive.digest}\n")

    def found(cache: str, *, allowed: bool = True) -> tuple[Wheel, ...]:
        source = PipWheelSource(tmp_path / cache, pinned=pinned, allow_source_builds=allowed)
        return source.wheels(native_target())

    (wheel,) = found("cache")
    assert wheel.source is not None
    assert found("cache") == (wheel,)
    with pytest.raises(WheelDownloadError, match="--allow-source-builds"):
        found("cache", allowed=False)
    assert backed(small_index, "hl_pinned", "CHANGED = 1").digest != archive.digest
    with pytest.raises(WheelDownloadError):
        found("fresh")


def test_a_lock_gives_the_kept_wheel_else_the_same_one_built_again(
    small_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = backed(small_index, "hl_locked", needs=["setuptools"])
    first = builder(tmp_path / "cache").build(archive)
    lock = Lock(base="host", wheels={native_target().platform: locked_wheels((first,))})
    assert read_lock(as_bytes(lock)) == lock
    (found,) = PipWheelSource(tmp_path / "cache", lock=lock).wheels(native_target())
    assert found == first

    with pytest.raises(SourceBuildRefusedError, match="--allow-source-builds"):
        PipWheelSource(tmp_path / "fresh", lock=lock).wheels(native_target())
    (again,) = PipWheelSource(tmp_path / "fresh", lock=lock, allow_source_builds=True).wheels(native_target())
    assert (again.digest, locked_wheels((again,))) == (first.digest, locked_wheels((first,)))

    other = as_bytes(lock).replace(first.digest.encode(), b"sha256:" + b"0" * 64)
    source = PipWheelSource(tmp_path / "fresh", lock=read_lock(other), allow_source_builds=True)
    with pytest.raises(SourceBuildRefusedError, match="another wheel than the one in the lock"):
        source.wheels(native_target())
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    source = PipWheelSource(tmp_path / "third", lock=lock, allow_source_builds=True)
    with pytest.raises(WheelDownloadError, match="the source that the lock names"):
        source.wheels(native_target())


def test_an_archive_of_another_kind_or_name_is_refused(tmp_path: Path) -> None:
    good = backed(tmp_path, "hl_any")
    for other in (
        dataclasses.replace(good, name="numpy"),
        dataclasses.replace(good, filename="hl_any-1.0.rpm"),
    ):
        with pytest.raises(SourceBuildRefusedError):
            builder(tmp_path / "cache").build(other)
    large = Archive("hl_any", "hl_any-1.0.tar.gz", good.digest, tmp_path / "large")
    with large.path.open("wb") as stream:
        stream.truncate(257 * MIB)
    with pytest.raises(SourceBuildRefusedError, match="larger than"):
        builder(tmp_path / "cache").build(large)
