"""The proof of which process a container is: written by itself before its program starts."""

from pathlib import Path

from agent.drivers.proc import ProcessStat, boot_id, parse_stat, stat_of

FILE = "process"
# "$1" the record, "$2" memory in KiB, "$3" the working folder, then the command. Only what the
# shell has built in runs before the record is whole: its id and start time stay those of the
# program. Where the record's folder is gone the program does not start.
WRITER = """
{ read -r stat && printf '%s\\n' "$stat"; } < "/proc/$$/stat" > "$1.new" || exit 125
read -r boot < /proc/sys/kernel/random/boot_id && printf '%s\\n' "$boot" >> "$1.new" || exit 125
ulimit -c 0
ulimit -d "$2"
cd "$3" || exit 125
LISTEN_PID=$$
export LISTEN_PID
mv "$1.new" "$1" || exit 125
shift 3
exec "$@"
"""
# The same for another program in the container: "$1" memory in KiB, "$2" the working folder.
OTHER = """
ulimit -c 0
ulimit -d "$1"
cd "$2" || exit 125
shift 2
exec "$@"
"""


def recorded(home: Path) -> ProcessStat | None:
    """Return what the container's process wrote in this life of the machine, or None."""
    return read_record(home / FILE)[0]


def read_record(path: Path) -> tuple[ProcessStat | None, list[str]]:
    """Return the process that a record of this life of the machine tells of, and the lines behind that.

    None, and no lines, where there is no such record.
    """
    try:
        lines = path.read_text(errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None, []
    if len(lines) < 2 or lines[1] != boot_id():
        return None, []
    try:
        return parse_stat(lines[0]), lines[2:]
    except ValueError:
        return None, []


def still_runs(record: ProcessStat) -> bool:
    """Return whether that very process is alive: same id, same start time, no zombie."""
    now = stat_of(record.pid)
    return now is not None and now.alive and now.started_ticks == record.started_ticks
