"""A process with nothing but workers. Arguments: the database, lease and renewal in seconds."""

import signal
import sys
from pathlib import Path

from cloud_hub.activities.service import Activities
from cloud_hub.db import schema
from cloud_hub.db.engine import Database
from tests.activities import journal
from tests.hub.acting import audit


def main() -> None:
    where, lease_s, renew_s = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    assert schema.METADATA.tables
    database = Database(Path(where) if where.startswith("/") else where)
    activities = Activities(database, audit(database), at_once=1, lease_s=lease_s, renew_s=renew_s)
    activities.register(journal.kind())
    activities.begin()
    signal.sigwait({signal.SIGTERM})
    activities.close()
    database.close()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main()
