"""The audit log: every way to change it with the database alone is found, and at the right row."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.chain import Fault
from cloud_hub.audit.errors import AuditBrokenError
from cloud_hub.audit.service import MAX_FAULTS, PAGE_ROWS, Audit, Filters
from cloud_hub.db.engine import Database
from cloud_hub.secrets.master_keys import MemoryMasterKeys
from cloud_hub.workspaces.rows import WorkspaceRow

ANA = Actor("ana", "192.0.2.7", "r-1")
COLUMNS = ("at", "principal", "action", "target", "address", "request_id", "details", "mac")
COPY = (
    f"INSERT INTO audit_entries SELECT workspace, :to, {', '.join(COLUMNS)} FROM audit_entries"
    " WHERE workspace = 'shop' AND sequence = :of"
)


@pytest.fixture
def audit(database: Database) -> Audit:
    return Audit(database, MemoryMasterKeys().derive("audit"))


def record(
    audit: Audit, database: Database, count: int = 1, *, workspace: str = "shop", by: Actor = ANA
) -> None:
    for _ in range(count):
        with database.transaction() as session:
            audit.record(
                session, by, "model.register", "digits:1", workspace=workspace, details={"size": "7"}
            )


def change(database: Database, *statements: str, **values: Any) -> None:
    """Do what somebody with only the database could."""
    with database.transaction() as session:
        for statement in statements:
            session.execute(text(statement), values)


def rows(database: Database) -> list[Any]:
    with database.transaction() as session:
        return [tuple(row) for row in session.execute(text("SELECT * FROM audit_entries ORDER BY 1, 2"))]


def head_of(database: Database) -> dict[str, Any]:
    with database.transaction() as session:
        return dict(
            session.execute(text("SELECT * FROM audit_heads WHERE workspace = 'shop'")).mappings().one()
        )


only_sqlite = pytest.mark.parametrize("kind", ["sqlite"])
"""Other databases refuse such values."""

SET_HEAD = "UPDATE audit_heads SET count = :count, last = :last, mac = :mac WHERE workspace = 'shop'"


def test_an_untouched_chain_holds(audit: Audit, database: Database) -> None:
    assert audit.verify("shop") == []
    record(audit, database, 10)
    record(audit, database, 3, workspace="lab")
    record(audit, database, 2, workspace="")
    assert [audit.verify(chain) for chain in ("shop", "lab", "")] == [[], [], []]
    assert [audit.head(chain).count for chain in ("shop", "lab", "", "none")] == [10, 3, 2, 0]


def test_a_chain_longer_than_a_page_holds_and_its_fault_is_found(audit: Audit, database: Database) -> None:
    with database.transaction() as session:
        for _ in range(PAGE_ROWS + 3):
            audit.record(session, ANA, "model.register", "digits:1", workspace="shop")
    assert audit.verify("shop") == []
    change(database, "UPDATE audit_entries SET target = 'x' WHERE sequence = :n", n=PAGE_ROWS + 1)
    assert [fault.sequence for fault in audit.verify("shop")] == [PAGE_ROWS + 1]


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("sequence", [1, 3, 5])
def test_a_changed_column_is_found_at_its_row(
    audit: Audit, database: Database, column: str, sequence: int
) -> None:
    record(audit, database, 5)
    change(
        database,
        f"UPDATE audit_entries SET {column} = 'x' || {column} WHERE sequence = :n AND workspace = 'shop'",
        n=sequence,
    )
    assert audit.verify("shop")[0].sequence == sequence


def test_the_workspace_of_a_row_is_bound_too(audit: Audit, database: Database) -> None:
    record(audit, database, 5)
    change(database, "UPDATE audit_entries SET workspace = 'lab' WHERE sequence = 3")
    assert audit.verify("shop")[0] == Fault(3, "the row is missing")
    assert audit.verify("lab")


def delete(first: int, last: int) -> Callable[[Database], None]:
    return lambda database: change(
        database, "DELETE FROM audit_entries WHERE sequence BETWEEN :a AND :b", a=first, b=last
    )


def swap(database: Database) -> None:
    move = "UPDATE audit_entries SET sequence = :to WHERE sequence = :of"
    for of, to in ((2, 99), (4, 2), (99, 4)):
        change(database, move, of=of, to=to)


def cut_and_name_the_new_end(database: Database) -> None:
    """Delete the tail, and make the head say what is left: its MAC cannot be made."""
    delete(4, 5)(database)
    last = rows(database)[-1][-1]
    change(database, SET_HEAD, **(head_of(database) | {"count": 3, "last": last}))


@pytest.mark.parametrize(
    ("attack", "sequence"),
    [
        (delete(3, 3), 3),
        (delete(1, 1), 1),
        (delete(5, 5), 5),
        (delete(4, 5), 4),
        (delete(1, 5), 1),
        (swap, 2),
        (lambda database: change(database, COPY, of=2, to=6), 6),
        (cut_and_name_the_new_end, 0),
        (lambda database: change(database, "DELETE FROM audit_heads"), 0),
        (lambda database: change(database, "UPDATE audit_heads SET mac = 'x'"), 0),
    ],
    ids=["middle", "first", "last", "tail", "all", "swap", "forged", "cut with head", "no head", "head"],
)
def test_rows_deleted_moved_or_forged_are_found(
    audit: Audit, database: Database, attack: Callable[[Database], None], sequence: int
) -> None:
    record(audit, database, 5)
    attack(database)
    assert audit.verify("shop")[0].sequence == sequence


def test_an_old_copy_of_the_head_is_found(audit: Audit, database: Database) -> None:
    record(audit, database, 3)
    old = head_of(database)
    record(audit, database, 2)
    change(database, SET_HEAD, **old)
    assert audit.verify("shop") == [
        Fault(4, "rows stand behind the end of the chain, or its head is an old one")
    ]


def roll_back(database: Database, count: int, old: dict[str, Any]) -> None:
    """Put the database back to what it was: the one thing that it cannot show by itself."""
    delete(count + 1, 10**6)(database)
    change(database, SET_HEAD, **old)


def test_a_database_put_back_is_found_by_what_was_noted_elsewhere(audit: Audit, database: Database) -> None:
    record(audit, database, 3)
    old = head_of(database)
    record(audit, database, 2)
    noted = audit.head("shop")
    assert audit.verify("shop", noted) == []
    roll_back(database, 3, old)
    assert audit.verify("shop") == []
    assert [fault.sequence for fault in audit.verify("shop", noted)] == [5]
    record(audit, database, 4)
    assert [fault.sequence for fault in audit.verify("shop", noted)] == [5]


def test_a_row_of_another_key_is_a_forgery(audit: Audit, database: Database) -> None:
    record(audit, database, 2)
    other = Audit(database, MemoryMasterKeys().derive("audit"))
    assert other.verify("shop")[0].sequence == 1
    with pytest.raises(AuditBrokenError):
        record(other, database)
    record(other, database, MAX_FAULTS + 9, workspace="lab")
    assert len(audit.verify("lab")) == MAX_FAULTS


@pytest.mark.parametrize("attack", [delete(5, 5), cut_and_name_the_new_end, delete(1, 5)])
def test_nothing_is_written_behind_a_chain_that_was_cut(
    audit: Audit, database: Database, attack: Callable[[Database], None]
) -> None:
    record(audit, database, 5)
    attack(database)
    with pytest.raises(AuditBrokenError):
        record(audit, database)
    assert audit.verify("shop")


@only_sqlite
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET target = CAST(X'FF' AS TEXT) WHERE sequence = 2",
        "UPDATE audit_entries SET target = X'6469676974733A31' WHERE sequence = 2",
        "UPDATE audit_entries SET at = 7 WHERE sequence = 2",
        "UPDATE audit_entries SET sequence = 1.5 WHERE sequence = 2",
        "UPDATE audit_entries SET sequence = 'two' WHERE sequence = 2",
        "UPDATE audit_entries SET sequence = -2 WHERE sequence = 2",
        "UPDATE audit_entries SET mac = X'FF' WHERE sequence = 2",
    ],
)
def test_what_sqlite_keeps_in_spite_of_its_types_is_found(
    audit: Audit, database: Database, statement: str
) -> None:
    record(audit, database, 4)
    change(database, statement)
    assert audit.verify("shop")[0].sequence == 2


@only_sqlite
def test_a_head_that_is_no_text_is_found(audit: Audit, database: Database) -> None:
    record(audit, database, 2)
    for value in ("CAST(X'FF' AS TEXT)", "X'00'", "5"):
        change(database, f"UPDATE audit_heads SET last = {value}")
        assert audit.verify("shop")[0].sequence == 0


def test_an_entry_is_there_if_and_only_if_its_change_is(audit: Audit, database: Database) -> None:
    record(audit, database)

    def cut_off() -> None:
        with database.transaction() as session:
            session.add(WorkspaceRow(name="gone", created_at=datetime.now(UTC)))
            audit.record(session, ANA, "workspace.create", "gone", workspace="shop")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        cut_off()
    with database.transaction() as session:
        assert session.get(WorkspaceRow, "gone") is None
    record(audit, database)
    assert (audit.head("shop").count, audit.verify("shop")) == (2, [])


def test_twenty_threads_leave_no_gap(audit: Audit, database: Database) -> None:
    with ThreadPoolExecutor(20) as pool:
        for done in [pool.submit(record, audit, database, 10) for _ in range(20)]:
            done.result()
    assert [row[1] for row in rows(database)] == list(range(1, 201))
    assert (audit.head("shop").count, audit.verify("shop")) == (200, [])


def test_a_check_while_others_write_finds_no_fault(audit: Audit, database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(record, audit, database, 40) for _ in range(4)]
        checks = [audit.verify("shop")]
        while not all(writer.done() for writer in writers):
            checks.append(audit.verify("shop"))
    for writer in writers:
        writer.result()
    assert [faults for faults in checks if faults] == []
    assert audit.head("shop").count == 160


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_edit_of_any_column_is_found_at_its_row(
    audit: Audit, database: Database, data: st.DataObject
) -> None:
    texts = st.text(max_size=1200)
    change(database, "DELETE FROM audit_entries", "DELETE FROM audit_heads")
    count = data.draw(st.integers(1, 6))
    for _ in range(count):
        by = Actor(*[data.draw(texts) for _ in range(3)])
        with database.transaction() as session:
            details = data.draw(st.dictionaries(texts, texts, max_size=2))
            audit.record(session, by, "a.b", data.draw(texts), workspace="shop", details=details)
    assert audit.verify("shop") == []
    sequence, column = data.draw(st.integers(1, count)), data.draw(st.sampled_from(COLUMNS))
    was = rows(database)[sequence - 1][2 + COLUMNS.index(column)]
    value = data.draw(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).filter(lambda v: v != was)
    )
    change(
        database,
        f"UPDATE audit_entries SET {column} = :value WHERE sequence = :n",
        value=value,
        n=sequence,
    )
    assert audit.verify("shop")[0].sequence == sequence


def test_a_page_is_newest_first_and_filtered(audit: Audit, database: Database) -> None:
    start = datetime.now(UTC)
    record(audit, database, 3)
    record(audit, database, 2, by=Actor("bo"))
    record(audit, database, workspace="lab")

    def found(limit: int = 10, **filters: Any) -> list[int]:
        return [row.sequence for row in audit.page("shop", Filters(**filters), limit)]

    assert found() == [5, 4, 3, 2, 1]
    assert found(limit=2) == [5, 4]
    assert found(limit=2, before_seq=4) == [3, 2]
    assert found(principal="bo") == [5, 4]
    assert found(action="model.register") == [5, 4, 3, 2, 1]
    assert found(action="model.delete") == []
    assert found(since=start) == [5, 4, 3, 2, 1]
    assert found(until=start) == []
    assert found(since=start + timedelta(hours=1)) == []


def test_what_is_no_action_is_refused(audit: Audit, database: Database) -> None:
    for action in ("", "model", "Model.register", "model.", "a b.c"):
        with database.transaction() as session, pytest.raises(ValueError, match="written like"):
            audit.record(session, ANA, action, "x")
