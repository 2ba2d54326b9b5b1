"""The judge of connections, without a server: requests signed here, answers read back here."""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import nkeys
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from nats.aio.msg import Msg

from cloud_hub.broker.access import Identity, Refusal, grant_for, identify
from cloud_hub.broker.callout import AuthCallout
from cloud_hub.broker.claims import AuthRequest, Grant, granted, read_request, refused
from cloud_hub.broker.errors import AuthRequestError
from cloud_hub.broker.keys import NatsKey
from cloud_hub.broker.settings import AUTH_TIMEOUT_S
from contract import topics
from tests.broker.conftest import Fleet

NOW_S = 1_900_000_000


class Server:
    """Signs requests the way a NATS server does."""

    def __init__(self) -> None:
        seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_SERVER)
        self._pair = nkeys.from_seed(seed)
        self.id: str = self._pair.public_key.decode()

    def token(
        self,
        *,
        iss: str | None = None,
        aud: str = "nats-authorization-request",
        exp: int = NOW_S + 5,
        **nats: Any,
    ) -> bytes:
        claims = {
            "iss": iss or self.id,
            "aud": aud,
            "exp": exp,
            "nats": {
                "server_id": {"id": self.id, "name": "x"},
                "user_nkey": "UABC",
                "client_info": {"id": 7, "type": "mqtt", "mqtt_id": "cam-1", "kind": "Client"},
                "client_tls": {"version": "1.3", "verified_chains": [["PEM", "CA"]]},
                "type": "authorization_request",
                "version": 2,
            }
            | nats,
        }
        text = b".".join(part(each) for each in ({"typ": "JWT", "alg": "ed25519-nkey"}, claims))
        return text + b"." + base64.urlsafe_b64encode(self._pair.sign(text)).rstrip(b"=")


def part(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def claims_of(token: bytes, key: NatsKey) -> dict[str, Any]:
    """Check the signature with the nkeys library and return the claims."""
    head, body, signature = (base64.urlsafe_b64decode(each + b"===") for each in token.split(b"."))
    assert json.loads(head) == {"typ": "JWT", "alg": "ed25519-nkey"}
    pair = nkeys.from_seed(bytearray(key.seed_file.read_bytes().strip()))
    assert pair.verify(token.rpartition(b".")[0], signature)
    claims: dict[str, Any] = json.loads(body)
    return claims


@pytest.fixture
def issuer(tmp_path: Path) -> NatsKey:
    return NatsKey.at(tmp_path / "issuer.nk", account=True)


def request_of(certificate_pem: str | None, mqtt_id: str = "cam-1", client_type: str = "mqtt") -> AuthRequest:
    return AuthRequest("NSERVER", "UABC", 7, client_type, mqtt_id, certificate_pem, NOW_S + 5)


def test_request_of_a_server_is_read() -> None:
    server = Server()
    request = read_request(server.token())
    assert request == AuthRequest(server.id, "UABC", 7, "mqtt", "cam-1", "PEM", NOW_S + 5)


@pytest.mark.parametrize(
    "tls", [None, {}, {"certs": ["PEM"]}, {"verified_chains": []}, {"verified_chains": [[]]}]
)
def test_unverified_certificate_counts_as_none(tls: object) -> None:
    assert read_request(Server().token(client_tls=tls)).certificate_pem is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda server: b"",
        lambda server: b"a.b.c",
        lambda server: b"\xff" * 50,
        lambda server: server.token()[:-8] + b"AAAAAAAA",
        lambda server: server.token(iss=Server().id),
        lambda server: server.token(iss="not an nkey"),
        lambda server: server.token(aud="other"),
        lambda server: server.token(type="authorization_response"),
        lambda server: server.token(server_id={"id": Server().id}),
        lambda server: server.token(client_info="x"),
        lambda server: server.token().replace(b".", b"..", 1),
    ],
)
def test_what_no_server_signed_is_refused(spoil: Callable[[Server], bytes]) -> None:
    with pytest.raises(AuthRequestError):
        read_request(spoil(Server()))


