"""The vault: versions, destruction, and rows that somebody moved or changed in the database."""

import copy
import json
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit, Filters
from cloud_hub.db.engine import Database
from cloud_hub.errors import InvalidInputError, NotFoundError, TooLargeError
from cloud_hub.secrets.envelope import Place, Sealed, rewrap, seal, unseal
from cloud_hub.secrets.errors import SecretDestroyedError, SecretUnreadableError
from cloud_hub.secrets.master_keys import MemoryMasterKeys, Wrapped
from cloud_hub.secrets.rows import SecretVersionRow
from cloud_hub.secrets.service import MAX_VALUE_BYTES, Secrets
from cloud_hub.secrets.text import SecretText
from contract.ids import InvalidNameError

ANA = Actor("ana", "192.0.2.7", "r-1")


@pytest.fixture
def keys() -> MemoryMasterKeys:
    return MemoryMasterKeys()


@pytest.fixture
def audit(database: Database, keys: MemoryMasterKeys) -> Audit:
    return Audit(database, keys.derive("audit"))


@pytest.fixture
def secrets(database: Database, keys: MemoryMasterKeys, audit: Audit) -> Secrets:
    return Secrets(database, keys, audit)


def write(secrets: Secrets, value: str, name: str = "db", workspace: str = "shop") -> int:
    return secrets.write(workspace, name, SecretText(value), ANA).version


def test_a_new_value_is_the_next_version_and_the_old_one_stays(secrets: Secrets) -> None:
    assert [write(secrets, value) for value in ("one", "two", "three")] == [1, 2, 3]
    assert secrets.read("shop", "db").reveal() == "three"
    assert secrets.read("shop", "db", 1).reveal() == "one"
    assert [info.name for info in secrets.all_in("shop")] == ["db"]
    assert [v.version for v in secrets.get("shop", "db").versions] == [1, 2, 3]


def test_what_is_not_there_or_another_s_is_not_found(secrets: Secrets) -> None:
    write(secrets, "one")
    for workspace, name, version in (("shop", "none", None), ("shop", "db", 2), ("lab", "db", None)):
        with pytest.raises(NotFoundError):
            secrets.read(workspace, name, version)
    with pytest.raises(NotFoundError):
        write(secrets, "x", workspace="nowhere")
    assert secrets.all_in("lab") == []


def test_a_destroyed_version_is_gone_and_its_number_is_not_given_again(secrets: Secrets) -> None:
    write(secrets, "one")
    write(secrets, "two")
    assert secrets.destroy("shop", "db", 2, ANA) == [2]
    with pytest.raises(SecretDestroyedError):
        secrets.read("shop", "db", 2)
    with pytest.raises(SecretDestroyedError):
        secrets.read("shop", "db")  # never the older one in its place
    assert secrets.read("shop", "db", 1).reveal() == "one"
    with pytest.raises(NotFoundError):
        secrets.destroy("shop", "db", 2, ANA)
    assert write(secrets, "three") == 3
    assert [v.destroyed_by for v in secrets.get("shop", "db").versions] == [None, "ana", None]


def test_a_deleted_secret_is_gone_and_comes_back_with_the_next_number(
    secrets: Secrets, database: Database
) -> None:
    write(secrets, "one")
    write(secrets, "two")
    assert secrets.destroy("shop", "db", None, ANA) == [1, 2]
    assert secrets.all_in("shop") == []
    for act in (lambda: secrets.read("shop", "db", 1), lambda: secrets.destroy("shop", "db", None, ANA)):
        with pytest.raises(NotFoundError):
            act()
    with database.transaction() as session:
        assert {row.sealed for row in session.scalars(select(SecretVersionRow))} == {None}
    assert write(secrets, "three") == 3


