"""Requests to addresses that people give: nothing that must not be reached accepts one connection."""

import datetime
import gzip
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloud_hub.outbound.client import Credential, Outbound, OutboundLimits
from cloud_hub.outbound.errors import OutboundFailedError, OutboundRefusedError, OutboundTooLargeError
from cloud_hub.outbound.policy import parse_allowed
from tests.outbound.servers import Canary, FakeDialer, FakeResolver, canary, reply

PUBLIC, OTHER = "93.184.216.34", "151.101.1.1"
FORBIDDEN = [
    "127.0.0.1",
    "127.9.9.9",
    "10.1.2.3",
    "169.254.169.254",
    "192.168.0.1",
    "::1",
    "::ffff:127.0.0.1",
]


@pytest.fixture
def trap() -> Iterator[Canary]:
    """What must not be reached; it stands for every address that no other server stands for."""
    with canary(reply(b"secret")) as server:
        yield server


@dataclass
class World:
    """A public server, the trap behind every other address, and what connects them."""

    trap: Canary
    dialer: FakeDialer
    resolver: FakeResolver
    outbound: Outbound


def world(trap: Canary, good: Canary, resolver: FakeResolver, **limits: float) -> World:
    dialer = FakeDialer({PUBLIC: good}, trap)
    outbound = Outbound(resolver=resolver, dialer=dialer, limits=OutboundLimits(**limits))  # type: ignore[arg-type]
    return World(trap, dialer, resolver, outbound)


@pytest.mark.parametrize("address", FORBIDDEN)
def test_an_address_inside_is_never_connected_to(address: str, trap: Canary) -> None:
    host = f"[{address}]" if ":" in address else address
    at = world(trap, trap, FakeResolver(inside_test=[[address]], both_test=[[PUBLIC, address]]))
    for url in (f"http://{host}/", "http://inside.test/", "http://both.test/"):
        with pytest.raises(OutboundRefusedError):
            at.outbound.send("GET", url)
        with pytest.raises(OutboundRefusedError):
            at.outbound.check(url)
    assert (trap.connections, at.dialer.dialled) == (0, [])


def test_a_plain_client_reaches_the_trap(trap: Canary) -> None:
    """Negative control."""
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"http://127.0.0.1:{trap.port}/").text == "secret"
    assert trap.connections == 1


def test_a_name_that_is_rebound_leads_to_what_was_judged(trap: Canary) -> None:
    with canary(reply(b"good")) as good:
        at = world(trap, good, FakeResolver(rebound_test=[[PUBLIC], ["127.0.0.1"]]))
        assert at.outbound.send("GET", "http://rebound.test/").body == b"good"
        assert at.resolver.asked == ["rebound.test"]
        with pytest.raises(OutboundRefusedError):
            at.outbound.send("GET", "http://rebound.test/")
    assert (trap.connections, at.dialer.dialled) == (0, [(PUBLIC, 80)])


def test_who_checks_and_resolves_again_falls_into_the_trap(trap: Canary) -> None:
    """Negative control: the same resolver, asked once for the check and once for the connection."""
    resolver = FakeResolver(rebound_test=[[PUBLIC], ["127.0.0.1"]])
    dialer = FakeDialer({}, trap)
    assert all(str(each) == PUBLIC for each in resolver.resolve("rebound.test", 80))
    dialer.dial(resolver.resolve("rebound.test", 80)[0], 80, 5).close()
    assert dialer.dialled == [("127.0.0.1", 80)]


def test_a_redirect_is_an_answer_unless_it_is_asked_for(trap: Canary) -> None:
    with canary(reply(b"", "302 Found", Location="http://127.0.0.1/")) as good:
        at = world(trap, good, FakeResolver(good_test=[[PUBLIC]]))
        assert at.outbound.send("GET", "http://good.test/").status == 302
        assert at.outbound.send("POST", "http://good.test/", body=b"x", follow=5).status == 302
    assert trap.connections == 0


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1/", "http://inside.test/", "//10.1.2.3/x", "file:///etc/passwd"]
)
def test_each_hop_of_a_redirect_is_judged(location: str, trap: Canary) -> None:
    with canary(reply(b"", "307 Temporary Redirect", Location=location)) as good:
        at = world(trap, good, FakeResolver(good_test=[[PUBLIC]], inside_test=[["10.1.2.3"]]))
        with pytest.raises(OutboundRefusedError):
            at.outbound.send("GET", "http://good.test/", follow=3)
        assert good.connections == 1
    assert trap.connections == 0


def test_redirects_end() -> None:
    with canary(reply(b"", "302 Found", Location="/again")) as good:
        at = world(good, good, FakeResolver(good_test=[[PUBLIC]]))
        assert at.outbound.send("GET", "http://good.test/", follow=3).status == 302
        assert good.connections == 4


def test_a_hostile_realm_sees_no_credential() -> None:
    """By redirect, by another port, by another scheme, and by a realm that an answer names."""
    secret = "Bearer canary-credential"
    with canary(reply()) as hostile, canary(reply(b"", "302 Found", Location="http://evil.test/")) as good:
        resolver = FakeResolver(good_test=[[PUBLIC]], evil_test=[[OTHER]], good_test_evil_test=[[OTHER]])
        at = world(hostile, good, resolver)
        credential = Credential.of("http://good.test/v2/", Authorization=secret)
        at.outbound.send("GET", "http://good.test/v2/", credential=credential, follow=1)
        for realm in ("http://evil.test/token", "http://good.test.evil.test/", "http://good.test:8080/"):
            at.outbound.send("GET", realm, credential=credential)
        assert secret.encode() in good.heard[0]
        assert hostile.connections >= 2
        assert not any(b"canary-credential" in heard for heard in hostile.heard)
    assert "canary-credential" not in repr(credential)


