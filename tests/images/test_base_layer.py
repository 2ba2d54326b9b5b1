"""The base layer of any Python on this machine runs, also where it is not the one that runs the hub."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from cloud_hub.images.build import HostRuntimeError, elf
from cloud_hub.images.build.base_layer import collect_base
from cloud_hub.images.build.interpreter import describe
from cloud_hub.images.build.layer_tar import write_layer
from cloud_hub.images.build.shared_libraries import expected_by_wheels, linkage_of, parse_ldd

LOOK = """
import asyncio, ctypes, json, platform, sqlite3, ssl, sys, sysconfig
with open("/proc/self/maps") as maps:
    mapped = sorted({line.split(maxsplit=5)[5].strip() for line in maps if ".so" in line})
print(json.dumps({"mapped": mapped, "version": sys.version, "prefix": sys.prefix,
                  "abi": sysconfig.get_config_var("SOABI"), "known": sysconfig.get_config_var("prefix")}))
"""
ASK = "import sys, sysconfig, json; print(json.dumps([sys.version, sysconfig.get_config_var('SOABI')]))"


def _pythons() -> list[Path]:
    """Other Pythons: the system's, and those installed beside the running one, one for each version."""
    beside = sorted(Path(sys.base_prefix).parent.glob("*/bin/python3.1[1-9]"))
    found = [Path("/usr/bin/python3"), *beside]
    running = Path(sys.executable).resolve()
    return [path for path in found if path.is_file() and path.resolve() != running]


@pytest.mark.parametrize("python", _pythons(), ids=lambda path: f"{path.parts[-3]}-{path.name}")
def test_it_runs_another_python(python: Path, tmp_path: Path) -> None:
    said = subprocess.run([python, "-I", "-c", ASK], check=True, capture_output=True)
    version, abi = json.loads(said.stdout)

    write_layer(collect_base(describe(python)), tmp_path / "layer", title="runtime")

    rootfs = tmp_path / "rootfs"
    with tarfile.open(tmp_path / "layer", "r:gz") as tar:
        tar.extraction_filter = lambda one, _: one  # older Pythons have no other way
        tar.extractall(rootfs)
    loader = next(rootfs.glob("lib*/ld-linux*.so.*"))
    libraries, program = rootfs / "opt/python/lib", rootfs / "opt/python/bin/python3"
    done = subprocess.run(
        [loader, "--library-path", libraries, program, "-B", "-c", LOOK],
        env={},
        cwd="/",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    answer = json.loads(done.stdout)
    assert [path for path in answer["mapped"] if not path.startswith(f"{rootfs}/")] == []
    assert (answer["version"], answer["abi"]) == (version, abi)
    assert (answer["prefix"], answer["known"]) == (f"{rootfs}/opt/python", "/opt/python")


def test_a_wrapper_script_is_refused(tmp_path: Path) -> None:
    wrapper = tmp_path / "python3"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    with pytest.raises(HostRuntimeError, match="not an ELF program"):
        describe(wrapper)


def test_a_program_that_is_no_python_is_refused() -> None:
    with pytest.raises(HostRuntimeError, match="did not say"):
        describe(Path("/bin/true"))


def test_a_missing_libstdcpp_is_said_with_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(HostRuntimeError, match=r"libgcc_s\.so\.1 is not on this machine.*Install it"):
        expected_by_wheels([tmp_path])
    for name in ("libgcc_s.so.1", "libstdc++.so.6"):
        (tmp_path / name).touch()
    assert sorted(expected_by_wheels([tmp_path])) == ["libgcc_s.so.1", "libstdc++.so.6"]


def test_ldd_is_read_with_missing_and_static_files() -> None:
    text = (
        "/a:\n\tlinux-vdso.so.1 (0x00007f)\n\tlibx.so.1 => /odd path/libx.so.1 (0x00aa)\n"
        "\tliby.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x01)\n/b:\n\tstatically linked\n"
    )
    sections = parse_ldd(text, first="/a")
    assert sections["/a"].libraries == {"libx.so.1": Path("/odd path/libx.so.1")}
    assert sections["/a"].missing == ("liby.so",)
    assert sections["/a"].loader == Path("/lib64/ld-linux-x86-64.so.2")
    assert sections["/b"].libraries == {}


def test_the_loader_of_this_machine_is_found() -> None:
    program = Path(sys.executable).resolve()
    linkage = linkage_of([program])[program]
    assert linkage.loader is not None
    assert linkage.loader.is_file()
    assert "libc.so.6" in linkage.libraries


def test_a_prefix_goes_and_every_string_keeps_its_end() -> None:
    program = b"\0/home/ann/py/3.11.7/lib\0/home/ann/py/3.11.7\0/home/ann/py/3.11.70\0/home/ann\0"
    blanked = elf.without_prefix(program, "/home/ann/py/3.11.7")
    folder = b"/" * len("/home/ann/py")
    kept = b"/home/ann/py/3.11.70\0/home/ann\0"
    assert blanked == b"\0" + folder + b"/3.11.7/lib\0" + folder + b"/3.11.7\0" + kept


def test_a_trimmed_program_still_runs_and_is_smaller(tmp_path: Path) -> None:
    whole = Path("/bin/true").read_bytes() + b"symbols" * 10_000
    small = tmp_path / "true"
    small.write_bytes(elf.trimmed(whole))
    small.chmod(0o755)
    assert small.stat().st_size < len(whole) - 60_000
    assert subprocess.run([small], check=False).returncode == 0


def test_what_is_not_a_whole_program_is_left_alone() -> None:
    program = Path("/bin/true").read_bytes()
    for odd in (b"", b"\x7fELF", program[:100], program[: len(program) // 2], b"text " * 100):
        assert elf.trimmed(odd) == odd