def test_granted_answer(issuer: NatsKey) -> None:
    grant = Grant("cam-1", "HL", ["a"], ["b"], NOW_S + 100)
    request = request_of(None)
    token = granted(request, grant, issuer=issuer.public, sign=issuer.sign, now_s=NOW_S)
    answer = claims_of(token, issuer)
    assert (answer["iss"], answer["sub"], answer["aud"]) == (issuer.public, "UABC", "NSERVER")
    assert answer["nats"]["type"] == "authorization_response"
    assert "error" not in answer["nats"]
    user = claims_of(answer["nats"]["jwt"].encode(), issuer)
    assert (user["sub"], user["aud"], user["exp"]) == ("UABC", "HL", NOW_S + 100)
    assert user["nats"]["pub"] == {"allow": ["a"]}
    assert user["nats"]["sub"] == {"allow": ["b"]}
    assert user["nats"]["allowed_connection_types"] == ["MQTT"]


def test_refused_answer(issuer: NatsKey) -> None:
    token = refused(request_of(None), "why", issuer=issuer.public, sign=issuer.sign, now_s=NOW_S)
    answer = claims_of(token, issuer)
    assert answer["nats"]["error"] == "why"
    assert "jwt" not in answer["nats"]


def test_device_is_identified_by_certificate_and_client_id(fleet: Fleet) -> None:
    credentials = fleet.enrol("cam-1")
    identity = identify(request_of(credentials.cert.read_text()))
    assert isinstance(identity, Identity)
    assert (identity.device, identity.serial) == ("cam-1", credentials.serial)
    assert abs(identity.not_after - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "change",
    [
        {"client_type": "nats"},
        {"client_type": "websocket"},
        {"client_type": ""},
        {"certificate_pem": None},
        {"certificate_pem": "garbage"},
        {"mqtt_id": "cam-2"},
        {"mqtt_id": ""},
        {"mqtt_id": "CAM-1"},
    ],
    ids=str,
)
def test_everything_else_is_refused(fleet: Fleet, change: dict[str, Any]) -> None:
    request = request_of(fleet.enrol("cam-1").cert.read_text())
    assert isinstance(identify(request), Identity)
    assert isinstance(identify(replace(request, **change)), Refusal)


@pytest.mark.parametrize(
    "names", [[], ["cam-1", "cam-1"], ["*"], ["a.b"], [">"], ["cam-1\n"], ["Cam-1"]], ids=str
)
def test_certificate_that_names_no_single_device_is_refused(names: list[str]) -> None:
    pem = certificate_with(names)
    assert isinstance(identify(request_of(pem, mqtt_id=names[0] if names else "")), Refusal)


def test_certificate_with_one_name_is_the_control() -> None:
    assert isinstance(identify(request_of(certificate_with(["cam-1"]))), Identity)


def test_grant_is_the_contract_and_nothing_more() -> None:
    grant = grant_for(Identity("cam-1", "ab", datetime.fromtimestamp(NOW_S, UTC)))
    assert list(grant.publish) == [
        "hl.1.cam-1.hello",
        "hl.1.cam-1.reported",
        "hl.1.cam-1.telemetry.*",
    ]
    assert list(grant.subscribe) == ["hl.1.cam-1.desired", "hl.1.cam-1.ack"]
    assert [topics.to_subject(each) for each in topics.device_writes("cam-1")] == list(grant.publish)
    assert grant.account == "HL"
    assert grant.expires_at == NOW_S


@pytest.mark.parametrize(
    "answer", [False, None, 1, "yes", object()], ids=["False", "None", "1", "yes", "object"]
)
async def test_only_true_lets_a_device_in(fleet: Fleet, issuer: NatsKey, answer: Any) -> None:
    request = request_of(fleet.enrol("cam-1").cert.read_text())
    assert isinstance(await AuthCallout(lambda d, s: answer, issuer).judge(request), Refusal)
    assert isinstance(await AuthCallout(lambda d, s: True, issuer).judge(request), Grant)


