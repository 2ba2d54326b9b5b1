"""Renewal on a real hub: wherever a device is killed in it, it goes on with what the hub knows."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.identity import renewal as module
from agent.identity import store
from agent.identity.enrol import enrol
from agent.identity.pace import AFTER_SUCCESS_S, FIRST_S, Pace, due_at
from agent.identity.renewal import AWAY_S, Renewal
from agent.identity.validity import Validity
from agent.secrets.sealed import SealedSecrets
from cloud_hub.devices.rows import DeviceRow
from contract.enrolment import CERTIFICATE_PATH
from contract.secrets import SecretRef
from tests.api.conftest import World
from tests.api.test_device_secrets import invite

DAY = timedelta(days=1)
HOUR_S = 3600.0


class KilledError(BaseException):
    """The daemon is gone, at once."""


@dataclass
class Cam:
    """A device whose daemon may be started anew; its clock is ``ahead`` of the hub's."""

    world: World
    folder: Path
    ahead: timedelta = timedelta(0)
    steady_s: float = 0.0
    connected: bool = True
    renewed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        enrol(invite(self.world, "cam-1"), self.folder)
        self.start()

    def start(self) -> None:
        """Start the daemon, from what is on the disk."""
        self.identity = store.load(self.folder)
        self.tls = self.identity.tls_context()
        self.renewal = Renewal(
            self.identity,
            now=lambda: datetime.now(UTC) + self.ahead,
            connected=lambda: self.connected,
            renewed=lambda: self.renewed.append(self.certificate),
            steady_s=lambda: self.steady_s,
            chance=lambda: 0.0,
        )

    def look(self, after_s: float = FIRST_S) -> None:
        """Let some time pass, and have it look."""
        self.steady_s += after_s
        self.renewal.look()

    @property
    def certificate(self) -> str:
        """What counts on the device."""
        return self.identity.certificate_file.read_text()

    def is_known(self, pair: store.Pair | None = None) -> bool:
        """Does the hub know the device by what it shows, or by a pair?"""
        tls = self.identity.tls_context(pair) if pair else self.tls
        with httpx.Client(base_url=self.world.client.base_url, verify=tls) as client:
            return client.get(CERTIFICATE_PATH).status_code == 200

    def row(self) -> DeviceRow:
        """What the hub has of it."""
        return self.world.services.devices.get("shop", "cam-1")


@pytest.fixture
def cam(world: World, tmp_path: Path) -> Cam:
    return Cam(world, tmp_path / "identity")


def test_at_two_thirds_of_its_time_and_no_sooner_a_new_one_counts(cam: Cam) -> None:
    first, enrolled = cam.certificate, cam.row().certificate_serial
    cam.look()
    cam.ahead = 19 * DAY
    cam.look()
    assert (cam.certificate, cam.renewed, cam.row().next_serial) == (first, [], None)
    cam.ahead = 20 * DAY + timedelta(hours=1)
    cam.look()
    assert cam.certificate != first
    assert cam.renewed == [cam.certificate]
    assert cam.row().certificate_serial not in {enrolled, None}
    assert cam.row().next_serial is None
    assert cam.is_known(), "who had a context shows the new one by it"
    assert not cam.is_known(cam.identity.enrolled), "the control: the old one is no longer known"
    assert cam.identity.key_file.stat().st_mode & 0o077 == 0
    assert cam.identity.key_file.read_bytes() != cam.identity.enrolled.key_file.read_bytes()
    cam.start()
    assert cam.is_known()


def test_it_goes_on_for_years(cam: Cam) -> None:
    seen = {cam.certificate}
    for _ in range(4):
        cam.ahead = 21 * DAY
        cam.look(AFTER_SUCCESS_S)
        assert cam.is_known()
        seen.add(cam.certificate)
    assert len(seen) == 5


def test_what_was_sealed_before_opens_after(cam: Cam, tmp_path: Path) -> None:
    ref = SecretRef(file="password", name="db", version=1)

    def sealed() -> SealedSecrets:
        return SealedSecrets(tmp_path / "sealed", cam.identity.enrolled.key_file, "cam-1", "shop")

    sealed().put(ref, b"value")
    cam.ahead = 21 * DAY
    cam.look()
    cam.start()
    assert sealed().get(ref) == b"value"
    renewed = SealedSecrets(tmp_path / "sealed", cam.identity.key_file, "cam-1", "shop")
    assert renewed.get(ref) is None, "the control: the renewed key does not open it"


