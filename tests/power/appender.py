"""Appends records to a file and says after each fsync which are on the disk; ends when a write fails."""

import os
import sys

RECORD_BYTES = 4096


def main() -> None:
    """Write to the file that the first argument names."""
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    count = 0
    while True:
        count += 1
        try:
            os.write(file, b"%08d" % count + bytes(RECORD_BYTES - 8))
            os.fsync(file)
        except OSError:
            return
        sys.stdout.write(f"{count}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
