"""A registry that is down, answers 503, crawls, breaks off, or sends another byte (FAULTS 12).

A whole puller with its planner, over TLS: nothing is ever started with a byte that is not the true one, what
came is not asked for again, and a registry that crawls is given up in time. Each guard has its control.
"""

import gzip
import random
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from agent.artifacts.delta import Savings
from agent.artifacts.errors import ArtifactError
from agent.artifacts.fetch import HttpsRegistry
from agent.artifacts.pull import pull_image
from agent.artifacts.sources import Nearby, Sources
from agent.artifacts.store import ContentStore
from contract import oci
from contract.desired import ImageRef
from contract.digests import sha256
from tests.artifacts.registry import Registry, make_tar, serve
from tests.faults.puller import Puller, architecture
from tests.neighbours.shop import identity

NOISE = random.Random(12).randbytes(1_500_000)
PROGRAM = {"bin/x": b"it runs"}
FILES = {1: {"m": b"one"}, 2: {"m": NOISE}, 3: {"m": b"three"}}
TENTH = 0.1


@dataclass
class Bench:
    """The registry, what is wrong with it, and the device."""

    served: Registry
    server: ThreadingHTTPServer
    context: ssl.SSLContext
    refs: dict[int, ImageRef]
    puller: Puller
    folder: Path

    @property
    def layer(self) -> str:
        """Digest of the blob that matters, the layer of version 2."""
        return max(self.served.content, key=lambda digest: len(self.served.content[digest]))

    def part(self, name: str) -> str:
        """Digest of a part of version 2's image."""
        index = msgspec.json.decode(self.served.content[self.refs[2].digest], type=oci.Index)
        manifest = msgspec.json.decode(self.served.content[index.manifests[0].digest], type=oci.Manifest)
        return {
            "index": self.refs[2].digest, "manifest": index.manifests[0].digest,
            "config": manifest.config.digest, "layer": self.layer,
        }[name]  # fmt: skip

    def again(self) -> float:
        """The share of the layer's bytes that were sent more than once."""
        size = len(self.served.content[self.layer])
        return (self.served.sent[self.layer] - size) / size


@pytest.fixture
def bench(folder: Path) -> Iterator[Bench]:
    """A device that runs version 1, and is to run version 2."""
    served = Registry()
    server, context = serve(served, folder)
    refs = {
        version: served.add_image(
            [make_tar(PROGRAM), make_tar(files)],
            architecture(),
            args=("/bin/x", str(version)),
            name=f"m:{version}",
        )
        for version, files in FILES.items()
    }
    truth = {f"m:{version}": PROGRAM | files for version, files in FILES.items()}
    client = HttpsRegistry(served.url, context, timeout_s=5)
    (folder / "device").mkdir()
    puller = Puller(folder / "device", client, truth)
    made = Bench(served, server, context, refs, puller, folder)
    puller.desire(refs[1])
    assert puller.try_once().state == "running"
    puller.desire(refs[2])
    yield made
    puller.close()
    server.shutdown()
    server.server_close()


def waits(bench: Bench, code: str) -> None:
    """Try once; version 1 runs on, and the report says why version 2 is not here."""
    line = bench.puller.try_once()
    assert line.state == "pulling"
    assert f"[{code}]" in line.reason
    assert bench.puller.running() == ["m:1"]


def converges(bench: Bench) -> None:
    """All is well again: version 2 runs, with true bytes."""
    assert bench.puller.try_once().state == "running"
    assert bench.puller.running() == ["m:2"]
    assert bench.puller.wrong == []


def test_down(bench: Bench) -> None:
    bench.server.shutdown()
    bench.server.server_close()
    for _ in range(3):
        waits(bench, "fetch-failed")
    server, context = serve(bench.served, bench.folder)
    bench.puller.executor.close()
    bench.puller.registry = HttpsRegistry(bench.served.url, context, timeout_s=5)
    bench.puller.begin()
    converges(bench)
    server.shutdown()
    server.server_close()
    assert bench.again() == 0


