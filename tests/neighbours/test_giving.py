"""One device pulls from the hub, the others take it from that one; whoever may not read gets no byte."""

import contextlib
import random
import socket
import ssl
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from agent.artifacts.errors import FetchError
from agent.artifacts.fetch import HttpsRegistry
from agent.artifacts.pull import staged_image
from agent.neighbours.certificates import NotThatNeighbourError, asking_context, check_device
from agent.neighbours.giving import Limits
from cloud_hub.pki.authority import Authority
from contract.desired import ImageRef
from contract.digests import hex_of
from tests.artifacts.registry import Registry as Served
from tests.artifacts.registry import make_tar, serve
from tests.neighbours.shop import Device, Shop, identity, wait_until

NOISE = random.Random(11).randbytes(800_000)
MORE = random.Random(12).randbytes(300_000)


@pytest.fixture
def ref(shop: Shop) -> ImageRef:
    return shop.served.add_image([make_tar({"f": NOISE}), make_tar({"g": MORE})], shop.site.architecture)


@pytest.fixture
def first(shop: Shop, ref: ImageRef) -> Device:
    """A device with the image that gives it to cam-2."""
    device = shop.device("cam-1")
    device.serve("cam-2")
    device.pull(ref)
    return device


def test_the_second_device_takes_all_from_the_first_and_the_hub_sends_nothing(
    shop: Shop, ref: ImageRef, first: Device
) -> None:
    before = dict(shop.served.sent)
    second = shop.device("cam-2")
    second.pull(ref, first.source)
    assert shop.served.sent == before
    elsewhere, skipped = second.counts()
    assert (elsewhere, skipped) == (second.savings.report().received_bytes, 0)
    blobs = [digest for digest in shop.served.content if shop.site.store.read_blob(digest) is None]
    assert first.served_bytes() == sum(len(shop.served.content[digest]) for digest in blobs)
    assert first.shelf.size_bytes() == shop.layer_bytes_sent()


