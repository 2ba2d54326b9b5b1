"""Claims: a device waits until its key is accepted, and who has no good claim learns nothing."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from sqlalchemy import update

from cloud_hub.access.limits import MOST, AttemptLimits
from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit, Filters
from cloud_hub.db.engine import Database
from cloud_hub.devices import claims as module
from cloud_hub.devices.claims import Claims
from cloud_hub.devices.pending import PendingDevices
from cloud_hub.devices.rows import ClaimRow, DeviceRow, PendingRow
from cloud_hub.devices.service import Devices, HubFacts
from cloud_hub.errors import (
    ClaimExpiredError,
    ClaimFullError,
    ClaimUnknownError,
    ConflictError,
    EnrolmentRejectedError,
    NotFoundError,
    TooManyAttemptsError,
)
from cloud_hub.pki.authority import Authority, serial_of
from cloud_hub.pki.errors import CsrRefusedError
from cloud_hub.pki.requests import key_sha256, requested_key
from contract.enrolment import Claim, EnrolAnswer, EnrolPending, EnrolRequest
from contract.errors import HeadlandError
from contract.ids import InvalidNameError
from contract.messages import Hello
from tests.hub.race import race
from tests.hub.test_devices import HOUR, csr, serial_in

BY, DEVICE = Actor("ana"), Actor("", "10.0.0.7")


@dataclass
class Desk:
    """A hub's services around claims; requests are of keys made here."""

    database: Database
    claims: Claims
    pending: PendingDevices
    devices: Devices
    audit: Audit

    def claim(self, name: str = "line", *, most: int = 3, lifetime: timedelta = HOUR) -> Claim:
        return self.claims.create("shop", name, lifetime, most, {"site": "lyon"}, BY)

    def ask(self, claim: Claim, device: str, request: str) -> EnrolAnswer | EnrolPending:
        return self.claims.ask(EnrolRequest(token=claim.token, csr_pem=request, device=device), DEVICE)

    def waiting(self, workspace: str = "shop") -> list[tuple[str, str]]:
        return [(row.device, row.key_sha256) for row, _ in self.pending.all_in(workspace)]

    def ends(self, name: str = "line") -> None:
        """Let the claim's time be over."""
        with self.database.transaction() as session:
            session.execute(
                update(ClaimRow).where(ClaimRow.name == name).values(expires_at=datetime.now(UTC))
            )

    def actions(self) -> list[tuple[str, str, str]]:
        return [(row.principal, row.action, row.target) for row in self.audit.page("shop", Filters(), 100)]


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    (tmp_path / "pki").mkdir()
    authority, audit = Authority.create(tmp_path / "pki"), Audit(database, bytes(32))
    devices = Devices(database, authority, HubFacts("https://localhost:1", "localhost", 2, {}), audit)
    claims = Claims(database, authority, devices, AttemptLimits(database), audit)
    return Desk(database, claims, PendingDevices(database, audit), devices, audit)


def key_of(request: str) -> str:
    return key_sha256(requested_key(request))


def test_it_waits_until_it_is_accepted_and_then_has_a_certificate_and_the_claims_tags(desk: Desk) -> None:
    claim, request = desk.claim(), csr("admin")
    for _ in range(3):
        answer = desk.ask(claim, "cam-9", request)
        assert answer == EnrolPending(device="cam-9", key_sha256=key_of(request), retry_after_s=5)
    assert desk.waiting() == [("cam-9", key_of(request))]
    with pytest.raises(NotFoundError):
        desk.devices.get("shop", "cam-9")
    row = desk.pending.accept("shop", "cam-9", None, BY)
    assert (row.tags, row.certificate_serial, desk.waiting()) == ({"site": "lyon"}, None, [])
    given = desk.ask(claim, "cam-9", request)
    assert isinstance(given, EnrolAnswer)
    certificate = x509.load_pem_x509_certificate(given.certificate_pem.encode())
    assert certificate.subject.rfc4514_string() == "CN=cam-9"
    assert desk.devices.recognise("cam-9", serial_of(certificate)) is not None
    assert desk.actions() == [
        ("device:cam-9", "device.enrol", "cam-9"),
        ("ana", "device.accept", "cam-9"),
        ("claim:line", "device.ask", "cam-9"),
        ("ana", "claim.create", "line"),
    ]