async def test_lookup_is_asked_for_device_and_serial(fleet: Fleet, issuer: NatsKey) -> None:
    credentials = fleet.enrol("cam-1")
    asked: list[tuple[str, str]] = []

    def lookup(device: str, serial: str) -> bool:
        asked.append((device, serial))
        return True

    callout = AuthCallout(lookup, issuer)
    await callout.judge(request_of(credentials.cert.read_text()))
    await callout.judge(request_of(credentials.cert.read_text(), mqtt_id="cam-2"))
    assert asked == [("cam-1", credentials.serial)]


async def test_a_failing_lookup_refuses_without_its_words(fleet: Fleet, issuer: NatsKey) -> None:
    def lookup(device: str, serial: str) -> bool:
        raise RuntimeError("password=hunter2")

    verdict = await AuthCallout(lookup, issuer).judge(request_of(fleet.enrol("cam-1").cert.read_text()))
    assert isinstance(verdict, Refusal)
    assert "hunter2" not in verdict.reason


class Storm:
    """The server's questions, many at once; ``asked`` are the devices in the order of their look-ups.

    It stands for the connection that the callout serves, too.
    """

    def __init__(self, fleet: Fleet, issuer: NatsKey) -> None:
        self.asked: list[str] = []
        self.answers: list[bytes] = []
        self.gate = asyncio.Event()
        self._fleet, self._server = fleet, Server()
        self.now_s = 0.0
        self.callout = AuthCallout(self._lookup, issuer, monotonic=lambda: self.now_s)

    async def _lookup(self, device: str, serial: str) -> bool:
        self.asked.append(device)
        await self.gate.wait()
        return True

    async def subscribe(self, subject: str, *, queue: str, cb: Callable[[Msg], Awaitable[None]]) -> None:
        self._take = cb

    async def publish(self, subject: str, payload: bytes, **_: Any) -> None:
        self.answers.append(payload)

    async def ask(self, device: str) -> None:
        token = self._server.token(
            exp=int(time.time()) + 9,
            client_info={"id": 7, "type": "mqtt", "mqtt_id": device},
            client_tls={"verified_chains": [[self._fleet.enrol(device).cert.read_text()]]},
        )
        await self._take(Msg(_client=cast(Any, self), subject="x", reply="y", data=token))

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def storm(fleet: Fleet, issuer: NatsKey) -> AsyncIterator[Storm]:
    """64 questions that are being looked up, and three that came after them."""
    storm = Storm(fleet, issuer)
    await storm.callout.serve(cast(Any, storm))
    for _ in range(64):
        await storm.ask("cam-0")
    await storm.settle()
    for device in ("cam-1", "cam-2", "cam-3"):
        await storm.ask(device)
    await storm.settle()
    assert storm.asked == ["cam-0"] * 64
    yield storm
    await storm.callout.stop()


async def test_in_a_storm_the_last_that_came_is_the_first_to_be_answered(storm: Storm) -> None:
    storm.gate.set()
    await storm.settle()
    assert storm.asked[64:] == ["cam-3", "cam-2", "cam-1"]
    assert len(storm.answers) == 67
    await storm.ask("cam-4")
    await storm.settle()
    assert storm.asked[-1] == "cam-4"
    assert len(storm.answers) == 68


async def test_what_would_be_answered_too_late_is_not_looked_up(storm: Storm) -> None:
    storm.now_s += AUTH_TIMEOUT_S
    storm.gate.set()
    await storm.settle()
    assert storm.asked == ["cam-0"] * 64
    await storm.ask("cam-4")
    await storm.settle()
    assert storm.asked[-1] == "cam-4", "it goes on"


def certificate_with(names: list[str]) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
    )
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return pem.decode()
