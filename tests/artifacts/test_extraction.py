"""Layers are unpacked in a child: what it makes is the same, and what it is refused has its name."""

import gzip
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.artifacts.errors import ExtractionLostError, LayerRefusedError
from agent.artifacts.extraction import extracted
from agent.artifacts.pull import pull_image, staged_image
from agent.artifacts.store import ContentStore
from agent.artifacts.unpack import unpack
from agent.confinement.run import CHILD
from contract.digests import sha256
from tests.artifacts.conftest import Site
from tests.artifacts.registry import make_tar, tree

FILES = {f"folder{n % 3}/file{n}": os.urandom(300) for n in range(50)} | {"ümlaut/\udce4": b"not UTF-8"}


def test_a_child_makes_what_the_agent_would(tmp_path: Path) -> None:
    plain = make_tar(FILES)
    (tmp_path / "layer").write_bytes(gzip.compress(plain))
    (tmp_path / "here").mkdir()
    store = ContentStore(tmp_path / "content")
    with extracted(tmp_path / "layer", sha256(plain), store) as made:
        pass
    assert made == sha256(plain) == unpack(tmp_path / "layer", tmp_path / "here")
    layer = store.layer(made)
    assert layer is not None
    assert tree(layer) == tree(tmp_path / "here")
    assert store.recipe(made) is not None


def test_a_layer_that_is_refused_in_the_child_is_refused_by_name_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(make_tar({"../outside": b"x"}))
    store = ContentStore(tmp_path / "content")
    with (
        pytest.raises(LayerRefusedError, match="leads out of the layer"),
        extracted(tmp_path / "layer", "sha256:" + "1" * 64, store),
    ):
        pass
    assert [path for each in ("layers", "recipes") for path in (tmp_path / "content" / each).iterdir()] == []
    assert not (tmp_path / "content/outside").exists()


def test_a_child_that_is_killed_is_tried_again(site: Site) -> None:
    """As by the kernel's out-of-memory killer."""
    many = make_tar({f"folder{n % 20}/file{n}": os.urandom(2000) for n in range(4000)})
    ref = site.served.add_image([many], site.architecture)
    killer = threading.Thread(target=lambda: os.kill(_child(), signal.SIGKILL))
    killer.start()
    with pytest.raises(ExtractionLostError) as caught:
        pull_image(ref, site.client, site.store)
    killer.join()
    assert caught.value.retriable
    assert list((site.folder / "content/layers").iterdir()) == []
    sent = dict(site.served.sent)
    pull_image(ref, site.client, site.store)
    assert staged_image(ref, site.store)
    assert site.served.sent == sent  # what was pulled is still here


def _child() -> int:
    def found() -> int | None:
        # Of any thread of this process: it is a thread that starts the child.
        for task in Path("/proc/self/task").iterdir():
            for pid in _read(task / "children").decode().split():
                if str(CHILD).encode() in _read(Path(f"/proc/{pid}/cmdline")):
                    return int(pid)
        return None

    return _within(found)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _within(look: Callable[[], int | None]) -> int:
    deadline = time.monotonic() + 20
    while (found := look()) is None:
        assert time.monotonic() < deadline
    return found