def test_a_lost_answer_is_asked_for_again_until_the_device_was_heard(desk: Desk) -> None:
    claim, request = desk.claim(), csr()
    desk.ask(claim, "cam-9", request)
    desk.pending.accept("shop", "cam-9", key_of(request), BY)
    desk.ends()
    answers = [desk.ask(claim, "cam-9", request) for _ in range(2)]
    first, second = (serial_in(each) for each in answers if isinstance(each, EnrolAnswer))
    assert desk.devices.recognise("cam-9", first) is not None, "none is locked out by another's question"
    assert desk.devices.recognise("cam-9", second) is not None
    desk.devices.heard([("cam-9", Hello(generation=0, agent_version="1", driver="runc"))])
    with pytest.raises(ClaimExpiredError):
        desk.ask(claim, "cam-9", request)


def test_certificates_are_not_asked_for_without_end(desk: Desk) -> None:
    claim, request = desk.claim(), csr()
    desk.ask(claim, "cam-9", request)
    desk.pending.accept("shop", "cam-9", None, BY)
    for _ in range(MOST["renewal"]):
        desk.ask(claim, "cam-9", request)
    with pytest.raises(TooManyAttemptsError):
        desk.ask(claim, "cam-9", request)


def test_another_key_than_the_accepted_one_gets_nothing(desk: Desk) -> None:
    claim, mine, theirs = desk.claim(), csr(), csr()
    desk.ask(claim, "cam-9", mine)
    desk.ask(claim, "cam-9", theirs)
    for act in (desk.pending.accept, desk.pending.reject):
        with pytest.raises(ConflictError, match="2 keys wait"):
            act("shop", "cam-9", None, BY)
        with pytest.raises(NotFoundError):
            act("shop", "cam-9", "0" * 64, BY)
    desk.pending.accept("shop", "cam-9", key_of(mine), BY)
    with pytest.raises(EnrolmentRejectedError):
        desk.ask(claim, "cam-9", theirs)
    with pytest.raises(ConflictError, match="taken"):
        desk.ask(claim, "cam-9", csr())
    assert isinstance(desk.ask(claim, "cam-9", mine), EnrolAnswer), "the control"


def test_who_is_rejected_is_told_and_another_key_may_ask(desk: Desk) -> None:
    claim, request = desk.claim(most=1), csr()
    desk.ask(claim, "cam-9", request)
    desk.pending.reject("shop", "cam-9", None, BY)
    with pytest.raises(EnrolmentRejectedError):
        desk.ask(claim, "cam-9", request)
    with pytest.raises(NotFoundError):
        desk.pending.accept("shop", "cam-9", key_of(request), BY)
    assert isinstance(desk.ask(claim, "cam-9", csr()), EnrolPending), "and its place is free again"
    assert ("ana", "device.reject", "cam-9") in desk.actions()


@pytest.mark.parametrize("device", ["cam-1", "mill-1", "cam-404", "Not/A-Name"])
def test_without_a_good_claim_all_names_look_the_same(desk: Desk, device: str) -> None:
    good, revoked = desk.claim(), desk.claim("old")
    desk.claims.revoke("shop", "old", BY)
    head, tail = good.token[:20], good.token[21:]
    wrong = ["", "guess", "hlc_", revoked.token, f"{head}_{tail[::-1]}", f"hlc_{'0' * 16}_{tail}", "\0", "é"]
    told = set()
    for token in wrong:
        for request in (csr(), "no request"):
            with pytest.raises(ClaimUnknownError) as refused:
                desk.claims.ask(EnrolRequest(token=token, csr_pem=request, device=device), DEVICE)
            told.add(str(refused.value))
    assert len(told) == 1
    with pytest.raises(ClaimUnknownError):
        desk.claims.ask(EnrolRequest(token=good.token + "\n", csr_pem=csr(), device=device), DEVICE)
    if device.startswith("cam-4"):
        assert isinstance(desk.ask(good, device, csr()), EnrolPending), "the control"