def test_a_credential_cannot_come_in_as_a_plain_header(trap: Canary) -> None:
    at = world(trap, trap, FakeResolver())
    for name in ("Authorization", "cookie", "HOST"):
        with pytest.raises(ValueError, match="header"):
            at.outbound.send("GET", "http://good.test/", headers={name: "x"})


def test_the_environment_s_proxy_does_not_count(trap: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
    with canary(reply(b"good")) as good:
        at = world(trap, good, FakeResolver(good_test=[[PUBLIC]]))
        assert at.outbound.send("GET", "http://good.test/").body == b"good"
    assert trap.connections == 0
    with httpx.Client() as naive:
        assert naive.get("http://good.test/").text == "secret"
    assert trap.connections == 1


def test_an_owner_may_allow_what_is_inside() -> None:
    with canary(reply(b"mine")) as mine:
        url = f"http://127.0.0.1:{mine.port}/x?y=1"
        with pytest.raises(OutboundRefusedError):
            Outbound().send("GET", url)
        assert mine.connections == 0
        allowed = parse_allowed((f"127.0.0.1:{mine.port}",))
        got = Outbound(allowed).send("POST", url, body=b"hello", headers={"X-A": "b"})
        assert (got.status, got.body, got.header("Content-Length")) == (200, b"mine", "4")
        head, _, body = mine.heard[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /x?y=1 HTTP/1.1\r\n")
        assert f"Host: 127.0.0.1:{mine.port}".encode() in head
        assert body == b"hello"


BAD_ANSWERS = {
    "large": (OutboundTooLargeError, reply(bytes(200_000))),
    "endless": (OutboundTooLargeError, lambda _: b"HTTP/1.1 200 OK\r\n\r\n" + bytes(5_000_000)),
    "compressed": (OutboundFailedError, reply(gzip.compress(bytes(1 << 20)), Content_Encoding="gzip")),
    "no HTTP": (OutboundFailedError, lambda _: b"SSH-2.0-OpenSSH\r\n"),
    "nothing": (OutboundFailedError, lambda _: b""),
    "cut off": (OutboundFailedError, lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
    "huge head": (OutboundFailedError, lambda _: b"HTTP/1.1 200 OK\r\nA: " + b"x" * 2_000_000),
}


@pytest.mark.parametrize("kind", BAD_ANSWERS)
def test_a_bad_answer_is_one_clear_error(kind: str) -> None:
    error, answer = BAD_ANSWERS[kind]
    with canary(answer) as good:
        at = world(good, good, FakeResolver(good_test=[[PUBLIC]]), max_answer_bytes=100_000)
        with pytest.raises(error) as caught:
            at.outbound.send("GET", "http://good.test/hooks/secret-path")
    assert caught.value.where == "http://good.test:80"
    assert "secret-path" not in str(caught.value)


def test_a_sink_takes_the_body_as_it_comes() -> None:
    with canary(reply(bytes(90_000))) as good:
        at = world(good, good, FakeResolver(good_test=[[PUBLIC]]), max_answer_bytes=100_000)
        chunks: list[bytes] = []
        assert at.outbound.send("GET", "http://good.test/", sink=chunks.append).body == b""
        assert sum(map(len, chunks)) == 90_000


def test_silence_ends_at_the_deadline() -> None:
    with canary(None) as silent:
        dialer = FakeDialer({}, silent)
        outbound = Outbound(
            resolver=FakeResolver(good_test=[[PUBLIC]]), dialer=dialer, limits=OutboundLimits(total_s=0.2)
        )
        with pytest.raises(OutboundFailedError):
            outbound.send("PUT", "http://good.test/", body=iter([b"x" * 70_000] * 1000))


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return TLS for a server called ``name``, and for a client that believes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    client = ssl.create_default_context(cadata=made.public_bytes(serialization.Encoding.PEM).decode())
    return server, client


def test_tls_keeps_the_name_of_a_pinned_address(tmp_path: Path) -> None:
    server_tls, client_tls = certificate(tmp_path, "good.test")
    with canary(reply(b"good"), server_tls) as good:
        dialer = FakeDialer({PUBLIC: good}, good)
        resolver = FakeResolver(good_test=[[PUBLIC]], other_test=[[PUBLIC]])
        outbound = Outbound(resolver=resolver, dialer=dialer, tls=client_tls)
        assert outbound.send("GET", "https://good.test/").body == b"good"
        assert good.names == ["good.test"]
        assert b"Host: good.test\r\n" in good.heard[0]
        with pytest.raises(OutboundFailedError):
            outbound.send("GET", "https://other.test/")
        assert len(good.heard) == 1


def test_a_redirect_off_https_is_refused(tmp_path: Path) -> None:
    server_tls, client_tls = certificate(tmp_path, "good.test")
    with canary(reply(b"", "302 Found", Location="http://good.test/"), server_tls) as good:
        outbound = Outbound(
            resolver=FakeResolver(good_test=[[PUBLIC]]), dialer=FakeDialer({}, good), tls=client_tls
        )
        with pytest.raises(OutboundRefusedError) as caught:
            outbound.send("GET", "https://good.test/", follow=1)
        assert caught.value.rule == "downgrade"
