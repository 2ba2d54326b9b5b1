"""Paths of the host: whatever a module puts below an allowed one leads nowhere else."""

import os
from pathlib import Path

import pytest

from agent.policy.host_paths import HostPathError, open_beneath


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    (tmp_path / "state/identity").mkdir(parents=True)
    folder = tmp_path / "srv"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner/file").write_text("x")
    return folder


def opened(allowed: Path, path: str, never: str = "/var/lib/headland-agent") -> Path:
    place = open_beneath(str(allowed), path, never=Path(never))
    try:
        return Path(f"/proc/self/fd/{place}").readlink()
    finally:
        os.close(place)


def test_what_is_there_is_opened(allowed: Path) -> None:
    for path in (allowed, allowed / "inner", allowed / "inner/file"):
        assert opened(allowed, str(path)) == path.resolve()


def test_what_the_owner_named_may_be_a_link(allowed: Path) -> None:
    link = allowed.with_name("link")
    link.symlink_to(allowed)
    assert opened(link, f"{link}/inner") == (allowed / "inner").resolve()


@pytest.mark.parametrize("target", ["../secret", "inner", "/etc"])
def test_a_link_below_is_not_followed_wherever_it_leads(allowed: Path, target: str) -> None:
    (allowed / "a").symlink_to(target)
    assert Path(f"{allowed}/a").exists(), "the control: by name it leads somewhere"
    for path in (f"{allowed}/a", f"{allowed}/a/passwd"):
        with pytest.raises(HostPathError):
            opened(allowed, path)


def test_the_agents_own_folder_is_never_given(allowed: Path) -> None:
    above = allowed.parent
    for path in (above, above / "state", above / "state/identity"):
        with pytest.raises(HostPathError, match="own folder"):
            opened(above, str(path), str(above / "state"))


def test_what_is_not_there_and_what_is_no_file_or_folder_is_refused(allowed: Path) -> None:
    os.mkfifo(allowed / "pipe")
    for name in ("pipe", "missing", "inner/file/x"):
        with pytest.raises(HostPathError):
            opened(allowed, f"{allowed}/{name}")
    assert len(list(Path("/proc/self/fd").iterdir())) < 200