def test_a_claim_whose_time_is_over_tells_nothing_of_names_but_those_that_wait_stay(desk: Desk) -> None:
    claim, request = desk.claim(), csr()
    desk.ask(claim, "cam-9", request)
    with pytest.raises(ConflictError):
        desk.ask(claim, "cam-1", csr())
    desk.ends()
    for device in ("cam-1", "cam-404", "cam-9"):
        with pytest.raises(ClaimExpiredError):
            desk.ask(claim, device, csr())
    assert isinstance(desk.ask(claim, "cam-9", request), EnrolPending)
    desk.pending.accept("shop", "cam-9", None, BY)
    assert isinstance(desk.ask(claim, "cam-9", request), EnrolAnswer)


def test_a_name_is_taken_whoever_has_it(desk: Desk) -> None:
    claim = desk.claim()
    desk.devices.invite("shop", "cam-8", HOUR, BY)
    for device in ("cam-1", "mill-1", "cam-8"):
        with pytest.raises(ConflictError, match="the device id is taken") as refused:
            desk.ask(claim, device, csr())
        assert refused.value.code == "conflict"
    for device, request, error in (("Cam", csr(), InvalidNameError), ("cam-9", "none", CsrRefusedError)):
        with pytest.raises(error):
            desk.ask(claim, device, request)
    assert desk.waiting() == []


def test_a_name_that_was_given_away_meanwhile_is_not_accepted(desk: Desk) -> None:
    claim, other = desk.claim(), desk.claims.create("lab", "line", HOUR, 3, {}, BY)
    mine, theirs = csr(), csr()
    desk.ask(claim, "cam-9", mine)
    desk.ask(other, "cam-9", theirs)
    assert desk.waiting("lab") == [("cam-9", key_of(theirs))]
    desk.pending.accept("lab", "cam-9", None, BY)
    with pytest.raises(ConflictError, match="taken"):
        desk.pending.accept("shop", "cam-9", None, BY)
    with pytest.raises(ConflictError, match="taken"):
        desk.ask(claim, "cam-9", mine)
    assert isinstance(desk.ask(other, "cam-9", theirs), EnrolAnswer)


def test_a_revoked_claim_is_of_no_use_and_who_waited_is_forgotten(desk: Desk) -> None:
    claim, in_time, late = desk.claim(), csr(), csr()
    desk.ask(claim, "cam-8", in_time)
    desk.pending.accept("shop", "cam-8", None, BY)
    held = desk.ask(claim, "cam-8", in_time)
    assert isinstance(held, EnrolAnswer)
    desk.ask(claim, "cam-9", late)
    for _ in range(2):
        row, counts = desk.claims.revoke("shop", "line", BY)
        assert row.revoked_at is not None
        assert counts == {"waiting": 0, "accepted": 1, "rejected": 0}
    for device, request in (("cam-9", late), ("cam-8", in_time)):
        with pytest.raises(ClaimUnknownError):
            desk.ask(claim, device, request)
    assert desk.waiting() == []
    assert desk.devices.recognise("cam-8", serial_in(held)) is not None, "who is in stays in"
    again = desk.claim("line-2")
    assert isinstance(desk.ask(again, "cam-9", late), EnrolPending), "the same key, by another claim"
    with pytest.raises(NotFoundError):
        desk.claims.revoke("lab", "line", BY)
    with pytest.raises(ConflictError):
        desk.claim("line")


@pytest.mark.parametrize("end", ["revoked", "invited"])
def test_an_accepted_key_counts_no_longer_once_an_owner_says_otherwise(desk: Desk, end: str) -> None:
    claim, request = desk.claim(), csr()
    desk.ask(claim, "cam-9", request)
    desk.pending.accept("shop", "cam-9", None, BY)
    with pytest.raises(ConflictError):
        desk.devices.invite("shop", "cam-9", HOUR, BY)
    if end == "revoked":
        desk.devices.revoke("shop", "cam-9", BY)
    else:
        token = desk.devices.invite("shop", "cam-9", HOUR, BY, replace=True).token
        desk.devices.enrol(EnrolRequest(token=token, csr_pem=csr()), BY)
    with pytest.raises(ConflictError, match="taken"):
        desk.ask(claim, "cam-9", request)