@pytest.mark.parametrize(
    ("part", "status"),
    [("index", 503), ("manifest", 503), ("config", 503), ("layer", 503), ("layer", 500), ("layer", 429)],
)
def test_answers_that_pass(bench: Bench, part: str, status: int) -> None:
    bench.served.status[bench.part(part)] = status
    for _ in range(2):
        waits(bench, "fetch-failed")
    bench.served.status.clear()
    converges(bench)
    assert bench.again() == 0


@pytest.mark.parametrize(
    ("part", "share"),
    [("index", 0.5), ("manifest", 0.5), ("config", 0.5), ("layer", 0), ("layer", 0.5), ("layer", 0.99)],
)
def test_truncated(bench: Bench, part: str, share: float) -> None:
    digest = bench.part(part)
    size = len(bench.served.content[digest])
    for _ in range(2):
        here = bench.puller.device.store.partial_file(digest)
        have = here.stat().st_size if here.exists() else 0
        bench.served.cut_after[digest] = int((size - have) * share)
        waits(bench, "fetch-failed")
    converges(bench)
    assert bench.again() < TENTH


def test_truncated_and_called_whole(bench: Bench) -> None:
    """Something on the way says a shorter length, and sends that."""
    data = bench.served.content[bench.layer]
    bench.served.instead[bench.layer] = data[: len(data) // 2]
    waits(bench, "fetch-failed")
    bench.served.instead.clear()
    converges(bench)
    assert bench.again() < TENTH


def test_an_agent_that_was_restarted_goes_on_too(bench: Bench) -> None:
    bench.served.cut_after[bench.layer] = len(NOISE) // 2
    waits(bench, "fetch-failed")
    bench.puller.executor.close()
    bench.puller.begin()
    converges(bench)
    assert bench.again() < TENTH


def test_another_part_than_was_asked_for_does_not_spoil_what_is_here(bench: Bench) -> None:
    bench.served.cut_after[bench.layer] = len(NOISE) // 2
    waits(bench, "fetch-failed")
    kept = bench.puller.device.store.partial_file(bench.layer).read_bytes()
    bench.served.ranges_from = 7
    waits(bench, "fetch-failed")
    assert bench.puller.device.store.partial_file(bench.layer).read_bytes() == kept
    bench.served.ranges_from = None
    converges(bench)


class Forgetful(HttpsRegistry):
    """The control: it begins anew each time."""

    def blob(self, repository: str, descriptor: oci.Descriptor, target: Path) -> int:
        """Forget what is here."""
        target.unlink(missing_ok=True)
        return super().blob(repository, descriptor, target)


def test_negative_control_who_begins_anew_is_seen_by_the_bytes_sent(bench: Bench) -> None:
    bench.puller.executor.close()
    bench.puller.registry = Forgetful(bench.served.url, bench.context, timeout_s=5)
    bench.puller.begin()
    bench.served.cut_after[bench.layer] = len(NOISE) // 2
    waits(bench, "fetch-failed")
    converges(bench)
    assert bench.again() > TENTH


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("index", "flipped"), ("manifest", "flipped"), ("config", "flipped"), ("layer", "flipped"),
        ("manifest", "longer"), ("layer", "longer"), ("layer", "another"),
    ],
)  # fmt: skip
def test_wrong_bytes(bench: Bench, part: str, wrong: str) -> None:
    """The version has failed, for good: the old one runs, and the next document is another matter."""
    digest = bench.part(part)
    data = bytearray(bench.served.content[digest])
    if wrong == "flipped":
        data[len(data) // 2] ^= 1
    elif wrong == "longer":
        data += b" "
    else:
        data = bytearray(len(data))
    bench.served.instead[digest] = bytes(data)
    line = bench.puller.try_once()
    assert (line.state, line.image) == ("rolled_back", "m:1")
    assert "[digest-mismatch]" in line.reason
    asked = len(bench.served.asked)
    bench.puller.try_once()
    assert len(bench.served.asked) == asked, "the same generation is not tried again"
    assert bench.puller.running() == ["m:1"]
    bench.served.instead.clear()
    bench.puller.desire(bench.refs[2])
    converges(bench)


def test_a_byte_flipped_in_the_second_half_costs_the_blob_and_nothing_else(bench: Bench) -> None:
    bench.served.cut_after[bench.layer] = len(NOISE) // 2
    waits(bench, "fetch-failed")
    data = bytearray(bench.served.content[bench.layer])
    data[-100] ^= 1
    bench.served.instead[bench.layer] = bytes(data)
    waits(bench, "fetch-damaged")
    bench.served.instead.clear()
    converges(bench)


@pytest.mark.parametrize("wrong", [-1000, 1000])
def test_a_manifest_that_tells_another_size(bench: Bench, wrong: int) -> None:
    index = msgspec.json.decode(bench.served.content[bench.refs[2].digest], type=oci.Index)
    manifest = msgspec.json.decode(bench.served.content[index.manifests[0].digest], type=oci.Manifest)
    first, large = manifest.layers
    lies = msgspec.structs.replace(large, size=large.size + wrong)
    told = msgspec.json.encode(msgspec.structs.replace(manifest, layers=(first, lies)))
    bench.served.content[sha256(told)] = told
    entry = msgspec.structs.replace(index.manifests[0], digest=sha256(told), size=len(told))
    whole = msgspec.json.encode(msgspec.structs.replace(index, manifests=(entry,)))
    bench.served.content[sha256(whole)] = whole
    bench.puller.desire(ImageRef(repository="ws/digits", digest=sha256(whole), name="m:2"))
    for _ in range(3):
        line = bench.puller.try_once()
    assert line.state in {"pulling", "rolled_back"}
    assert bench.puller.running() == ["m:1"]


def test_negative_control_a_wrong_byte_in_a_container_is_seen(bench: Bench) -> None:
    """An image whose digests are all right, and whose content is another than the judge knows."""
    other = bytearray(NOISE)
    other[777] ^= 1
    layers = [make_tar(PROGRAM), make_tar({"m": bytes(other)})]
    ref = bench.served.add_image(layers, architecture(), args=("/bin/x", "2"), name="m:2")
    bench.puller.desire(ref)
    bench.puller.try_once()
    assert bench.puller.wrong == ["m:2"]


def test_one_kilobyte_a_second_is_given_up_in_time_and_gone_on_with(bench: Bench) -> None:
    """The layer would take 25 minutes. The rate is the product's in kind; a second stands for its 30."""
    bench.puller.executor.close()
    bench.puller.registry = HttpsRegistry(bench.served.url, bench.context, slowest_bytes_s=2_000, slow_s=1.0)
    bench.puller.begin()
    bench.served.trickle.add(bench.layer)
    for _ in range(2):
        waits(bench, "fetch-slow")
    kept = bench.puller.device.store.partial_file(bench.layer).stat().st_size
    assert 0 < kept < 100_000
    bench.served.trickle.clear()
    converges(bench)
    assert bench.again() < TENTH


def test_negative_control_without_a_least_rate_the_pull_does_not_end(bench: Bench) -> None:
    bench.puller.executor.close()
    bench.puller.registry = HttpsRegistry(bench.served.url, bench.context, slowest_bytes_s=0)
    bench.puller.begin()
    bench.served.trickle.add(bench.layer)
    bench.puller.now += 100
    bench.puller.turn()
    assert bench.puller.pulls_last(4.0)
    bench.served.trickle.clear()  # the one in flight is cut off below
    bench.server.server_close()


@pytest.mark.soak
def test_the_product_gives_up_a_kilobyte_a_second(bench: Bench) -> None:
    """With its own bounds: less than 2,000 bytes/s over 30 s."""
    bench.puller.executor.close()
    bench.puller.registry = HttpsRegistry(bench.served.url, bench.context)
    bench.puller.begin()
    bench.served.trickle.add(bench.layer)
    waits(bench, "fetch-slow")
    assert bench.served.sent[bench.layer] < 100_000


@pytest.mark.parametrize("place", ["hub", "mirror"])
def test_a_head_that_comes_letter_by_letter_is_hung_up_on(bench: Bench, place: str) -> None:
    """Each letter would begin the time-out of a socket anew."""
    with Dripping(bench) as url:
        bench.puller.executor.close()
        dripping = HttpsRegistry(url, bench.context, timeout_s=0.5)
        hub = HttpsRegistry(bench.served.url, bench.context, timeout_s=5)
        sources = Sources(hub, [Nearby("drip", dripping)], Savings())
        bench.puller.registry = dripping if place == "hub" else sources
        bench.puller.begin()
        if place == "hub":
            waits(bench, "fetch-failed")
        else:
            converges(bench)


class Dripping:
    """A server that sends a head for ever."""

    def __init__(self, bench: Bench) -> None:
        import threading

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(bench.folder / "server.pem")
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        socket.socket.shutdown(self._listener, socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                plain, _ = self._listener.accept()
                with self._context.wrap_socket(plain, server_side=True) as line:
                    line.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                    while not self._ended.wait(0.1):
                        line.sendall(b"x")
            except OSError:
                continue


class TestNobodyElseIsAsked:
    """A redirect, or a realm for tokens, leads to a canary on another port: it sees no connection at all."""

    @pytest.fixture
    def canary(self) -> Iterator[socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            yield listener

    def lead_away(self, served: Registry, canary: socket.socket, status: int) -> None:
        url = f"http://127.0.0.1:{canary.getsockname()[1]}/token"
        served.location = served.realm = url
        served.status |= dict.fromkeys(served.content, status)

    @pytest.mark.parametrize("place", ["hub", "mirror", "neighbour"])
    @pytest.mark.parametrize("status", [307, 401])
    def test_it_sees_no_connection(
        self, folder: Path, canary: socket.socket, place: str, status: int
    ) -> None:
        from agent.artifacts.places import Source, registry_of
        from agent.neighbours.opening import contexts
        from cloud_hub.pki.authority import Authority

        (folder / "ca").mkdir()
        authority = Authority.create(folder / "ca")
        mine = identity(authority, folder / "mine", "cam-2")
        theirs = identity(authority, folder / "theirs", "cam-1")
        pair = folder / "pair.pem"
        pair.write_bytes(theirs.key_file.read_bytes() + theirs.certificate_file.read_bytes())
        own = (pair, folder / "ca/ca.pem") if place == "neighbour" else None
        leading, other = Registry(), Registry()
        ref = leading.add_image([make_tar(PROGRAM)], architecture())
        other.content = dict(leading.content)
        (folder / "leading").mkdir()
        server, context = serve(leading, folder / "leading", own=own)
        self.lead_away(leading, canary, status)
        second, hub_context = serve(other, folder)
        store = ContentStore(folder / "content")
        if place == "hub":
            context.load_cert_chain(mine.certificate_file, mine.key_file)
            with pytest.raises(ArtifactError):
                pull_image(ref, HttpsRegistry(leading.url, context, timeout_s=5), store)
        else:
            words = {"neighbour": "cam-1"} if own else {"ca_file": str(folder / "leading/ca.pem")}
            source = Source(at=leading.url, **words)
            hub = HttpsRegistry(other.url, hub_context, timeout_s=5)
            registry = registry_of(hub, [source], Savings(), context_for=contexts(mine))
            assert pull_image(ref, registry, store).layers
        assert leading.asked
        with pytest.raises(BlockingIOError):
            canary.accept()
        for each in (server, second):
            each.shutdown()
            each.server_close()

    def test_negative_control_who_follows_is_seen(self, bench: Bench, canary: socket.socket) -> None:
        self.lead_away(bench.served, canary, 307)
        url = f"{bench.served.url}/v2/ws/digits/blobs/{bench.layer}"
        with pytest.raises((urllib.error.URLError, TimeoutError)):
            urllib.request.urlopen(url, context=bench.context, timeout=0.5)
        canary.accept()[0].close()


def test_a_gzip_that_ends_early_with_the_right_digest_is_refused(bench: Bench) -> None:
    """The hub itself made it wrong: the layer is not unpacked by halves."""
    packed = gzip.compress(make_tar(FILES[3]), mtime=0)

    def pack(plain: bytes) -> bytes:
        return packed[:-20] if plain == make_tar(FILES[3]) else gzip.compress(plain, mtime=0)

    ref = bench.served.add_image(
        [make_tar(PROGRAM), make_tar(FILES[3])], architecture(), args=("/bin/x", "3"), name="m:3", pack=pack
    )
    bench.puller.desire(ref)
    line = bench.puller.try_once()
    assert (line.state, bench.puller.running()) == ("rolled_back", ["m:1"])
