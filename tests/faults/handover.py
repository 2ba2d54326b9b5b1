"""Samples handed to the agent as a module does, and what of them is in its outbox."""

import http.client
import shutil
import sqlite3
import tempfile
import uuid
from collections import Counter
from pathlib import Path

import msgspec

from agent.endpoints.unix_client import UnixHttpConnection
from contract.agent_api import TELEMETRY_PATH, Handover
from contract.encoding import encode

TIMEOUT_S = 20.0


class Hand:
    """A module that hands 1, 2, 3, ... over, each until it was told that it is taken."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._producer = uuid.uuid4().hex
        self._stream = f"readings-{self._producer[:8]}"
        self.number = 1
        self.answers: Counter[int] = Counter()

    @property
    def taken(self) -> int:
        """Up to which number the agent said that it has them."""
        return self.number - 1

    def give(self, path: Path | None = None) -> int:
        """Hand the next over, once; return the status that was answered, or 0 where nobody answered."""
        status = self._post(path or next((self._state / "containers").glob("a-*/run/agent.sock"), None))
        self.answers[status] += 1
        self.number += status == 200
        return status

    def _post(self, path: Path | None) -> int:
        if path is None:
            return 0
        body = encode(
            Handover(
                producer=self._producer,
                number=self.number,
                sampled_at_us=(self.number,),
                bodies=(msgspec.Raw(str(self.number).encode()),),
            )
        )
        line = UnixHttpConnection(path, timeout_s=TIMEOUT_S)
        try:
            line.request("POST", f"{TELEMETRY_PATH}{self._stream}", body)
            answer = line.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            line.close()
        return answer.status

    def faults(self, outbox: Path | None = None) -> list[str]:
        """Return what is wrong with the outbox of an agent that does not run: it is read from a copy."""
        with tempfile.TemporaryDirectory() as folder:
            for path in (outbox or self._state / "outbox.db").parent.glob("outbox.db*"):
                if not path.name.endswith("-shm"):
                    shutil.copy(path, folder)
            db = sqlite3.connect(Path(folder, "outbox.db"))
            try:
                found = [str(row[0]) for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
                there = db.execute("SELECT body FROM samples WHERE stream = ?", (self._stream,))
                rows = Counter(int(bytes(row[0])) for row in there)
            except sqlite3.Error as error:
                return [f"the outbox cannot be read: {error}"]
            finally:
                db.close()
        lost = (number for number in range(1, self.number) if not rows[number])
        found += [f"{number} was taken and is not there" for number in lost]
        return found + [f"{number} is there {times} times" for number, times in rows.items() if times > 1]
