"""Images from nearby: folders that come and go, mirrors that lie, and the hub behind them."""

import os
import random
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec
import pytest

from agent.artifacts.delta import Savings
from agent.artifacts.errors import DigestMismatchError, FetchError, PullWaitsError
from agent.artifacts.fetch import HttpsRegistry
from agent.artifacts.flow import Flow, FlowRules
from agent.artifacts.folder import FolderSource
from agent.artifacts.places import Source as SourceSettings
from agent.artifacts.places import registry_of
from agent.artifacts.pull import pull_image, staged_image
from agent.artifacts.sources import LEFT_ALONE_S, Nearby, Source, Sources
from agent.artifacts.windows import read_window
from agent.errors import SettingsError
from agent.settings import load
from contract.desired import ImageRef
from contract.digests import hex_of
from tests.agent.settings_file import refused
from tests.artifacts.conftest import Site
from tests.artifacts.registry import Registry, make_tar, serve

NOISE = random.Random(7).randbytes(800_000)


@dataclass
class Stage:
    """A hub with an image, and what else may have it."""

    site: Site
    ref: ImageRef
    savings: Savings
    now: float = 0.0

    @property
    def layer(self) -> str:
        """Digest of the blob that is worth it."""
        return max(self.site.served.content, key=lambda each: len(self.site.served.content[each]))

    def sources(self, *nearby: Source) -> Sources:
        named = [Nearby(f"place {number}", source) for number, source in enumerate(nearby)]
        return Sources(self.site.client, named, self.savings, monotonic=lambda: self.now)

    def pull(self, *nearby: Source) -> None:
        pull_image(self.ref, self.sources(*nearby), self.site.store, self.savings)
        assert staged_image(self.ref, self.site.store)

    def counts(self) -> tuple[object, object]:
        report = self.savings.report()
        return report.elsewhere_bytes, report.skipped_sources

    def stick(self, name: str = "stick") -> Path:
        """Return a folder with all that the hub has, as an OCI image layout has it."""
        folder = self.site.folder / name
        (folder / "blobs/sha256").mkdir(parents=True)
        for digest, data in self.site.served.content.items():
            (folder / "blobs/sha256" / hex_of(digest)).write_bytes(data)
        return folder

    def file(self, folder: Path) -> Path:
        return folder / "blobs/sha256" / hex_of(self.layer)


@pytest.fixture
def stage(site: Site) -> Stage:
    ref = site.served.add_image([make_tar({"f": NOISE}), make_tar({"g": b"g"})], site.architecture)
    savings = Savings()
    savings.count_sources()
    return Stage(site, ref, savings)


@contextmanager
def mirror(stage: Stage, name: str = "mirror") -> Iterator[tuple[Registry, HttpsRegistry]]:
    """Serve all that the hub has at another address with another CA; it asks for the device's certificate."""
    folder = stage.site.folder / name
    folder.mkdir()
    served = Registry(content=dict(stage.site.served.content))
    server, context = serve(served, folder, ask_for=stage.site.folder / "ca.pem")
    yield served, HttpsRegistry(served.url, context, timeout_s=5)
    server.shutdown()
    server.server_close()


def test_all_comes_from_a_folder_and_the_hub_is_asked_for_deltas_at_the_most(stage: Stage) -> None:
    stage.pull(FolderSource(stage.stick()))
    assert stage.site.served.asked == []
    elsewhere, skipped = stage.counts()
    report = stage.savings.report()
    assert elsewhere == report.received_bytes > len(NOISE)
    assert skipped == 0


def test_without_a_folder_the_hub_gives_it_and_nobody_is_to_blame(stage: Stage) -> None:
    stage.pull(FolderSource(stage.site.folder / "not-plugged-in"))
    assert stage.layer in stage.site.served.sent
    assert stage.counts() == (0, 0)


def flipped(path: Path) -> None:
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [flipped, shorter, link, pipe, folder])
def test_a_folder_with_something_else_under_the_name_is_skipped(
    stage: Stage, spoil: Callable[[Path], None]
) -> None:
    stick = stage.stick()
    spoil(stage.file(stick))
    stage.pull(FolderSource(stick))
    assert stage.layer in stage.site.served.sent
    _, skipped = stage.counts()
    assert skipped == 1


class Yanked(FolderSource):
    """A stick that is pulled out after 300 kB of the large layer."""

    def _chunks(self, source: IO[bytes], offset: int) -> Iterator[bytes]:
        given = 0
        for chunk in super()._chunks(source, offset):
            if given + len(chunk) > 300_000:
                raise FetchError("the folder cannot be read (Input/output error)")
            given += len(chunk)
            yield chunk


def test_the_hub_goes_on_where_a_stick_was_pulled_out(stage: Stage) -> None:
    stage.pull(Yanked(stage.stick()))
    size = len(stage.site.served.content[stage.layer])
    assert 0 < stage.site.served.sent[stage.layer] < size - 200_000
    assert stage.counts() == (stage.savings.report().elsewhere_bytes, 1)


def test_a_mirror_gets_neither_the_certificate_nor_anything_else_of_the_device(stage: Stage) -> None:
    """The hub, asked in the same way, does see the certificate: the mirror would have, too."""
    with mirror(stage) as (served, _), mirror(stage, "hub") as (hub, _):
        hub_context = ssl.create_default_context(cafile=str(stage.site.folder / "hub/ca.pem"))
        hub_context.load_cert_chain(stage.site.folder / "server.pem")
        place = SourceSettings(at=served.url, ca_file=str(stage.site.folder / "mirror/ca.pem"))
        del served.content[stage.layer]  # so that the hub is asked too
        registry = registry_of(HttpsRegistry(hub.url, hub_context), [place], stage.savings)
        pull_image(stage.ref, registry, stage.site.store, stage.savings)
        assert served.asked
        assert set(served.certificates) == {None}
        assert {name for head in served.heads for name in head} <= {"Host", "Accept", "Accept-Encoding"}
        assert all(head["Host"] == served.url.removeprefix("https://") for head in served.heads)
        assert hub.certificates
        assert None not in hub.certificates


