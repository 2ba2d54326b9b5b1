"""Renewal in the hub: the new certificate counts from its first use, the old one until then."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit, Filters
from cloud_hub.db.engine import Database
from cloud_hub.devices.rows import DeviceRow
from cloud_hub.devices.service import Devices, HubFacts
from cloud_hub.pki.authority import Authority
from cloud_hub.pki.errors import CsrRefusedError
from contract.enrolment import EnrolRequest, RenewRequest
from tests.hub.test_devices import BY, HOUR, csr, serial_in

DEVICE = Actor("device:cam-9")


@pytest.fixture
def devices(database: Database, tmp_path: Path) -> Devices:
    (tmp_path / "pki").mkdir()
    facts = HubFacts("https://localhost:1", "localhost", 2, {"k": "00"})
    return Devices(database, Authority.create(tmp_path / "pki"), facts, Audit(database, bytes(32)))


@pytest.fixture
def first(devices: Devices) -> str:
    """The serial of an enrolled device's first certificate."""
    token = devices.invite("shop", "cam-9", HOUR, BY).token
    return serial_in(devices.enrol(EnrolRequest(token=token, csr_pem=csr()), BY))


def renew(devices: Devices) -> str:
    answer = devices.renew("cam-9", RenewRequest(csr_pem=csr("admin")), DEVICE)
    assert (answer.device, answer.workspace) == ("cam-9", "shop")
    return serial_in(answer)


def counts(devices: Devices, *serials: str) -> Iterator[bool]:
    return (devices.recognise("cam-9", each) is not None for each in serials)


def test_the_old_one_counts_until_the_new_one_is_used(devices: Devices, first: str) -> None:
    second = renew(devices)
    assert all(counts(devices, first, first))
    assert all(counts(devices, second))
    assert list(counts(devices, first, second)) == [False, True]


def test_of_answers_that_were_lost_the_last_counts(devices: Devices, first: str) -> None:
    lost, second = renew(devices), renew(devices)
    assert list(counts(devices, lost, first)) == [False, True]
    assert list(counts(devices, second, first, lost)) == [True, False, False]


def test_at_any_time_at_most_two_count_and_one_of_them_is_the_device_s(devices: Devices, first: str) -> None:
    """Whichever answers get lost and whenever the new one is first used, the device can go on."""
    for used in itertools.product([True, False], repeat=4):
        held = first = _enrolled_anew(devices)
        for is_used in used:
            given = renew(devices)
            if is_used:
                assert all(counts(devices, given))
                held = given
            assert all(counts(devices, held)), "what the device holds still counts"
        assert list(counts(devices, first)) == [held == first]


def _enrolled_anew(devices: Devices) -> str:
    token = devices.invite("shop", "cam-9", HOUR, BY, replace=True).token
    return serial_in(devices.enrol(EnrolRequest(token=token, csr_pem=csr()), BY))


def test_many_first_uses_at_once_are_all_right(devices: Devices, first: str) -> None:
    second = renew(devices)
    with ThreadPoolExecutor(20) as pool:
        rows = list(pool.map(lambda _: devices.recognise("cam-9", second), range(20)))
    assert all(rows)
    assert not any(counts(devices, first))


def test_who_enrols_anew_ends_what_was_given_for_the_old_one(devices: Devices, first: str) -> None:
    given = renew(devices)
    _enrolled_anew(devices)
    assert not any(counts(devices, first, given))


def test_a_revoked_device_is_not_let_in_by_the_next_one(
    devices: Devices, database: Database, first: str
) -> None:
    given = renew(devices)
    with database.transaction() as session:
        row = session.get_one(DeviceRow, "cam-9")
        row.revoked_at = row.created_at + timedelta(seconds=1)
    assert not any(counts(devices, first, given))


def test_a_bad_request_changes_nothing(devices: Devices, first: str) -> None:
    given = renew(devices)
    with pytest.raises(CsrRefusedError):
        devices.renew("cam-9", RenewRequest(csr_pem="none"), DEVICE)
    assert all(counts(devices, first, given))


def test_a_renewal_stands_in_the_audit_log(devices: Devices, database: Database, first: str) -> None:
    given = renew(devices)
    (entry,) = Audit(database, bytes(32)).page("shop", Filters(action="device.renew"), 9)
    assert (entry.principal, entry.target) == ("device:cam-9", "cam-9")
    assert given in entry.details