STEPS = [
    (module, "run_confined"), (Renewal, "_call"), (module, "write_durably"), (store.Identity, "hold"),
]  # fmt: skip


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS, ids=[name for _, name in STEPS])
def test_killed_at_any_step_it_goes_on_with_one_that_the_hub_knows(
    cam: Cam, monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str], after: bool, call: int
) -> None:
    first, calls = cam.certificate, 0
    real: Callable[..., Any] = getattr(*step)

    def killing(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            raise KilledError
        found = real(*arguments, **named)
        if calls == call:
            raise KilledError
        return found

    cam.ahead = 21 * DAY
    with monkeypatch.context() as patch:
        patch.setattr(*step, killing)
        with suppress(KilledError):
            cam.look()
    for _ in range(3):  # its daemon starts again, and again
        cam.start()
        cam.look()
    assert cam.is_known()
    assert cam.certificate != first, "and the renewal has come through"


def test_negative_control_without_the_second_slot_it_would_be_locked_out(
    cam: Cam, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_identity: store.Identity, _pair: store.Pair) -> None:
        raise KilledError

    cam.ahead = 21 * DAY
    with monkeypatch.context() as patch, suppress(KilledError):
        patch.setattr(store.Identity, "hold", killed)
        cam.look()
    cam.identity.other.certificate_file.unlink()
    cam.start()
    cam.look()
    assert not cam.is_known()


@pytest.mark.parametrize("renewals", [1, 2])
def test_a_hub_that_was_restored_from_a_backup_knows_what_counted_before(cam: Cam, renewals: int) -> None:
    cam.ahead = 21 * DAY
    for _ in range(renewals):
        before = cam.row().certificate_serial
        cam.look(AFTER_SUCCESS_S)
    with cam.world.core.database.transaction() as session:
        session.get_one(DeviceRow, "cam-1").certificate_serial = before
    assert not cam.is_known()
    cam.ahead = timedelta(0)
    cam.connected = False
    cam.start()
    cam.look(AWAY_S - 1)
    assert not cam.is_known(), "a short absence asks nothing"
    cam.look(AWAY_S)
    assert cam.is_known()


def test_a_pair_that_does_not_fit_is_forgotten_and_never_counts(cam: Cam) -> None:
    cam.ahead = 21 * DAY
    cam.look()
    other = cam.identity.other
    other.folder.mkdir()
    other.certificate_file.write_text(cam.certificate)
    other.key_file.write_bytes(cam.identity.enrolled.key_file.read_bytes())
    assert not other.fits()
    held, cam.connected = cam.certificate, False
    with cam.world.core.database.transaction() as session:
        session.get_one(DeviceRow, "cam-1").certificate_serial = "another"
    cam.look(AFTER_SUCCESS_S)
    assert (cam.certificate, other.validity()) == (held, None)


@pytest.mark.parametrize("damage", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_certificate_that_was_damaged_gives_way_to_the_one_before(cam: Cam, damage: str) -> None:
    cam.ahead = 21 * DAY
    cam.look()
    before = cam.row().certificate_serial
    cam.look(AFTER_SUCCESS_S)
    with cam.world.core.database.transaction() as session:
        session.get_one(DeviceRow, "cam-1").certificate_serial = before
    cam.identity.certificate_file.write_text(damage)
    cam.look(AFTER_SUCCESS_S)
    assert cam.is_known(cam.identity.held)


def test_a_hub_that_knows_the_device_makes_it_wait_no_longer_than_one_that_is_away(cam: Cam) -> None:
    """Without a connection it asks, and is known: that is no renewal, after which it would rest."""
    cam.connected = False
    cam.look(AWAY_S + 1)
    cam.ahead = 21 * DAY
    cam.look(HOUR_S)
    assert cam.renewed


def test_a_device_that_was_revoked_keeps_what_it_has_and_is_not_let_in(cam: Cam) -> None:
    with cam.world.core.database.transaction() as session:
        session.get_one(DeviceRow, "cam-1").revoked_at = datetime.now(UTC)
    first, cam.ahead, cam.connected = cam.certificate, 21 * DAY, False
    for _ in range(5):
        cam.look(AWAY_S)
    assert cam.certificate == first
    assert not cam.is_known()


def requests(cam: Cam, hours: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """Yield when the hub is asked, in hours; the clock is set to and fro all the while."""
    asked: list[float] = []

    def call(*_: object) -> tuple[int, bytes]:
        asked.append(cam.steady_s / HOUR_S)
        raise OSError("the hub is away")

    monkeypatch.setattr(Renewal, "_call", call)
    cam.connected = False
    for number in range(int(hours * HOUR_S / 60)):
        cam.ahead = (timedelta(0), 90 * DAY, -DAY, timedelta(days=-20_000))[number % 4]
        cam.look(60)
    yield from asked


def test_no_clock_makes_more_than_two_requests_an_hour(cam: Cam, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list(requests(cam, 48, monkeypatch))
    assert len(asked) > 10, "it does try"
    assert most_in_an_hour(asked) <= 2
    monkeypatch.setattr("agent.identity.pace.AFTER_FAILURE_S", 0.0)
    cam.start()
    assert most_in_an_hour(list(requests(cam, 2, monkeypatch))) > 10, "the control"


def most_in_an_hour(asked: list[float]) -> int:
    return max(sum(begin <= at < begin + 1 for at in asked) for begin in asked)


def test_a_clock_that_stays_ahead_renews_twice_a_day_at_most(cam: Cam) -> None:
    cam.ahead = 90 * DAY
    for _ in range(24 * 60):
        cam.look(60)
    assert 1 <= len(cam.renewed) <= 2


def test_devices_of_one_enrolment_do_not_come_together() -> None:
    begins = datetime(2030, 1, 1, tzinfo=UTC)
    held = Validity(begins, begins + 30 * DAY)
    assert due_at(held, 0) == begins + 20 * DAY
    assert due_at(held, 1) == begins + timedelta(days=22.5)
    pace = Pace(0, lambda: 0.5)
    assert (pace.may_try(FIRST_S), pace.may_try(2 * FIRST_S)) == (False, True)
