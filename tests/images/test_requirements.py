"""Dependencies of one's own: what is read, what is refused, and wheels for the platform that is asked for."""

import sys
import zipfile
from pathlib import Path

import pytest

from cloud_hub.images.build import PipWheelSource
from cloud_hub.images.build.bases import native_target
from cloud_hub.images.build.errors import (
    BuildCancelledError,
    RequirementsRefusedError,
    RequirementsUnresolvedError,
    WheelDownloadError,
)
from cloud_hub.images.build.lock import Lock, LockedWheel, as_bytes, read_lock
from cloud_hub.images.build.pip_run import pip_command, run_to_end
from cloud_hub.images.build.pip_wheels import SERVER
from cloud_hub.images.build.requirements import read_requirements
from cloud_hub.images.build.target import Target

ARM = Target("linux/arm64", "3.11.2", "glibc 2.36")
NO_HASH = "sha256:" + "0" * 64


def test_a_requirements_file_is_read_with_comments_and_continued_lines() -> None:
    text = b"# mine\nnumpy>=2  # newest\r\nscipy \\\n  >=1.11 ; python_version >= '3.11'\n\n"
    found = read_requirements("requirements", text)
    assert found.lines == ("numpy>=2", "scipy >=1.11 ; python_version >= '3.11'")
    assert not found.locked


def test_a_list_with_hashes_is_a_lock() -> None:
    found = read_requirements("requirements", f"Typing_Extensions==4.1 \\\n  --hash={NO_HASH}\n".encode())
    assert found.locked
    assert found.names() == {"typing-extensions"}


@pytest.mark.parametrize(
    "line",
    [
        "-r other.txt",
        "-e .",
        "--index-url https://elsewhere.example/simple",
        "--extra-index-url=https://elsewhere.example",
        "numpy --global-option=x",
        "numpy @ https://elsewhere.example/numpy.whl",
        "git+https://elsewhere.example/x.git",
        "./local.whl",
        "/etc/passwd",
        "file:///etc/passwd",
        "numpy; import os",
        "$(id)",
    ],
)
def test_what_would_lead_elsewhere_is_refused(line: str) -> None:
    with pytest.raises(RequirementsRefusedError):
        read_requirements("requirements", f"msgspec\n{line}\n".encode())


def test_hashes_for_some_lines_are_refused() -> None:
    with pytest.raises(RequirementsRefusedError, match="some have none"):
        read_requirements("requirements", f"a==1 --hash={NO_HASH}\nb==1\n".encode())


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a" * ((1 << 20) + 1)])
def test_what_is_no_text_or_too_large_is_refused(data: bytes) -> None:
    with pytest.raises(RequirementsRefusedError):
        read_requirements("requirements", data)


def test_pyproject_gives_its_dependencies_and_its_python() -> None:
    found = read_requirements(
        "pyproject", b'[project]\nname="x"\nrequires-python=">=3.12"\ndependencies=["numpy>=2"]\n'
    )
    assert found.lines == ("numpy>=2",)
    with pytest.raises(RequirementsRefusedError, match=r"for Python >=3\.12, the image has 3\.11\.2"):
        found.check_python(ARM)


@pytest.mark.parametrize(
    "text",
    [
        "[project]\ndynamic=['dependencies']\n",
        "[tool.x]\n",
        "[project\n",
        "[project]\ndependencies='numpy'\n",
    ],
)
def test_a_pyproject_without_a_list_is_refused(text: str) -> None:
    with pytest.raises(RequirementsRefusedError):
        read_requirements("pyproject", text.encode())


def test_of_a_conda_file_the_pip_part_counts() -> None:
    text = "name: x\nchannels: [c]\ndependencies:\n  - python=3.11.4\n  - pip\n  - pip:\n    - numpy>=2\n"
    found = read_requirements("conda", text.encode())
    assert (found.lines, found.python) == (("numpy>=2",), "==3.11.*")
    found.check_python(ARM)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("numpy=1.26", "numpy=1.26: only packages of pip"),
        ("conda-forge::scipy", "scipy"),
        ("{a: [b]}", "pip"),
    ],
)
def test_packages_of_conda_are_refused_by_name(entry: str, reason: str) -> None:
    with pytest.raises(RequirementsRefusedError, match=reason):
        read_requirements("conda", f"dependencies:\n  - python\n  - {entry}\n".encode())