def test_a_half_is_gone_on_with_by_range(shop: Shop, ref: ImageRef, first: Device) -> None:
    data = shop.served.content[shop.largest]
    second = shop.device("cam-2")
    second.store.partial_file(shop.largest).write_bytes(data[: len(data) // 2])
    second.pull(ref, first.source)
    assert second.counts()[1] == 0
    assert first.served_bytes() < sum(map(len, shop.served.content.values())) - len(data) // 2 + 10


@pytest.mark.parametrize(
    ("wanted", "there"),
    [("bytes=5-", slice(5, None)), ("bytes=5-9", slice(5, 10)), ("bytes=0-999999999", slice(None))],
)
def test_ranges(shop: Shop, first: Device, wanted: str, there: slice) -> None:
    data = shop.served.content[shop.largest]
    asker = shop.device("cam-2")
    path = f"/v2/ws/digits/blobs/{shop.largest}"
    got, body, fields = asker.ask(first, path, Range=wanted)
    assert (got, body) == (206, data[there])
    assert fields["Content-Range"].endswith(f"/{len(data)}")
    assert asker.ask(first, path, Range=f"bytes={len(data)}-")[:2] == (416, b"")
    got, body, fields = asker.ask(first, path, "HEAD")
    assert (got, body, fields["Content-Length"]) == (200, b"", str(len(data)))


def test_a_neighbour_that_goes_away_is_gone_on_from_at_the_hub(
    shop: Shop, ref: ImageRef, first: Device
) -> None:
    """Its bytes are not asked for twice: under a tenth of the blob comes again."""
    assert first.serving is not None
    first.serving.close()
    first.serve("cam-2", max_bytes_per_s=400_000)
    second = shop.device("cam-2")
    before = shop.served.sent[shop.largest]
    pull = threading.Thread(target=second.pull, args=(ref, first.source))
    pull.start()
    wait_until(lambda: first.served_bytes() > len(NOISE) // 3, "a third came")
    first.serving.close()
    pull.join(30)
    assert staged_image(ref, second.store)
    again = shop.served.sent[shop.largest] - before
    size = len(shop.served.content[shop.largest])
    assert 0 < again < size - len(NOISE) // 4
    assert again + first.served_bytes() - size < size // 10
    assert second.counts()[1] == 1


class TestWhoMayNotRead:
    """Each of them gets no byte of content; the first test is the control."""

    def path(self, shop: Shop) -> str:
        return f"/v2/ws/digits/blobs/{shop.largest}"

    def test_the_control_a_device_on_the_list_reads(self, shop: Shop, first: Device) -> None:
        status, body, _ = shop.device("cam-2").ask(first, self.path(shop))
        assert (status, body) == (200, shop.served.content[shop.largest])

    def test_a_device_of_the_hub_that_is_not_on_the_list(self, shop: Shop, first: Device) -> None:
        """Such as one of another workspace."""
        status, body, _ = shop.device("cam-3").ask(first, self.path(shop))
        assert (status, body, first.served_bytes()) == (403, b"", 0)
        status, body, _ = shop.device("cam-3").ask(first, "/v2/x/blobs/sha256:" + "0" * 64)
        assert status == 403, "whether something is there is not told either"

    def test_a_device_of_that_name_of_another_hub(self, shop: Shop, first: Device) -> None:
        (shop.folder / "other").mkdir()
        stranger = shop.device("cam-2", authority=Authority.create(shop.folder / "other"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(stranger.identity.certificate_file, stranger.identity.key_file)
        with pytest.raises(OSError):  # noqa: PT011  an alert, or a reset
            stranger.ask(first, self.path(shop), context=context)
        assert first.served_bytes() == 0

    def test_one_without_a_certificate(self, shop: Shop, first: Device) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with pytest.raises(OSError):  # noqa: PT011
            shop.device("cam-2").ask(first, self.path(shop), context=context)
        assert first.served_bytes() == 0

    def test_one_whose_certificate_is_over(self, shop: Shop, first: Device) -> None:
        old = identity(
            shop.authority, shop.folder / "old", "cam-2", now=datetime.now(UTC) - timedelta(days=31)
        )
        with pytest.raises(OSError):  # noqa: PT011
            shop.device("cam-4").ask(first, self.path(shop), context=asking_context(old, "cam-1"))
        assert first.served_bytes() == 0

    def test_one_without_tls(self, shop: Shop, first: Device) -> None:
        with first.line() as line:
            line.sendall(f"GET {self.path(shop)} HTTP/1.1\r\n\r\n".encode())
            with contextlib.suppress(ConnectionResetError):
                assert b"HTTP" not in line.recv(1024)
        assert first.served_bytes() == 0


class TestWhoIsNotAsked:
    """A place that is not the neighbour of the settings gets no request; the first test is the control."""

    def fake(self, shop: Shop, name: str, **words: object) -> tuple[Served, Device]:
        """A registry that has all, with the certificate of ``name``; and a device beside it."""
        folder = shop.folder / f"fake-{name}"
        folder.mkdir()
        mine = identity(shop.authority, folder / "identity", name, **words)  # type: ignore[arg-type]
        pair = folder / "pair.pem"
        pair.write_bytes(mine.key_file.read_bytes() + mine.certificate_file.read_bytes())
        return self.served(shop, folder, pair)

    def served(self, shop: Shop, folder: object, pair: object) -> tuple[Served, Device]:
        served = Served(content=dict(shop.served.content))
        ca = shop.folder / "ca/ca.pem"
        server, _ = serve(served, folder, own=(pair, ca), ask_for=ca)  # type: ignore[arg-type]
        self.server = server
        asker = shop.device("cam-9")
        port = int(served.url.rsplit(":", 1)[1])
        return served, Device(asker.identity, asker.store, asker.folder, port, asker.hub, asker.savings)

    def pull(self, shop: Shop, ref: ImageRef, place: Device) -> None:
        from agent.artifacts.places import Source

        place.pull(ref, Source(at=f"https://127.0.0.1:{place.port}", neighbour="cam-1"))
        self.server.shutdown()
        self.server.server_close()

    def test_the_control_the_neighbour_is_asked_and_gets_nothing_of_ours_but_the_certificate(
        self, shop: Shop, ref: ImageRef
    ) -> None:
        served, place = self.fake(shop, "cam-1")
        self.pull(shop, ref, place)
        assert shop.layer_bytes_sent() == 0
        assert {name for head in served.heads for name in head} <= {
            "Host", "Accept", "Accept-Encoding", "Range"
        }  # fmt: skip
        assert None not in served.certificates

    def test_another_device_of_the_hub(self, shop: Shop, ref: ImageRef) -> None:
        served, place = self.fake(shop, "cam-2")
        self.pull(shop, ref, place)
        assert served.asked == []
        assert shop.layer_bytes_sent() > 0
        assert place.counts()[1] == 1

    def test_that_device_with_a_certificate_that_is_over(self, shop: Shop, ref: ImageRef) -> None:
        served, place = self.fake(shop, "cam-1", now=datetime.now(UTC) - timedelta(days=31))
        self.pull(shop, ref, place)
        assert served.asked == []

    def test_a_device_of_that_name_of_another_hub(self, shop: Shop, ref: ImageRef) -> None:
        (shop.folder / "other").mkdir()
        other = Authority.create(shop.folder / "other")
        mine = shop.authority
        shop.authority = other
        folder = shop.folder / "fake"
        folder.mkdir()
        stranger = identity(other, folder / "identity", "cam-1")
        shop.authority = mine
        pair = folder / "pair.pem"
        pair.write_bytes(stranger.key_file.read_bytes() + stranger.certificate_file.read_bytes())
        served, place = self.served(shop, folder, pair)
        self.pull(shop, ref, place)
        assert served.asked == []

    def test_the_hub_itself(self, shop: Shop, ref: ImageRef) -> None:
        """A server's certificate of the hub is no device's, whatever its name is."""
        folder = shop.folder / "fake"
        folder.mkdir()
        key_pem, certificate_pem = shop.authority.issue_server(["127.0.0.1"])
        (folder / "pair.pem").write_bytes(key_pem + certificate_pem)
        served, place = self.served(shop, folder, folder / "pair.pem")
        self.pull(shop, ref, place)
        assert served.asked == []

    def test_a_redirect_of_the_neighbour_is_not_followed(self, shop: Shop, ref: ImageRef) -> None:
        served, place = self.fake(shop, "cam-1")
        canary = socket.create_server(("127.0.0.1", 0))
        canary.setblocking(False)
        served.location = f"http://127.0.0.1:{canary.getsockname()[1]}/"
        served.status |= dict.fromkeys(served.content, 307)
        self.pull(shop, ref, place)
        with pytest.raises(BlockingIOError):
            canary.accept()
        canary.close()
        assert shop.layer_bytes_sent() > 0


def test_what_is_no_certificate_of_a_device_is_told_from_one(shop: Shop) -> None:
    ca = shop.authority.ca_pem
    good = identity(shop.authority, shop.folder / "good", "cam-1")
    der = ssl.PEM_cert_to_DER_cert(good.certificate_file.read_text())
    now = datetime.now(UTC)
    check_device(der, ca, "cam-1", now)
    for wrong, device, at in (
        (der, "cam-2", now), (der, "cam-1", now + timedelta(days=31)),
        (der, "cam-1", now - timedelta(days=1)),
        (der[:-1] + bytes([der[-1] ^ 1]), "cam-1", now), (b"", "cam-1", now), (b"\x30\x00", "cam-1", now),
        (ssl.PEM_cert_to_DER_cert(ca.decode()), "Headland hub CA", now),
    ):  # fmt: skip
        with pytest.raises(NotThatNeighbourError):
            check_device(wrong, ca, device, at)


def test_a_poisoned_blob_is_never_used_and_not_kept(shop: Shop, ref: ImageRef, first: Device) -> None:
    kept = first.folder / "content/shelf" / hex_of(shop.largest)
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 1
    kept.write_bytes(data)
    before = shop.served.sent[shop.largest]
    second = shop.device("cam-2")
    staged = second.pull(ref, first.source)
    assert (staged.layers[0] / "f").read_bytes() == NOISE
    assert shop.served.sent[shop.largest] - before == len(data)
    assert second.counts()[1] == 1
    assert not kept.exists()


def test_a_neighbour_in_its_own_list_is_not_asked(shop: Shop, first: Device) -> None:
    """So that all devices of a shop may have one settings file."""
    assert isinstance(first.registry(first.source), HttpsRegistry)


def test_it_ends_with_the_agent(shop: Shop, first: Device) -> None:
    asker = shop.device("cam-2")
    with first.line(), first.line():
        assert first.serving is not None
        first.serving.close()
    wait_until(lambda: not any("neighbour" in each.name for each in threading.enumerate()), "threads end")
    with pytest.raises(ConnectionRefusedError):
        asker.ask(first, "/")
    socket.create_server(("127.0.0.1", first.port)).close()


def test_it_is_bound_when_the_address_is_free(shop: Shop) -> None:
    device, asker = shop.device("cam-1"), shop.device("cam-2")
    with socket.create_server(("127.0.0.1", device.port)):
        device.serve("cam-2", limits=Limits(bind_again_s=0.05))  # it reaches the one that is there

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return asker.ask(device, f"/v2/x/blobs/sha256:{'0' * 64}")[0] == 404
        return False

    wait_until(answers, "it has the address")


class TestBounds:
    """What one neighbour cannot take from the others."""

    def test_who_is_silent_is_hung_up_on(self, shop: Shop, ref: ImageRef) -> None:
        first = shop.device("cam-1")
        first.serve("cam-2", limits=Limits(handshake_s=0.3, head_s=0.3, connections=1))
        first.pull(ref)
        second = shop.device("cam-2")
        with first.line() as silent:
            assert silent.recv(1) == b""
        context = asking_context(second.identity, "cam-1")
        with context.wrap_socket(first.line()) as drip:
            drip.sendall(b"GET /v2/")
            assert drip.recv(1) == b""
        second.pull(ref, first.source)
        assert second.counts()[1] == 0

    def test_who_takes_nothing_is_hung_up_on(self, shop: Shop, ref: ImageRef) -> None:
        first = shop.device("cam-1")
        huge = shop.served.add_image(
            [make_tar({"h": random.Random(1).randbytes(12_000_000)})], shop.site.architecture
        )
        first.serve("cam-2", limits=Limits(piece_s=0.3, of_one=1))
        first.pull(huge)
        second = shop.device("cam-2")
        with asking_context(second.identity, "cam-1").wrap_socket(first.line()) as lazy:
            lazy.sendall(f"GET /v2/x/blobs/{shop.largest} HTTP/1.1\r\n\r\n".encode())
            path = f"/v2/x/blobs/sha256:{'0' * 64}"
            wait_until(lambda: second.ask(first, path)[0] == 503, "its seat is taken")
            wait_until(lambda: second.ask(first, path)[0] == 404, "its seat is free again")
        assert first.served_bytes() < 12_000_000

    def test_who_is_told_to_come_again_comes_again(self, shop: Shop, ref: ImageRef) -> None:
        first = shop.device("cam-1")
        first.serve("cam-2", "cam-3", limits=Limits(requests=1))
        first.pull(ref)
        before = shop.layer_bytes_sent()
        waiting = [shop.device(name) for name in ("cam-2", "cam-3")]
        pulls = [
            threading.Thread(target=each.pull, args=(ref, first.source), kwargs={"wait_s": 60.0})
            for each in waiting
        ]
        for pull in pulls:
            pull.start()
        for pull in pulls:
            pull.join(60)
        assert shop.layer_bytes_sent() == before
        assert [each.counts()[1] for each in waiting] == [0, 0]

    def test_the_bound_of_the_line_is_kept(self, shop: Shop, ref: ImageRef) -> None:
        import time

        first = shop.device("cam-1")
        first.serve("cam-2", max_bytes_per_s=1_000_000)
        first.pull(ref)
        begun = time.monotonic()
        shop.device("cam-2").pull(ref, first.source)
        assert time.monotonic() - begun > first.served_bytes() / 1_000_000 - 0.2


def test_who_serves_nobody_and_asks_nobody_loads_none_of_it() -> None:
    words = (
        "import sys, agent.app; from agent.neighbours.opening import *; "
        "print([m for m in sys.modules if m.startswith('agent.neighbours.') or m == 'cryptography.x509'])"
    )
    loaded = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "['agent.neighbours.settings', 'agent.neighbours.opening']"


def test_a_refused_device_says_so_and_goes_to_the_hub(shop: Shop, ref: ImageRef, first: Device) -> None:
    third = shop.device("cam-3")
    third.pull(ref, first.source, wait_s=60.0)
    assert third.counts() == (0, 1)
    with pytest.raises(FetchError):
        HttpsRegistry(first.source.at, ssl.create_default_context()).manifest("ws/digits", ref.digest)
