"""Master keys: the same suite over every adapter, the file's guards, and rotation through kills."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.errors import HubRunningError
from cloud_hub.keys import open_master_keys, rotate_master_key
from cloud_hub.lock import hub_lock
from cloud_hub.pki.errors import KeyFileError, KeyFileExistsError
from cloud_hub.secrets.errors import SecretUnreadableError
from cloud_hub.secrets.key_file import FileMasterKeys
from cloud_hub.secrets.master_keys import MasterKeys, MemoryMasterKeys, Wrapped
from cloud_hub.secrets.rotation import rotate, uses
from cloud_hub.secrets.rows import SecretVersionRow
from cloud_hub.secrets.service import Secrets
from cloud_hub.secrets.text import SecretText
from tests.hub.databases import Place

DATA_KEY = b"k" * 32
ANA = Actor("ana")
VALUES = {f"s{n}": f"value-{n}" for n in range(5)}


@pytest.fixture(params=["memory", "file"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> MasterKeys:
    return (
        MemoryMasterKeys() if request.param == "memory" else FileMasterKeys.create(tmp_path / "master-keys")
    )


def test_what_is_wrapped_unwraps_only_in_its_place(keys: MasterKeys) -> None:
    wrapped = keys.wrap(DATA_KEY, b"here")
    assert keys.unwrap(wrapped, b"here") == DATA_KEY
    assert DATA_KEY not in wrapped.data
    for other, place in (
        (wrapped, b"there"),
        (Wrapped("0" * 16, wrapped.data), b"here"),
        (Wrapped(wrapped.key_id, b""), b"here"),
        (Wrapped(wrapped.key_id, wrapped.data[:-1]), b"here"),
    ):
        with pytest.raises(SecretUnreadableError):
            keys.unwrap(other, place)


def test_a_new_key_is_active_and_the_old_one_unwraps_until_it_is_retired(keys: MasterKeys) -> None:
    first, wrapped = keys.active, keys.wrap(DATA_KEY, b"")
    second = keys.add()
    assert (keys.active, keys.older) == (second, (first,))
    assert keys.wrap(DATA_KEY, b"").key_id == second
    assert keys.unwrap(wrapped, b"") == DATA_KEY
    with pytest.raises(SecretUnreadableError):
        keys.unwrap(Wrapped(second, wrapped.data), b"")
    with pytest.raises(ValueError, match="active"):
        keys.retire(second)
    keys.retire(first)
    assert keys.older == ()
    with pytest.raises(SecretUnreadableError, match="is not there"):
        keys.unwrap(wrapped, b"")


def test_what_is_derived_differs_by_purpose_and_outlives_rotations(keys: MasterKeys) -> None:
    audit = keys.derive("audit")
    assert len(audit) == 32
    assert keys.derive("other") != audit
    old = keys.active
    keys.add()
    keys.retire(old)
    assert keys.derive("audit") == audit


def test_no_key_is_in_a_repr(tmp_path: Path) -> None:
    keys = FileMasterKeys.create(tmp_path / "master-keys")
    material = json.loads((tmp_path / "master-keys").read_text())
    for shown in (repr(keys), repr(vars(keys))):
        assert material["root"] not in shown
        assert material["keys"][0]["key"] not in shown
        assert "b'" not in shown


def test_the_file_is_private_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "master-keys"
    made = FileMasterKeys.create(path)
    wrapped, _ = made.wrap(DATA_KEY, b""), made.add()
    read = FileMasterKeys.load(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert (read.active, read.older) == (made.active, made.older)
    assert read.unwrap(wrapped, b"") == DATA_KEY
    assert read.derive("audit") == made.derive("audit")


def test_a_file_is_never_written_over(tmp_path: Path) -> None:
    FileMasterKeys.create(tmp_path / "master-keys")
    with pytest.raises(KeyFileExistsError):
        FileMasterKeys.create(tmp_path / "master-keys")


KEY = '{"id":"a","key":"' + "A" * 43 + '="}'
ROOT = '"root":"' + "A" * 43 + '="'


@pytest.mark.parametrize(
    "words",
    ["", "{}", "[]", f'{{"version":1,{ROOT},"keys":[]}}', f'{{"version":2,{ROOT},"keys":[{KEY}]}}',
     f'{{"version":1,{ROOT},"keys":[{KEY},{KEY}]}}', f'{{"version":1,"root":"AA==","keys":[{KEY}]}}',
     f'{{"version":1,{ROOT},"keys":[{KEY}],"more":1}}', "\xff"],
    ids=["empty", "object", "list", "no key", "version", "twice", "short", "unknown", "bytes"],
)  # fmt: skip
def test_a_file_that_is_none_is_refused_without_repeating_it(tmp_path: Path, words: str) -> None:
    path = tmp_path / "master-keys"
    path.write_bytes(words.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="not a file of master keys") as caught:
        FileMasterKeys.load(path)
    assert caught.value.where == str(path)
    path.write_text(f'{{"version":1,{ROOT},"keys":[{KEY}]}}')
    assert FileMasterKeys.load(path).active == "a"  # the control: as it should be
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="open to other users"):
        FileMasterKeys.load(path)


# The keys of a hub


def test_a_hub_made_before_gets_keys_once(database: Database, tmp_path: Path) -> None:
    made = open_master_keys(tmp_path, database)
    assert open_master_keys(tmp_path, database).active == made.active


@pytest.mark.parametrize("use", ["secret", "log"])
def test_keys_that_something_depends_on_are_not_made_anew(
    database: Database, tmp_path: Path, use: str
) -> None:
    keys = open_master_keys(tmp_path, database)
    audit = Audit(database, keys.derive("audit"))
    if use == "secret":
        Secrets(database, keys, audit).write("shop", "db", SecretText("x"), ANA)
    else:
        with database.transaction() as session:
            audit.record(session, ANA, "a.b", "x")
    (tmp_path / "master-keys").unlink()
    with pytest.raises(KeyFileError, match="is missing"):
        open_master_keys(tmp_path, database)
    assert not (tmp_path / "master-keys").exists()


def test_a_rotation_waits_for_the_hub_to_stop(database: Database, tmp_path: Path) -> None:
    with hub_lock(tmp_path), pytest.raises(HubRunningError):
        rotate_master_key(tmp_path, tmp_path, database, lambda _: None)
    assert not (tmp_path / "master-keys").exists()
    assert len(rotate_master_key(tmp_path, tmp_path, database, lambda _: None).retired) == 1


def test_a_rotation_clears_away_what_a_kill_left_of_an_older_file(database: Database, tmp_path: Path) -> None:
    open_master_keys(tmp_path, database)
    left = tmp_path / ".master-keys.4711.tmp"
    left.write_bytes((tmp_path / "master-keys").read_bytes())
    old = FileMasterKeys.load(tmp_path / "master-keys").active
    assert rotate_master_key(tmp_path, tmp_path, database, lambda _: None).retired == [old]
    assert not [path for path in tmp_path.rglob("*master-keys*") if old in path.read_text()]


# Rotation


class KillingMasterKeys(FileMasterKeys):
    """Master keys of a process that dies (SIGKILL) before or after its n-th call."""

    calls_left = 0
    after = False

    def _call(self, act: Callable[[], object]) -> object:
        self.calls_left -= 1
        if self.calls_left == 0 and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        done = act()
        if self.calls_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    def wrap(self, data_key: bytes, bound_to: bytes) -> Wrapped:
        return self._call(lambda: super(KillingMasterKeys, self).wrap(data_key, bound_to))  # type: ignore[return-value]

    def add(self) -> str:
        return str(self._call(super().add))

    def retire(self, key_id: str) -> None:
        self._call(lambda: super(KillingMasterKeys, self).retire(key_id))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    FileMasterKeys.create(tmp_path / "master-keys")
    return tmp_path / "master-keys"


def vault(database: Database, path: Path) -> Secrets:
    keys = FileMasterKeys.load(path)
    return Secrets(database, keys, Audit(database, keys.derive("audit")))


def fill(database: Database, path: Path) -> None:
    for name, value in VALUES.items():
        vault(database, path).write("shop", name, SecretText(value), ANA)


def readable(database: Database, path: Path) -> dict[str, str]:
    """Return what opens with the keys that are in the file: the judge of every rotation."""
    secrets, found = vault(database, path), {}
    for name in VALUES:
        try:
            found[name] = secrets.read("shop", name).reveal()
        except SecretUnreadableError:
            found[name] = "LOST"
    return found


def key_ids(database: Database) -> set[str | None]:
    with database.transaction() as session:
        return set(session.scalars(select(SecretVersionRow.key_id)).all())


def test_after_a_rotation_no_row_is_on_the_old_key_and_the_key_is_gone(
    database: Database, path: Path
) -> None:
    fill(database, path)
    vault(database, path).destroy("shop", "s4", None, ANA)
    vault(database, path).write("shop", "s4", SecretText(VALUES["s4"]), ANA)
    old, before = FileMasterKeys.load(path).active, path.read_bytes()
    done = rotate(database, FileMasterKeys.load(path), batch_rows=2)
    assert (done.retired, done.rewrapped) == ([old], len(VALUES))
    assert uses(database, old) == 0
    assert key_ids(database) == {done.active, None}
    assert json.loads(path.read_bytes())["keys"][0]["key"] not in before.decode()
    assert json.loads(before)["keys"][0]["key"] not in path.read_text()
    assert readable(database, path) == VALUES


def rotate_and_die(url: str | Path, path: Path, call: int, after: bool) -> None:
    keys = KillingMasterKeys.load(path)
    keys.calls_left, keys.after = call, after
    rotate(Database(url), keys, batch_rows=2)


def test_killed_at_any_call_it_goes_on_and_loses_nothing(
    database: Database, place: Place, path: Path
) -> None:
    fill(database, path)
    kills = 0
    for after in (False, True):
        for call in range(1, 2 + len(VALUES) + 1):  # add, each wrap, retire
            first = FileMasterKeys.load(path).active
            context = multiprocessing.get_context("fork")
            process = context.Process(target=rotate_and_die, args=(place.where, path, call, after))
            process.start()
            process.join()
            kills += process.exitcode == -signal.SIGKILL
            assert readable(database, path) == VALUES
            done = rotate(database, FileMasterKeys.load(path), batch_rows=2)
            assert key_ids(database) == {done.active}
            assert uses(database, first) == 0
            assert [done.active] == [key["id"] for key in json.loads(path.read_text())["keys"]]
            assert readable(database, path) == VALUES
    assert kills == 2 * (2 + len(VALUES))


def test_a_rotation_in_the_wrong_order_is_caught_by_the_same_judge(database: Database, path: Path) -> None:
    fill(database, path)
    keys = FileMasterKeys.load(path)
    old = keys.active
    keys.add()
    keys.retire(old)  # before the rows are wrapped anew
    assert set(readable(database, path).values()) == {"LOST"}


def test_a_row_that_does_not_open_keeps_the_old_key(database: Database, path: Path) -> None:
    fill(database, path)
    with database.transaction() as session:
        session.get_one(SecretVersionRow, ("shop", "s3", 1)).wrapped_key = b"x" * 60
    old = FileMasterKeys.load(path).active
    with pytest.raises(SecretUnreadableError) as caught:
        rotate(database, FileMasterKeys.load(path), batch_rows=1)
    assert caught.value.where == "shop/s3:1"
    assert FileMasterKeys.load(path).older == (old,)
    assert readable(database, path) == VALUES | {"s3": "LOST"}
    vault(database, path).destroy("shop", "s3", None, ANA)
    assert rotate(database, FileMasterKeys.load(path)).retired == [old]