def test_a_conda_python_that_does_not_fit_is_refused() -> None:
    found = read_requirements("conda", b"dependencies:\n  - python=3.9\n")
    with pytest.raises(RequirementsRefusedError, match=r"3\.9"):
        found.check_python(ARM)


def test_a_conda_bomb_is_refused() -> None:
    with pytest.raises(RequirementsRefusedError, match="alias"):
        read_requirements("conda", b"a: &a [1]\ndependencies: [*a]\n")


def test_the_tags_of_a_target_go_down_to_the_oldest_glibc() -> None:
    tags = ARM.platform_tags()
    assert tags[0] == "manylinux_2_36_aarch64"
    assert tags[-3:] == ("manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64")
    assert "manylinux1_x86_64" in Target("linux/amd64", "3.11.2", "glibc 2.36").platform_tags()
    assert Target("linux/amd64", "3.12.1", "musl 1.2").platform_tags()[0] == "musllinux_1_2_x86_64"


def test_wheels_are_resolved_for_another_processor_and_its_markers(wheels_dir: Path, tmp_path: Path) -> None:
    index = _index(tmp_path, "onlyarm-1.0-py3-none-any.whl", "onlyhere-1.0-py3-none-any.whl")
    wanted = read_requirements(
        "requirements",
        b"onlyarm==1.0; platform_machine == 'aarch64'\nonlyhere==1.0; platform_machine == 'x86_64'\n",
    )
    report = tmp_path / "report.json"
    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(wanted.lines))
    arguments = ["--no-index", "--find-links", str(index), "--dry-run", "--report", str(report)]
    arguments += ["--target", str(tmp_path / "none"), "-r", str(lines)]
    command = pip_command("install", ARM, arguments)
    code, said = run_to_end(command, timeout_s=60, cancelled=lambda: False)
    assert code == 0, said
    assert "onlyarm" in report.read_text()
    assert "onlyhere" not in report.read_text()


def test_requirements_that_contradict_the_server_are_not_solved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wanted = read_requirements("requirements", b"msgspec>=99\n")
    with pytest.raises(RequirementsUnresolvedError, match="msgspec"):
        PipWheelSource(tmp_path, wanted=wanted).wheels(native_target())
    assert list(tmp_path.iterdir()) == []


def test_a_locked_list_replaces_the_servers_own_pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wanted = read_requirements("requirements", f"msgspec==99.0 --hash={NO_HASH}\n".encode())
    with pytest.raises(WheelDownloadError, match=r"msgspec==99\.0"):
        PipWheelSource(tmp_path, wanted=wanted).wheels(native_target())


def test_a_lock_is_read_back_and_a_changed_one_refused() -> None:
    wheel = LockedWheel(name="x", version="1.0", filename="x-1.0-py3-none-any.whl", digest=NO_HASH)
    lock = Lock(base="host", wheels={"linux/amd64": (wheel,)})
    assert read_lock(as_bytes(lock)) == lock
    for old, new in ((b'"x"', b'"y"'), (b"sha256:0", b"md5:0"), (b'"format":1', b'"format":2'), (b"{", b"[")):
        with pytest.raises(RequirementsRefusedError, match="not a lock"):
            read_lock(as_bytes(lock).replace(old, new, 1))


def test_a_cancelled_child_takes_its_children_with_it(tmp_path: Path) -> None:
    looks = iter([False, True])
    script = "import subprocess, sys; subprocess.run(['sleep', '600'])"
    with pytest.raises(BuildCancelledError):
        run_to_end([sys.executable, "-c", script], timeout_s=60, cancelled=lambda: next(looks))


def test_what_the_server_needs_is_what_its_own_list_says() -> None:
    text = (Path(__file__).parents[2] / "modules/serving/requirements.in").read_text()
    assert tuple(line for line in text.splitlines() if line and not line.startswith("#")) == SERVER


def _index(folder: Path, *names: str) -> Path:
    """Return a folder with wheels that hold nothing but their names."""
    index = folder / "index"
    index.mkdir()
    for filename in names:
        name, version = filename.split("-")[:2]
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(index / filename, "w") as archive:
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            archive.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{info}/RECORD", "")
    return index