def test_a_leaked_claim_cannot_fill_the_hub(desk: Desk) -> None:
    claim = desk.claim(most=5)
    works: list[Callable[[], object]] = [
        lambda number=number: desk.ask(claim, f"cam-1{number}", csr()) for number in range(12)  # type: ignore[misc]
    ]  # fmt: skip
    results = race(*works)
    assert sum(isinstance(each, EnrolPending) for each in results) == 5
    assert sum(isinstance(each, ClaimFullError) for each in results) == 7
    assert len(desk.waiting()) == 5
    first, _ = desk.waiting()[0]
    desk.pending.accept("shop", first, None, BY)
    with pytest.raises(ClaimFullError):
        desk.ask(claim, "cam-99", csr())
    second, _ = desk.waiting()[0]
    desk.pending.reject("shop", second, None, BY)
    assert isinstance(desk.ask(claim, "cam-99", csr()), EnrolPending), "the control"


def test_of_two_owners_who_decide_at_once_one_does(desk: Desk) -> None:
    claim = desk.claim()
    desk.ask(claim, "cam-9", csr())
    results = race(
        lambda: desk.pending.accept("shop", "cam-9", None, BY),
        lambda: desk.pending.reject("shop", "cam-9", None, BY),
    )
    assert sum(isinstance(each, HeadlandError) for each in results) == 1


def test_the_token_is_neither_kept_nor_told_and_compared_in_constant_time(
    desk: Desk, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = desk.claim()
    desk.ask(claim, "cam-9", csr())
    with database.reading() as session:
        kept = [
            str(value)
            for kind in (ClaimRow, PendingRow, DeviceRow)
            for row in session.query(kind).all()
            for value in vars(row).values()
        ]
    told = [row.details for row in desk.audit.page("shop", Filters(), 100)]
    secret = claim.token.split("_", 2)[2]
    assert not [text for text in [*kept, *told] if secret in text]
    compared = 0

    def counted(one: str, other: str) -> bool:
        nonlocal compared
        compared += 1
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(module, "compare_digest", counted)
    for token in (claim.token, "guess", f"hlc_{'0' * 16}_{secret}"):
        before = compared
        try:
            desk.claims.ask(EnrolRequest(token=token, csr_pem=csr(), device="cam-9"), DEVICE)
        except ClaimUnknownError:
            assert token != claim.token
        assert compared > before, "also where there is no such claim"


def test_a_registered_key_is_let_in_at_once_by_a_claim_and_no_other_key_is(desk: Desk) -> None:
    claim, mine = desk.claim(most=1), csr()
    waits = csr()
    desk.ask(claim, "cam-9", waits)
    row = desk.pending.register("shop", "cam-9", key_of(mine), {"site": "x"}, BY)
    assert (row.tags, desk.waiting()) == ({"site": "x"}, [])
    for request in (csr(), waits):
        with pytest.raises(ConflictError, match="taken"):
            desk.ask(claim, "cam-9", request)
    with pytest.raises(ClaimUnknownError):
        desk.claims.ask(EnrolRequest(token="guess", csr_pem=mine, device="cam-9"), DEVICE)
    with pytest.raises(ConflictError):
        desk.devices.invite("shop", "cam-9", HOUR, BY)
    given = desk.ask(claim, "cam-9", mine)
    assert isinstance(given, EnrolAnswer)
    assert desk.devices.recognise("cam-9", serial_in(given)) is not None


def test_a_registered_key_needs_a_claim_of_its_workspace_that_is_in_time(desk: Desk) -> None:
    claim, other, mine = desk.claim(), desk.claims.create("lab", "line", HOUR, 3, {}, BY), csr()
    desk.pending.register("shop", "cam-9", key_of(mine), {}, BY)
    with pytest.raises(ConflictError, match="taken"):
        desk.ask(other, "cam-9", mine)
    desk.ends()
    with pytest.raises(ClaimExpiredError):
        desk.ask(claim, "cam-9", mine)
    assert isinstance(desk.ask(desk.claim("line-2"), "cam-9", mine), EnrolAnswer), "the control"
    for taken in ("cam-9", "mill-1"):
        with pytest.raises(ConflictError):
            desk.pending.register("shop", taken, key_of(mine), {}, BY)
