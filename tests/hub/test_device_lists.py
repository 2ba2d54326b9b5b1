"""Lists of devices: read whole with the line of each fault, invited all or none."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from cloud_hub.audit.service import Audit, Filters
from cloud_hub.db.engine import Database
from cloud_hub.devices.lists import MOST_DEVICES, Kind, Listed, read_list
from cloud_hub.devices.rows import DeviceRow, InvitationRow
from cloud_hub.devices.service import Devices
from cloud_hub.errors import DeviceListError
from cloud_hub.rollouts.yaml_source import MAX_BYTES
from contract.enrolment import EnrolRequest
from tests.hub.test_devices import BY, HOUR, csr, devices

__all__ = ["devices"]

CSV = "\ufeffname,site,line\r\ncam-7,lyon,3\r\n\r\ncam-8,,\r\n"
YAML = "- name: cam-7\n  tags: {site: lyon, line: '3'}\n- name: cam-8\n"


def faults(text: str, kind: Kind) -> list[tuple[int | None, str]]:
    """Return line and field of each fault of a list."""
    with pytest.raises(DeviceListError) as refused:
        read_list(text, kind)
    return [(each.line, each.field) for each in refused.value.errors]


@pytest.mark.parametrize(("text", "kind", "lines"), [(CSV, "csv", (2, 4)), (YAML, "yaml", (1, 3))])
def test_name_and_tags_of_each(text: str, kind: Kind, lines: tuple[int, int]) -> None:
    assert read_list(text, kind) == [
        Listed("cam-7", {"site": "lyon", "line": "3"}, lines[0]),
        Listed("cam-8", {}, lines[1]),
    ]


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("", "csv", [(None, "document")]),
        ("name,site\n", "csv", [(None, "document")]),
        ("cam-1\ncam-2\n", "csv", [(1, "columns")]),
        ("name;site\ncam-1;lyon\n", "csv", [(1, "columns")]),
        ("name,site,site\ncam-1,a,b\n", "csv", [(1, "columns")]),
        ("name,Site\ncam-1,a\n", "csv", [(1, "tags")]),
        ("name,site\ncam-1,a,b\ncam-2\n", "csv", [(2, "row"), (3, "row")]),
        ("name,site\nCam,a\ncam-2,#\n", "csv", [(2, "name"), (3, "tags.site")]),
        ('name,site\n"cam-1\n', "csv", [(2, "document")]),
        ("name\ncam-1\ncam-2\ncam-1\n", "csv", [(4, "name")]),
        ('name,site\n"cam\n1",a\nCAM,b\n', "csv", [(2, "name"), (4, "name")]),
        ("", "yaml", [(None, "document")]),
        ("- name: [\n", "yaml", [(2, "document")]),
        ("name: cam-1\n", "yaml", [(1, "document")]),
        ("- cam-1\n- name: 5\n", "yaml", [(1, "0"), (2, "1")]),
        ("- name: cam-1\n  tag: {a: b}\n", "yaml", [(2, "0.tag")]),
        ("- name: cam-1\n  tags: {line: 3}\n", "yaml", [(2, "0.tags")]),
        ("[{name: a}, {name: a}]\n", "yaml", [(1, "name")]),
        ("- &a {name: cam-1}\n- *a\n", "yaml", [(2, "document")]),
    ],
)
def test_each_fault_has_its_line(text: str, kind: Kind, found: list[tuple[int | None, str]]) -> None:
    assert faults(text, kind) == found


def test_a_list_is_bounded() -> None:
    many = [f"cam-{number}" for number in range(MOST_DEVICES + 1)]
    assert len(read_list("\n".join(["name", *many[1:]]), "csv")) == MOST_DEVICES
    assert faults("\n".join(["name", *many]), "csv") == [(None, "document")]
    assert faults("name\n" + " " * MAX_BYTES, "csv") == [(None, "document")]


def counts(database: Database) -> tuple[int, int]:
    """Return how many devices and invitations there are."""
    with database.reading() as session:
        found = [
            session.scalar(select(func.count()).select_from(kind)) or 0 for kind in (DeviceRow, InvitationRow)
        ]
    return found[0], found[1]


def test_all_are_invited_with_their_tags_and_each_leaves_an_entry(
    devices: Devices, database: Database
) -> None:
    made = devices.invite_all("shop", read_list(CSV, "csv"), HOUR, BY)
    assert [each.device for each in made] == ["cam-7", "cam-8"]
    assert devices.get("shop", "cam-7").tags == {"line": "3", "site": "lyon"}
    for each in made:
        assert devices.enrol(EnrolRequest(token=each.token, csr_pem=csr()), BY).device == each.device
    page = Audit(database, bytes(32)).page("shop", Filters(action="device.invite"), 10)
    assert [row.target for row in page] == ["cam-8", "cam-7"]
    assert not any(each.token in row.details for each in made for row in page)


def test_where_one_is_taken_none_is_invited(devices: Devices, database: Database) -> None:
    before = counts(database)
    listed = read_list("name\ncam-7\ncam-1\nmill-1\n", "csv")
    with pytest.raises(DeviceListError) as refused:
        devices.invite_all("shop", listed, HOUR, BY)
    assert [(each.line, each.reason) for each in refused.value.errors] == [
        (3, "cam-1: the device is enrolled already"),
        (4, "mill-1: the device id is taken"),
    ]
    assert counts(database) == before
    devices.invite_all("shop", listed[:1], HOUR, BY)
    assert counts(database) == (before[0] + 1, before[1] + 1), "the control"


def test_a_fault_within_the_transaction_leaves_nothing(
    devices: Devices, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real, calls = counts(database), Audit.record, 0

    def second_fails(*arguments: object, **named: object) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("the power went")
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Audit, "record", second_fails)
    with pytest.raises(RuntimeError):
        devices.invite_all("shop", read_list(CSV, "csv"), HOUR, BY)
    assert counts(database) == before


def test_a_list_may_be_sent_again_until_its_devices_have_enrolled(devices: Devices) -> None:
    listed = read_list(CSV, "csv")
    (first, _), (second, _) = (devices.invite_all("shop", listed, HOUR, BY) for _ in range(2))
    assert first.token != second.token
    devices.tag("shop", "cam-8", {f"t{number}": "x" for number in range(50)}, BY)
    with pytest.raises(DeviceListError) as refused:
        devices.invite_all("shop", [Listed("cam-8", {"one": "more"}, 1)], timedelta(hours=1), BY)
    assert refused.value.errors[0].field == "tags"