def test_values_and_names_are_bounded(secrets: Secrets) -> None:
    largest = "é" * (MAX_VALUE_BYTES // 2)
    write(secrets, largest)
    assert secrets.read("shop", "db").reveal() == largest
    with pytest.raises(TooLargeError):
        write(secrets, largest + "x")
    for value in ("", "\ud800"):
        with pytest.raises(InvalidInputError):
            write(secrets, value)
    for name in ("", "A", "a_b", "-a", "a" * 64, "a/b", "a:1"):
        with pytest.raises(InvalidNameError):
            write(secrets, "x", name=name)


def test_reads_and_changes_are_in_the_audit_log_without_the_value(secrets: Secrets, audit: Audit) -> None:
    write(secrets, "canary-1")
    secrets.read("shop", "db", by=ANA)
    secrets.read("shop", "db")
    write(secrets, "canary-2")
    secrets.destroy("shop", "db", 1, ANA)
    secrets.destroy("shop", "db", None, ANA)
    entries = list(reversed(audit.page("shop", Filters(), 10)))
    assert [(row.action, row.target, row.principal) for row in entries] == [
        ("secret.set", "db:1", "ana"),
        ("secret.read", "db:1", "ana"),
        ("secret.set", "db:2", "ana"),
        ("secret.destroy", "db:1", "ana"),
        ("secret.delete", "db", "ana"),
    ]
    assert audit.verify("shop") == []


def test_a_change_that_the_log_cannot_take_is_not_made(
    secrets: Secrets, audit: Audit, database: Database
) -> None:
    write(secrets, "one")
    with database.transaction() as session:
        session.execute(text("UPDATE audit_heads SET count = 5"))
    for act in (lambda: write(secrets, "two"), lambda: secrets.read("shop", "db", by=ANA)):
        with pytest.raises(Exception, match="does not end where it should"):
            act()
    assert secrets.read("shop", "db").reveal() == "one"


def test_writers_at_once_get_versions_of_their_own(secrets: Secrets) -> None:
    with ThreadPoolExecutor(10) as pool:
        versions = list(pool.map(lambda n: write(secrets, f"value-{n}"), range(30)))
    assert sorted(versions) == list(range(1, 31))
    assert {secrets.read("shop", "db", v).reveal() for v in versions} == {f"value-{n}" for n in range(30)}


COPIED = ("key_id", "wrapped_key", "sealed")


@pytest.mark.parametrize("columns", [COPIED, ("sealed",), ("wrapped_key", "key_id")])
@pytest.mark.parametrize("target", [("shop", "other", 1), ("lab", "db", 1), ("shop", "db", 2)])
def test_a_row_in_another_s_place_does_not_open(
    secrets: Secrets, database: Database, columns: tuple[str, ...], target: tuple[str, str, int]
) -> None:
    for workspace, name in (("shop", "db"), ("shop", "db"), ("shop", "other"), ("lab", "db")):
        write(secrets, f"value of {workspace}/{name}", name=name, workspace=workspace)
    with database.transaction() as session:
        source = session.get_one(SecretVersionRow, ("shop", "db", 1))
        place = session.get_one(SecretVersionRow, target)
        for column in columns:
            setattr(place, column, getattr(source, column))
    with pytest.raises(SecretUnreadableError) as caught:
        secrets.read(*target)
    assert caught.value.where == f"{target[0]}/{target[1]}:{target[2]}"
    assert secrets.read("shop", "db", 1).reveal() == "value of shop/db"


def test_a_row_in_its_own_place_opens(secrets: Secrets, database: Database) -> None:
    """The control of the test above: the same copying, onto itself, is no fault."""
    write(secrets, "one")
    with database.transaction() as session:
        row = session.get_one(SecretVersionRow, ("shop", "db", 1))
        before = {column: getattr(row, column) for column in COPIED}
        row.key_id = row.wrapped_key = row.sealed = None
    with database.transaction() as session:
        row = session.get_one(SecretVersionRow, ("shop", "db", 1))
        for column, value in before.items():
            setattr(row, column, value)
    assert secrets.read("shop", "db").reveal() == "one"


@given(value=st.text(min_size=1), position=st.integers(0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found(value: str, position: int, bit: int) -> None:
    keys, place = MemoryMasterKeys(), Place("shop", "db", 1)
    sealed = seal(keys, place, SecretText(value))
    assert unseal(keys, place, sealed).reveal() == value

    def flipped(data: bytes) -> bytes:
        at = position % len(data)
        return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]

    for broken in (
        Sealed(sealed.key, flipped(sealed.value)),
        Sealed(Wrapped(sealed.key.key_id, flipped(sealed.key.data)), sealed.value),
    ):
        with pytest.raises(SecretUnreadableError):
            unseal(keys, place, broken)


def test_the_same_value_twice_looks_different() -> None:
    keys, place = MemoryMasterKeys(), Place("shop", "db", 1)
    first, second = (seal(keys, place, SecretText("same")) for _ in range(2))
    assert first.value != second.value
    assert first.key.data != second.key.data
    assert rewrap(keys, place, first.key).data != first.key.data


@dataclass(frozen=True)
class Holder:
    name: str
    value: SecretText


class Body(msgspec.Struct):
    value: SecretText


CANARY = "canary-5f1e"


def test_the_value_object_never_shows_its_value(caplog: pytest.LogCaptureFixture) -> None:
    value = SecretText(CANARY)
    holder = Holder("db", value)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger().info("%s %r %s", value, value, holder)
    shown = [
        str(value), repr(value), f"{value}", f"{value:>40}", f"{value!a}", "".join(map(str, [value])),
        repr([value]), repr({"v": value}), repr(holder), str(asdict(holder)), repr(copy.deepcopy(value)),
        json.dumps({"v": value}, default=str), caplog.text, repr(ValueError(value)), repr(Body(value)),
    ]  # fmt: skip
    assert "SecretText(hidden)" in caplog.text
    assert not [each for each in shown if CANARY in each]
    for dump in (json.dumps, pickle.dumps, msgspec.json.encode, msgspec.to_builtins):
        with pytest.raises(TypeError) as caught:
            dump(holder if dump is not json.dumps else {"v": value})
        assert CANARY not in str(caught.value)
    assert not hasattr(value, "__dict__")
    assert value.reveal() == CANARY


def test_the_judge_of_the_value_object_sees_what_a_plain_text_shows() -> None:
    assert CANARY in repr({"v": CANARY})


def test_values_are_compared_by_their_text() -> None:
    assert SecretText("a") == SecretText("a")
    assert len({SecretText("a"), SecretText("a"), SecretText("b")}) == 2
    assert SecretText("a") != "a"
