"""A real hub at log level debug: secrets go in, come out, are rotated, and are found nowhere else.

The judge greps every file of the data folder (the database with its WAL, while the hub runs), what the hub
logged, every error body, and every answer that has no right to a value.
"""

import base64
import json
import os
import shutil
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from cloud_hub.sdk import Context, Hub, HubRefusedError
from simulators.demo.stage import Daemon, free_port


def canary() -> str:
    """Return a value that stands nowhere by chance."""
    return f"canary-{uuid.uuid4().hex}"


@dataclass
class Vault:
    """A hub with workspace shop, and all that was said where no value may be."""

    folder: Path
    daemon: Daemon
    said: list[str] = field(default_factory=list)

    @property
    def data_dir(self) -> Path:
        return self.folder / "hub"

    @property
    def context(self) -> Context:
        return Context(**json.loads((self.folder / "context.json").read_text()))

    def headland(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the CLI as a person would."""
        program = str(Path(sys.executable).parent / "headland")
        environment = os.environ | {"HEADLAND_CONTEXT": str(self.folder / "context.json")}
        return subprocess.run(
            [program, *arguments],
            input=given or "",
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )

    def quiet(self, *arguments: str, given: str | None = None, code: int = 0) -> str:
        """Run a command that has no right to show a value; return what it said."""
        done = self.headland(*arguments, given=given)
        assert done.returncode == code, done.stdout + done.stderr
        self.said.append(done.stdout + done.stderr)
        return done.stdout + done.stderr

    def http(self, method: str, path: str, **options: object) -> httpx.Response:
        """Send a request of our own making, and keep the answer's body."""
        context = self.context
        tls = ssl.create_default_context(cadata=context.ca_pem)
        headers = {"Authorization": f"Bearer {context.token}"}
        with httpx.Client(base_url=f"{context.hub}/api/v1", verify=tls, headers=headers) as client:
            response = client.request(method, path, **options)  # type: ignore[arg-type]
        self.said.append(response.text)
        return response

    def as_role(self, role: str) -> Hub:
        """Connect as somebody with a role in shop."""
        with Hub(self.context) as hub:
            members, name = hub.workspace("shop").members, f"a-{role.lower()}"
            if f"{name}@shop" not in {member.principal for member in members.all()}:
                members.create_service(name, role)
            token = members.create_service_token(name).token
        return Hub(Context(hub=self.context.hub, ca_pem=self.context.ca_pem, token=token, workspace="shop"))

    def leaks(self, value: str) -> list[str]:
        """Return where a value is found, as it is or encoded."""
        forms = {value.encode(), value.encode().hex().encode(), base64.b64encode(value.encode())}
        places = {str(path): path.read_bytes() for path in self.data_dir.rglob("*") if path.is_file()}
        places |= {str(path): path.read_bytes() for path in self.folder.glob("*.log")}
        places |= {f"said {number}": text.encode() for number, text in enumerate(self.said)}
        return [name for name, data in places.items() if any(form in data for form in forms)]


@pytest.fixture(scope="module")
def vault() -> Iterator[Vault]:
    folder = Path(tempfile.mkdtemp(prefix="hl-vault-"))
    made = Vault(folder, Daemon("hub", folder, ("headland", "hub", "up", "--data-dir", str(folder / "hub"))))
    ports = [f"--https-port={free_port()}", f"--mqtt-port={free_port()}"]
    made.quiet("hub", "init", "--data-dir", str(made.data_dir), *ports)
    settings = made.data_dir / "hub.toml"
    settings.write_text(settings.read_text().replace('log_level = "info"', 'log_level = "debug"'))
    made.daemon.start("hub ready")
    try:
        made.quiet("workspace", "create", "shop")
        yield made
    finally:
        made.daemon.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_no_value_is_anywhere_but_in_the_answers_to_who_may_read_it(vault: Vault) -> None:
    stdin, file, sdk, destroyed, refused = (canary() for _ in range(5))
    path = vault.folder / "value.txt"
    path.write_text(file)
    vault.quiet("secret", "set", "one", given=stdin + "\n")
    vault.quiet("secret", "set", "two", "--from-file", str(path))
    path.unlink()
    with Hub(vault.context) as hub:
        workspace = hub.workspace("shop")
        assert workspace.set_secret("two", sdk).version == 2
        workspace.set_secret("gone", destroyed)
        assert [workspace.get_secret(name) for name in ("one", "two:1", "two")] == [stdin, file, sdk]
        assert workspace.delete_secret("gone") == [1]
    # Every way to be refused with a value in hand.
    place = "/workspaces/shop/secrets"
    big = refused * 4000
    statuses = [
        vault.http("PUT", f"{place}/one", json={"value": big}).status_code,
        vault.http("PUT", f"{place}/one", json={"value": refused, "more": refused}).status_code,
        vault.http("PUT", f"{place}/one", json={"value": [refused]}).status_code,
        vault.http("PUT", f"{place}/one", content=f'{{"value": "{refused}').status_code,
        vault.http("PUT", f"{place}/one", content=refused).status_code,
        vault.http("PUT", f"{place}/ONE", json={"value": refused}).status_code,
        vault.http("PUT", "/workspaces/none/secrets/one", json={"value": refused}).status_code,
        vault.http("PUT", f"{place}/one", content='{"value": "' + refused + '\\ud800"}').status_code,
    ]
    assert statuses == [413, 422, 422, 422, 422, 422, 404, 422]
    for arguments in (
        ("secret", "list"),
        ("secret", "list", "-o", "json"),
        ("audit", "list"),
        ("audit", "verify"),
    ):
        vault.quiet(*arguments)
    vault.quiet("secret", "set", "three", given=big, code=1)
    values = (stdin, file, sdk, destroyed, refused)
    assert (vault.data_dir / "hub.db-wal").stat().st_size > 0
    assert {value: vault.leaks(value) for value in values} == {value: [] for value in values}

    assert "[hub-already-running]" in vault.quiet(
        "hub", "rotate-master-key", "--data-dir", str(vault.data_dir), code=1
    )
    vault.daemon.stop()
    before = (vault.data_dir / "pki" / "master-keys").read_text()
    said = vault.quiet("hub", "rotate-master-key", "--data-dir", str(vault.data_dir), "-o", "json")
    old = json.loads(before)["keys"][0]["id"]
    assert json.loads(said)["retired"] == [old]
    with sqlite3.connect(vault.data_dir / "hub.db") as database:
        assert database.execute(
            "SELECT count(*) FROM secret_versions WHERE key_id = ?", (old,)
        ).fetchone() == (0,)
    database.close()
    assert {value: vault.leaks(value) for value in values} == {value: [] for value in values}
    vault.daemon.start("hub ready")
    assert vault.headland("secret", "get", "one").stdout == stdin
    assert json.loads(vault.headland("secret", "get", "two:1", "-o", "json").stdout)["value"] == file
    assert {value: vault.leaks(value) for value in values} == {value: [] for value in values}


def test_the_judge_catches_a_plain_store_a_log_and_an_answer(vault: Vault) -> None:
    for number, value in enumerate(canary() for _ in range(4)):
        if number == 0:
            # As a store without sealing would: into the database, which the hub keeps open in WAL mode.
            with sqlite3.connect(vault.data_dir / "hub.db") as database:
                database.execute("INSERT INTO workspaces VALUES (?, '2026-01-01')", (value,))
                database.commit()
                assert any("hub.db" in place for place in vault.leaks(value))
                database.execute("DELETE FROM workspaces WHERE name = ?", (value,))
                database.commit()
            database.close()
        elif number == 1:
            (vault.folder / "planted.log").write_text(f"DEBUG value={value}")
            assert len(vault.leaks(value)) == 1
        elif number == 2:
            vault.said.append(f"error: {value}")
            assert len(vault.leaks(value)) == 1
        else:
            (vault.data_dir / "planted").write_bytes(base64.b64encode(value.encode()))
            assert len(vault.leaks(value)) == 1


def test_who_may_do_what(vault: Vault) -> None:
    with Hub(vault.context) as hub:
        hub.workspace("shop").set_secret("roles", "x")
        hub.workspace("shop").set_secret("roles", "y")
    allowed = {}
    acts: dict[str, Callable[[Hub], object]] = {
        "list": lambda hub: hub.workspace().secrets(),
        "read": lambda hub: hub.workspace().get_secret("roles"),
        "write": lambda hub: hub.workspace().set_secret("written", "z"),
        "destroy": lambda hub: hub.workspace().delete_secret("roles:1"),
        "log": lambda hub: hub.workspace().audit.entries(),
        "verify": lambda hub: hub.workspace().audit.verify(),
        "hub log": lambda hub: hub.audit.entries(),
        "hub verify": lambda hub: hub.audit.verify(),
    }
    for role in ("Reader", "Contributor", "Owner"):
        with vault.as_role(role) as hub:
            outcomes = {name: outcome(hub, act) for name, act in acts.items()}
            assert set(outcomes.values()) <= {"", "forbidden"}
            allowed[role] = [name for name, code in outcomes.items() if not code]
    assert allowed == {
        "Reader": ["list"],
        "Contributor": ["list", "read", "write"],
        "Owner": ["list", "read", "write", "destroy", "log", "verify"],
    }
    with Hub(vault.context) as hub:
        assert hub.audit.verify().faults == []
        assert isinstance(hub.audit.entries(), list)


def outcome(hub: Hub, act: Callable[[Hub], object]) -> str:
    """Return the code that an act is refused with, or ""."""
    try:
        act(hub)
    except HubRefusedError as error:
        return error.code
    return ""


def test_a_read_is_logged_with_who_and_from_where(vault: Vault) -> None:
    with vault.as_role("Contributor") as hub:
        hub.workspace().set_secret("seen", "x")
        hub.workspace().get_secret("seen:1")
    with Hub(vault.context) as hub:
        newest, before = hub.workspace("shop").audit.entries(principal="a-contributor@shop", limit=2)
    assert (newest.action, newest.target, newest.address) == ("secret.read", "seen:1", "127.0.0.1")
    assert (before.action, before.target) == ("secret.set", "seen:1")
    assert newest.request_id != before.request_id
    listed = vault.quiet(
        "audit", "list", "--action", "secret.read", "--principal", "a-contributor@shop", "--limit", "1"
    )
    assert "seen:1" in listed
    assert vault.http("GET", "/workspaces/shop/secrets/seen/value").headers["Cache-Control"] == "no-store"


def test_the_command_says_which_entry_is_broken_and_exits_with_1(vault: Vault) -> None:
    with Hub(vault.context) as hub:
        for value in ("a", "b", "c"):
            hub.workspace("shop").set_secret("checked", value)
        end = hub.workspace("shop").audit.verify()
    noted = f"{end.entries}:{end.last}"
    assert f"whole: {end.entries} entries, end {noted}" in vault.quiet("audit", "verify", "--noted", noted)
    assert "[sdk-error]" in vault.quiet("audit", "verify", "--noted", "x", code=1)
    broken = end.entries - 1
    tamper(vault, "bo", broken)
    assert f"entry {broken}: the row was changed" in vault.quiet("audit", "verify", code=1)
    tamper(vault, os.environ.get("USER", "admin"), broken)
    vault.quiet("audit", "verify", "--noted", noted)


def tamper(vault: Vault, principal: str, sequence: int) -> None:
    with sqlite3.connect(vault.data_dir / "hub.db") as database:
        database.execute(
            "UPDATE audit_entries SET principal = ? WHERE workspace = 'shop' AND sequence = ?",
            (principal, sequence),
        )
    database.close()


def test_a_value_from_a_file_is_kept_byte_for_byte(vault: Vault) -> None:
    path = vault.folder / "lines"
    path.write_bytes("é\r\nb\n\n".encode())
    vault.quiet("secret", "set", "lines", "--from-file", str(path))
    read = vault.headland("secret", "get", "lines", "-o", "json").stdout
    assert json.loads(read)["value"] == "é\r\nb\n\n"
    path.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in vault.quiet("secret", "set", "lines", "--from-file", str(path), code=1)
    assert "cannot read the value" in vault.quiet("secret", "set", "lines", "--from-file", "nowhere", code=1)


def test_keys_that_are_lost_are_not_made_anew(vault: Vault) -> None:
    """Last: the hub is stopped, and stays so until its keys are back."""
    keys = vault.data_dir / "pki" / "master-keys"
    vault.daemon.stop()
    kept = keys.read_bytes()
    keys.unlink()
    said = vault.quiet("hub", "up", "--data-dir", str(vault.data_dir), code=1)
    assert "[key-file-invalid]" in said
    assert "Restore it" in said
    assert not keys.exists()
    keys.write_bytes(kept)
    keys.chmod(0o600)
    vault.daemon.start("hub ready")
    assert vault.headland("secret", "get", "checked").stdout == "c"
