"""Claims from both ends: the agent's command against a real hub, and what an Owner types."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import update

from agent import cli
from agent.errors import EnrolmentError, HubUnreachableError
from agent.identity import claiming, store
from agent.identity.claiming import FIRST_S, LONGEST_S, PENDING, Claiming, begin
from agent.identity.enrol import ask_for_identity, read_given
from agent.identity.names import MACHINE_ID, SERIAL, default_name
from cloud_hub.devices.rows import ClaimRow
from cloud_hub.pki.authority import private_key_pem
from cloud_hub.pki.requests import key_sha256
from cloud_hub.sdk import HubRefusedError
from contract.encoding import decode, encode
from contract.enrolment import CERTIFICATE_PATH, ENROL_PATH, Claim, EnrolPending, EnrolRequest
from contract.ids import InvalidNameError
from tests.api.conftest import ADMIN, Command, World
from tests.hub.test_devices import csr

Agent = Callable[..., tuple[int, str, str]]


@pytest.fixture
def claim_file(world: World, headland: Command, tmp_path: Path) -> Path:
    """A claim that the command wrote; the test's hub stands at another port than its settings say."""
    path = tmp_path / "line.json"
    told = headland("device", "claim", "create", "line", "--tag", "site=lyon", "--file", str(path))
    assert told.startswith(f"claim line is in {path}; up to 100 devices may ask by it, for 168 h.\n")
    assert path.stat().st_mode & 0o777 == 0o600
    made = decode(path.read_bytes(), Claim, what="claim")
    here = Claim(
        hub=str(world.client.base_url).rstrip("/"),
        ca_sha256=made.ca_sha256,
        claim=made.claim,
        token=made.token,
    )
    path.write_bytes(encode(here))
    return path


