"""What is in the layers, and what must not be."""

import sys
import tarfile
from pathlib import Path

from tests.images.conftest import ROOT, Built

TEXT = {".py", ".pyc", ".json", ".txt", ".md", ".toml", ".cfg", ""}


def _members(built: Built) -> list[tarfile.TarInfo]:
    found = []
    for layer in built.image.layers:
        with built.open_layer(layer) as tar:
            found += tar.getmembers()
    return found


def test_entries_have_fixed_times_owners_and_modes_and_are_sorted(built: Built) -> None:
    for layer in built.image.layers:
        with built.open_layer(layer) as tar:
            members = tar.getmembers()
        names = [f"/{member.name}" for member in members]
        assert names == sorted(names)
        assert len(names) == len(set(names))
        for member in members:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
            assert member.mode in {0o644, 0o755, 0o777 if member.issym() else 0o755} or member.name == "tmp"
            parent = str(Path(member.name).parent)
            assert parent == "." or f"/{parent}" in names[: names.index(f"/{member.name}")]


def _leaks(built: Built, secrets: tuple[bytes, ...]) -> list[str]:
    found = []
    for layer in built.image.layers:
        with built.open_layer(layer) as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.isfile() else None
                if stream is None:
                    continue
                data = stream.read()
                # Compiled extensions of wheels name their own build machines; our runtime names none.
                if layer.title == "runtime" or Path(member.name).suffix in TEXT:
                    found += [member.name for secret in secrets if secret in data]
    return found


def test_no_path_of_this_machine_is_in_an_image(built: Built) -> None:
    places = {sys.prefix, sys.base_prefix, str(Path.home()), str(ROOT), str(built.root), str(built.wheels)}
    secrets = tuple(f"{place}/".encode() for place in places - {"/", "/usr", "/usr/local"})
    assert secrets
    assert _leaks(built, secrets) == []
    # The search does find a path that is there.
    assert _leaks(built, (b"/opt/python/lib/python",))


def test_every_module_has_bytecode_except_in_test_suites(built: Built) -> None:
    names = {member.name for member in _members(built)}
    sources = [name for name in names if name.endswith(".py") and "/tests/" not in name]
    tag = sys.implementation.cache_tag
    missing = []
    for source in sources:
        folder, _, name = source.rpartition("/")
        if f"{folder}/__pycache__/{name.removesuffix('.py')}.{tag}.pyc" not in names:
            missing.append(source)
    assert len(sources) > 1000
    assert missing == []


def test_what_a_device_never_needs_is_left_out(built: Built) -> None:
    for member in _members(built):
        parts = member.name.split("/")
        if member.name.startswith("opt/python/"):
            assert not {"site-packages", "idlelib", "ensurepip", "test", "tkinter"} & set(parts)
            assert not member.name.endswith((".a", ".o"))


def test_of_our_own_packages_only_the_contract_and_the_server_are_there(built: Built) -> None:
    names = [member.name for member in _members(built) if member.name.startswith("opt/headland/app/")]
    tops = {tuple(name.split("/")[3:5]) for name in names if name.count("/") > 3}
    assert "opt/headland/app/modules/serving/__main__.py" in names
    assert {top[0] for top in tops} == {"contract", "modules"}
    assert {top[1] for top in tops if top[0] == "modules"} == {"__init__.py", "__pycache__", "serving"}
