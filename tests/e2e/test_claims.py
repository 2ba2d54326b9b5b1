"""A device that waits by a claim reaches nothing of a real hub; once accepted it runs as any other.

Judged at the receiver: by what the hub heard of it, and what the other device was told.
"""

import json
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion

from agent.identity import store
from cloud_hub.sdk import HubRefusedError
from contract import topics
from contract.encoding import decode, encode
from contract.enrolment import CERTIFICATE_PATH, Claim
from contract.messages import Hello
from simulators.demo.stage import Device
from tests.e2e.conftest import World, command
from tests.e2e.waiting import wait_until

pytestmark = pytest.mark.parametrize("driver", ["process"])
NAME = "claimed-1"


@pytest.fixture
def claim(world: World, tmp_path: Path) -> Path:
    """A claim of the hub."""
    path = tmp_path / "line.json"
    world.stage.headland("device", "claim", "create", f"line-{time.time_ns()}", "--file", str(path))
    return path


def self_made(folder: Path) -> tuple[Path, Path]:
    """Return a certificate for the waiting key that says what a device's says, signed by that key itself."""
    key_file = folder / "key.pem"
    key: Any = serialization.load_pem_private_key(key_file.read_bytes(), None)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / "self.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path, key_file


def says_hello(port: int, ca: Path, pair: tuple[Path, Path] | None, token: str) -> list[bytes]:
    """Try to be the device at the broker; return what it was sent."""
    heard: list[bytes] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, NAME, reconnect_on_failure=False)
    context = ssl.create_default_context(cafile=str(ca))
    if pair is not None:
        context.load_cert_chain(*pair)
    client.tls_set_context(context)
    client.username_pw_set(NAME, token)
    client.on_message = lambda _c, _u, message: heard.append(bytes(message.payload))
    connected = threading.Event()
    client.on_connect = lambda _c, _u, _f, reason, _p: connected.set() if reason == 0 else None
    try:
        client.connect("localhost", port, keepalive=10)
    except OSError:
        return heard
    client.loop_start()
    connected.wait(2)
    client.subscribe("#", 0)
    client.subscribe(topics.desired(NAME), 0)
    hello = Hello(generation=0, agent_version="0.0.0", driver="fake")
    client.publish(topics.hello(NAME), encode(hello), qos=0)
    time.sleep(1.0)
    client.disconnect()
    client.loop_stop()
    return heard


def test_a_waiting_device_reaches_nothing_and_an_accepted_one_runs(
    world: World, device: Device, claim: Path, driver: str
) -> None:
    stage, secret = world.stage, decode(claim.read_bytes(), Claim, what="claim").token
    waiting = Device(NAME, stage.folder, driver)
    done = command(
        "headland-agent", "enroll", "--claim", str(claim), "--name", NAME, "--no-wait",
        "--state-dir", str(waiting.state_dir), "--output", "json",
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    key = json.loads(done.stdout)["key_sha256"]
    pair = self_made(waiting.state_dir / "identity" / "pending")
    known = store.load(device.state_dir / "identity")
    ca, url = known.ca_file, known.facts.hub
    hello_before = world.workspace.device(device.name).hello
    for shown in (None, pair):
        assert says_hello(known.facts.mqtt_port, ca, shown, secret) == []
        assert answers(url, ca, shown, secret) <= {401, None}
    # What the hub knows of it, and of the other device, is what it was.
    assert NAME not in {each.id for each in world.workspace.devices()}
    assert world.workspace.device(device.name).hello == hello_before
    for act in (world.workspace.device_document, world.workspace.pulled):
        with pytest.raises(HubRefusedError):
            act(NAME)

    stage.headland("device", "accept", NAME, "--fingerprint", key)
    # The control: the same tries by the same key, once it has a certificate, arrive.
    waiting.agent("enroll")
    identity = store.load(waiting.state_dir / "identity")
    held = (identity.certificate_file, identity.key_file)
    assert answers(url, ca, held, secret) >= {200}
    says_hello(known.facts.mqtt_port, ca, held, secret)
    wait_until(lambda: (world.workspace.device(NAME).hello or {}).get("driver") == "fake", "the hub heard it")


def answers(url: str, ca: Path, pair: tuple[Path, Path] | None, token: str) -> set[int | None]:
    """Return what the hub answers to who shows that pair and the claim's secret; None: no connection."""
    context = ssl.create_default_context(cafile=str(ca))
    if pair is not None:
        context.load_cert_chain(*pair)
    found: set[int | None] = set()
    for path in (CERTIFICATE_PATH, "/v2/", "/v2/shop/digits/tags/list"):
        for headers in ({}, {"Authorization": f"Bearer {token}"}):
            try:
                with httpx.Client(base_url=url, verify=context) as client:
                    found.add(client.get(path, headers=headers).status_code)
            except httpx.TransportError:
                found.add(None)
    return found


def test_a_device_that_waits_comes_in_by_itself_once_it_is_accepted(
    world: World, claim: Path, driver: str, tmp_path: Path
) -> None:
    program = str(Path(sys.executable).parent / "headland-agent")
    words = [program, "enroll", "--claim", str(claim), "--name", "claimed-2", "--state-dir", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waits:
        try:
            wait_until(
                lambda: "claimed-2" in {each.device for each in world.workspace.pending_devices()}, "it asked"
            )
            world.stage.headland("device", "accept", "claimed-2")
            told, noted = waits.communicate(timeout=30)
        finally:
            waits.kill()
    assert waits.returncode == 0, noted
    assert told.startswith("enrolled as claimed-2 in workspace shop of ")
    assert "claimed-2: waits until an Owner accepts it" in noted