@pytest.fixture
def agent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Agent:
    """Run `headland-agent enroll`; return exit code, output and what went to standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        code = cli.main(["enroll", *words, "--state-dir", str(tmp_path / "state")])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def device(claim_file: Path, tmp_path: Path) -> Claiming:
    """A device that has the claim, and has not asked yet."""
    return begin(read_given(claim_file, Claim), "cam-9", tmp_path / "identity")


def test_an_owner_compares_accepts_and_the_device_goes_on_with_its_key(
    world: World, headland: Command, agent: Agent, claim_file: Path, tmp_path: Path
) -> None:
    code, told, noted = agent("--claim", str(claim_file), "--name", "cam-9", "--no-wait", "--output", "json")
    assert code == 3
    shown = json.loads(told)
    assert (shown["device"], shown["state"]) == ("cam-9", "waiting")
    assert noted == f"cam-9: the key of this device is SHA-256 {shown['key_sha256']}\n"
    (waiting,) = json.loads(headland("device", "pending", "-o", "json"))
    assert (waiting["device"], waiting["claim"]) == ("cam-9", "line")
    assert waiting["key_sha256"] == shown["key_sha256"]
    assert waiting["address"] == "127.0.0.1"
    assert shown["key_sha256"] in headland("device", "pending")
    assert json.loads(headland("device", "list", "-o", "json")) == []
    spelt = ":".join(shown["key_sha256"].upper()[at : at + 2] for at in range(0, 64, 2))
    assert headland("device", "accept", "cam-9", "--fingerprint", spelt).startswith("cam-9 is accepted")
    assert json.loads(headland("device", "show", "cam-9", "-o", "json"))["state"] == "accepted"
    assert agent()[:2] == (0, f"enrolled as cam-9 in workspace shop of {world.client.base_url}\n")
    identity = store.load(tmp_path / "state" / "identity")
    assert not (identity.folder / PENDING).exists(), "the claim does not stay"
    assert identity.key_file.stat().st_mode & 0o777 == 0o600
    with httpx.Client(base_url=identity.facts.hub, verify=identity.tls_context()) as client:
        assert client.get(CERTIFICATE_PATH).json() == {"device": "cam-9"}
    assert world.services.devices.get("shop", "cam-9").tags == {"site": "lyon"}
    code, _, noted = agent("--claim", str(claim_file))
    assert code == 1
    assert "enrolled already" in noted


def test_key_and_claim_are_the_owners_alone_and_the_key_stays(
    agent: Agent, claim_file: Path, tmp_path: Path
) -> None:
    asking = ("--claim", str(claim_file), "--no-wait", "--output", "json")
    keys = [
        json.loads(agent(*asking, *words)[1])["key_sha256"]
        for words in (["--name", "cam-9"], [], ["--name", "cam-8"], [])
    ]
    assert len(set(keys)) == 1
    beside = tmp_path / "state" / "identity" / PENDING
    assert beside.stat().st_mode & 0o077 == 0
    for name in ("key.pem", "asked.json"):
        assert (beside / name).stat().st_mode & 0o077 == 0
    assert decode((beside / "asked.json").read_bytes(), claiming.Asked, what="asked").device == "cam-8"
    (beside / "asked.json").unlink()  # killed while it began
    code, told, _ = agent(*asking, "--name", "cam-7")
    assert code == 3
    assert json.loads(told)["key_sha256"] != keys[0]


def test_it_waits_less_and_less_often_also_for_a_hub_that_is_away(
    world: World, device: Claiming, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    told: list[str] = []

    def sometimes_away(*arguments: object) -> object:
        if len(slept) == 3:
            raise HubUnreachableError("no answer from the hub")
        return ask_for_identity(*arguments)  # type: ignore[arg-type]

    def sleep(wait_s: float) -> None:
        slept.append(wait_s)
        if len(slept) == 12:
            world.services.pending.accept("shop", "cam-9", None, ADMIN)

    monkeypatch.setattr(claiming, "ask_for_identity", sometimes_away)
    identity = device.wait(told.append, sleep=sleep, chance=lambda: 0.0)
    assert identity.facts.device == "cam-9"
    assert slept[:3] == [FIRST_S, FIRST_S * 1.5, FIRST_S * 2.25]
    assert slept[-1] == LONGEST_S
    assert told == [
        "waits until an Owner accepts it",
        "not yet, and that is tried again: no answer from the hub",
        "waits until an Owner accepts it",
    ]


def test_a_claim_that_is_full_is_waited_for_and_one_that_is_revoked_is_not(
    world: World, device: Claiming, headland: Command
) -> None:
    with world.core.database.transaction() as session:
        session.execute(update(ClaimRow).values(most=0))
    told: list[str] = []

    def sleep(_wait_s: float) -> None:
        headland("device", "claim", "revoke", "line")

    with pytest.raises(EnrolmentError, match="claim-unknown"):
        device.wait(told.append, sleep=sleep)
    assert len(told) == 1
    assert "[claim-full]" in told[0]
    assert "revoked" in headland("device", "claim", "list")


def test_who_is_rejected_ends_with_that(device: Claiming, headland: Command) -> None:
    assert device.ask() is None
    told = headland("device", "reject", "cam-9")
    assert told == f"cam-9 is rejected, with the key {device.key_sha256}\n"
    with pytest.raises(EnrolmentError, match="enrolment-rejected"):
        device.wait(lambda _: None, sleep=lambda _: None)


def test_no_list_and_no_error_tells_the_secret(
    world: World, headland: Command, claim_file: Path, device: Claiming, agent: Agent
) -> None:
    secret = decode(claim_file.read_bytes(), Claim, what="claim").token
    device.ask()
    told = [headland("device", "claim", "list", "-o", form) for form in ("text", "json")]
    told += [headland("device", "pending", "-o", "json"), headland("audit", "list", "-o", "json")]
    headland("device", "claim", "revoke", "line")
    told += agent("--claim", str(claim_file), "--no-wait", "--name", "cam-9")[1:]
    assert "claim-unknown" in told[-1]
    assert not [text for text in told if secret in text or secret.split("_", 2)[2] in text]


def test_what_a_device_cannot_do(agent: Agent, claim_file: Path, tmp_path: Path) -> None:
    for words, told in (
        ([], "neither an invitation nor a claim"),
        (["--claim", str(tmp_path / "none.json")], "cannot read the claim"),
        (["--invitation", str(claim_file), "--name", "x"], "--name, --key and --no-wait are for a claim"),
        (["--claim", str(claim_file), "--name", "Not/Allowed"], "the name is not allowed"),
    ):
        code, _, noted = agent(*words)
        assert code == 1
        assert told in noted
    assert not (tmp_path / "state" / "identity").exists()


def test_a_pending_device_is_answered_202_and_let_in_nowhere(world: World, claim_file: Path) -> None:
    claim = decode(claim_file.read_bytes(), Claim, what="claim")
    body = encode(EnrolRequest(token=claim.token, csr_pem=csr(), device="cam-9"))
    answer = world.client.post(ENROL_PATH, content=body)
    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "5")
    assert decode(answer.content, EnrolPending, what="answer").device == "cam-9"
    assert "BEGIN" not in answer.text, "no certificate, of whomever"
    headers = {"Authorization": f"Bearer {claim.token}"}
    for path in (
        CERTIFICATE_PATH,
        "/v2/",
        "/v2/shop/digits/manifests/latest",
        "/api/v1/workspaces/shop/devices",
        "/api/v1/workspaces/shop/devices/cam-9/document",
    ):
        assert world.client.get(path, headers=headers).status_code == 401, path
        assert world.client.get(path).status_code == 401, path


def test_a_claim_is_for_owners_alone(world: World) -> None:
    with world.sdk(world.token("ana", {"shop": "Contributor"})) as hub:
        workspace = hub.workspace("shop")
        for act in (
            lambda: workspace.create_claim("x"),
            workspace.claims,
            workspace.pending_devices,
            lambda: workspace.accept_device("cam-9"),
        ):
            with pytest.raises(HubRefusedError) as refused:
                act()
            assert refused.value.code == "forbidden"
    with world.sdk(world.token("bo", {"shop": "Owner"})) as hub:
        assert hub.workspace("shop").create_claim("x").claim == "x", "the control"
        assert hub.workspace("shop").claims()[0].expires_at > datetime.now(UTC)


def test_the_name_of_a_machine(tmp_path: Path) -> None:
    serial, machine_id = tmp_path / SERIAL, tmp_path / MACHINE_ID
    for path in (serial, machine_id):
        path.parent.mkdir(parents=True)
    with pytest.raises(EnrolmentError, match="Give --name"):
        default_name(tmp_path)
    machine_id.write_text("0123456789abcdef0123456789abcdef\n")
    name = default_name(tmp_path)
    assert name == default_name(tmp_path)
    assert name.startswith("dev-")
    assert len(name) == 20
    assert name[4:] not in machine_id.read_text(), "the id itself is told to nobody"
    machine_id.write_text("1123456789abcdef0123456789abcdef\n")
    assert default_name(tmp_path) != name
    serial.write_bytes(b"0000000000000000\0")
    assert default_name(tmp_path) != "dev-0000000000000000"
    serial.write_bytes(b"10000000_A1b2\0")
    assert default_name(tmp_path) == "dev-10000000-a1b2"
    serial.write_bytes(b"x" * 100)
    assert len(default_name(tmp_path)) == 63


def test_a_name_that_is_none_makes_no_key(claim_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidNameError):
        begin(read_given(claim_file, Claim), "Not/Allowed", tmp_path / "identity")
    assert not (tmp_path / "identity").exists()


@pytest.mark.parametrize("by", ["--public-key", "--fingerprint"])
def test_a_device_whose_key_is_registered_is_in_at_once(
    headland: Command, agent: Agent, claim_file: Path, tmp_path: Path, by: str
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(private_key_pem(key))
    (tmp_path / "public.pem").write_bytes(public)
    told = {"--public-key": str(tmp_path / "public.pem"), "--fingerprint": key_sha256(key.public_key())}
    headland("device", "register", "cam-9", by, told[by], "--tag", "site=lyon")
    asking = ("--claim", str(claim_file), "--name", "cam-9", "--no-wait")
    code, _, noted = agent(*asking)
    assert code == 1, "the control: a key of its own is not the registered one"
    assert "the device id is taken" in noted
    code, _, noted = agent(*asking, "--key", str(tmp_path / "public.pem"))
    assert code == 1
    assert "not an EC private key" in noted
    assert agent(*asking, "--key", str(tmp_path / "key.pem"))[0] == 0
    assert json.loads(headland("device", "show", "cam-9", "-o", "json"))["state"] == "enrolled"


def test_registering_takes_one_key(world: World, headland: Command, tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no key")
    with world.sdk() as hub:
        workspace = hub.workspace("shop")
        for options in ({}, {"public_key_pem": "x", "key_sha256": "ab" * 32}, {"public_key_pem": "no key"}):
            with pytest.raises(HubRefusedError):
                workspace.register_device("cam-9", **options)  # type: ignore[arg-type]
        with pytest.raises(HubRefusedError):
            workspace.register_device("cam-9", key_sha256="ab")
        assert workspace.register_device("cam-9", key_sha256="AB:" * 31 + "AB").state == "accepted"
    headland("device", "register", "cam-8", code=2)