@pytest.mark.parametrize("fault", ["flipped", "longer", "status", "redirect"])
def test_a_mirror_that_lies_or_fails_is_skipped(stage: Stage, fault: str) -> None:
    with mirror(stage) as (served, client):
        if fault == "status":
            served.status[stage.layer] = 503
        elif fault == "redirect":
            served.status[stage.layer], served.location = 307, stage.site.served.url
        else:
            getattr(served, fault).add(stage.layer)
        stage.pull(client)
        assert stage.layer in stage.site.served.sent
        _, skipped = stage.counts()
        assert skipped == (0 if fault == "redirect" else 1)


def test_a_mirror_that_poisons_half_a_download_does_so_once(stage: Stage) -> None:
    """Its first half is wrong, and it hangs up: the hub goes on with it, sees it, and begins anew."""
    with mirror(stage) as (served, client):
        served.flipped.add(stage.layer)
        size = len(stage.site.served.content[stage.layer])
        sources = stage.sources(client)
        served.cut_after[stage.layer] = size // 2
        pull_image(stage.ref, sources, stage.site.store, stage.savings)
        hub = [wanted for path, wanted in stage.site.served.asked if path.endswith(stage.layer)]
        assert len(hub) == 2
        assert hub[0] != ""
        assert hub[1] == ""
        stage.now += LEFT_ALONE_S
        asked = len([path for path, _ in served.asked if path.endswith(stage.layer)])
        stage.site.store.sweep([], [])
        pull_image(stage.ref, sources, stage.site.store, stage.savings)
        assert len([path for path, _ in served.asked if path.endswith(stage.layer)]) == asked


def test_a_mirror_that_is_down_is_asked_once_and_then_after_a_while_again(stage: Stage) -> None:
    with mirror(stage) as (served, client):
        sources = stage.sources(client)
        for digest in served.content:
            served.status[digest] = 503
        pull_image(stage.ref, sources, stage.site.store, stage.savings)
        assert len(served.asked) == 1
        stage.site.store.sweep([], [])
        served.status.clear()
        stage.now += LEFT_ALONE_S
        stage.site.served.asked.clear()
        pull_image(stage.ref, sources, stage.site.store, stage.savings)
        assert not any("/blobs/" in path for path, _ in stage.site.served.asked)


def test_the_order_is_kept(stage: Stage) -> None:
    first, second = stage.stick("first"), stage.stick("second")
    stage.file(first).unlink()
    stage.pull(FolderSource(first), FolderSource(second))
    assert stage.layer not in stage.site.served.sent
    assert stage.counts()[1] == 0


def test_what_is_wrong_everywhere_is_wrong(stage: Stage) -> None:
    stick = stage.stick()
    flipped(stage.file(stick))
    stage.site.served.flipped.add(stage.layer)
    with pytest.raises(DigestMismatchError):
        stage.pull(FolderSource(stick))
    assert staged_image(stage.ref, stage.site.store) is None


def test_a_folder_keeps_to_the_windows(stage: Stage) -> None:
    flow = Flow(
        FlowRules(windows=(read_window("00:00-00:01"),)), now=lambda: datetime(2026, 1, 1, 12, tzinfo=UTC)
    )
    watched = FolderSource(stage.stick()).watched(flow.watch("pull"))
    with pytest.raises(PullWaitsError):
        pull_image(stage.ref, stage.sources(watched), stage.site.store)


def test_the_report_tells_of_sources_only_where_there_are_some() -> None:
    assert b"elsewhere" not in msgspec.json.encode(Savings().report())
    counted = Savings()
    counted.count_sources()
    counted.add(elsewhere=5, skipped=1)
    assert b'"elsewhere_bytes":5,"skipped_sources":1' in msgspec.json.encode(counted.report())


@pytest.mark.parametrize(
    "source",
    [
        'at = "folder:usb"', 'at = "folder:/usb"\nca_file = "/ca.pem"', 'at = "ftp://mirror"',
        'at = "http://mirror"\nca_file = "/ca.pem"',
        'at = "https://"', 'at = "https://user:s3cret@mirror"', 'at = "https://mirror/path"',
        'at = "https://mirror?x"', 'at = "https://mirror:99999"', 'at = "/usb"', 'ca_file = "/ca.pem"',
        'at = "https://mirror"\ntoken = "s3cret"',
    ],
)  # fmt: skip
def test_settings_that_are_wrong(tmp_path: Path, source: str) -> None:
    assert "s3cret" not in refused(tmp_path, f"[[sources]]\n{source}\n")


def test_settings_that_are_right(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[[sources]]\nat = "folder:/usb"\n\n[[sources]]\nat = "https://mirror:5000"\n')
    assert isinstance(registry_of(stage.site.client, load(path).sources, Savings()), Sources)
    assert registry_of(stage.site.client, load(None).sources, Savings()) is stage.site.client
    absent = SourceSettings(at="https://mirror", ca_file="/not/there.pem")
    with pytest.raises(SettingsError, match=r"not/there\.pem"):
        registry_of(stage.site.client, [absent], Savings())
