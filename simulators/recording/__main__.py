"""`make recording`: an update, a bad update and a week offline on real parts, kept as text.

Exits non-zero where a request was refused, or where the device's counters are not what the hub lacks.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from cloud_hub.sdk import Hub, Workspace
from simulators.demo import digits as data
from simulators.demo.stage import Stage, StageError
from simulators.recording.cast import Recording, asciicast, page
from simulators.recording.scenes import Scenes

PAGE = Path("docs/transcript.md")
CAST = Path("docs/transcript.cast")
TITLE = "Headland: an update, a bad update, a week offline"
FAILS_AT_START = "def init():\n    raise RuntimeError('no such lens')\n\ndef run(raw_data):\n    return 1\n"
PREFACE = """\
# A device through an update, a bad update and a week offline

Typed and printed by `make recording` on real parts: a hub, its broker and a device's agent with {driver}, on
one machine. Nothing was edited. The same run as an asciicast, for `asciinema play`:
[transcript.cast](transcript.cast).

"""


def main() -> int:
    """Play the scenes; print the page, or write it with ``--write``."""
    arguments = _arguments()
    console = Console(stderr=True)
    stage = Stage(Path(tempfile.mkdtemp(prefix="hl-rec-")))
    recording = Recording()
    try:
        faults = play(stage, arguments.driver, recording, console)
    except StageError as error:
        console.print(f"[red]the recording failed:[/] {error}", highlight=False)
        return 1
    finally:
        stage.close()
    driver = "runc" if arguments.driver != "process" else "plain processes"
    text = PREFACE.format(driver=driver) + page(recording)
    if arguments.write:
        PAGE.write_text(text)
        CAST.write_text(asciicast(recording, TITLE))
    else:
        sys.stdout.write(text)
    for fault in faults:
        console.print(f"[red]✗[/] {fault}", highlight=False)
    return 1 if faults else 0


def play(stage: Stage, driver: str, recording: Recording, console: Console) -> list[str]:
    """Make a hub with its images, play all scenes, and return what did not hold."""
    with console.status("make a hub, train two models, build three images"):
        stage.make_hub()
        stage.headland("workspace", "create", "shop")
        digits = data.load()
    with Hub.connect() as hub:
        workspace = hub.workspace()
        with console.status("train two models, build three images"):
            _make_images(stage, workspace, digits)
        scenes = Scenes(stage, workspace, digits, driver, recording)
        with console.status("an update"):
            tallies = [scenes.update()]
        with console.status("a bad update"):
            tallies.append(scenes.bad_update())
        with console.status("a week offline"):
            scenes.week_offline()
    return [f"refused: {reason}" for tally in tallies for reason in tally.refused]


def _make_images(stage: Stage, workspace: Workspace, digits: data.Digits) -> None:
    for kind in ("logistic", "mlp"):
        data.train_and_register(workspace, digits, kind, stage.folder)
    script = stage.folder / "score.py"
    script.write_text(FAILS_AT_START)
    workspace.build_image("digits", "digits:1")
    workspace.build_image("digits", "digits:2")
    workspace.build_image("crashing", "digits:1", script)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators.recording", description=__doc__)
    parser.add_argument("--driver", choices=["auto", "runc", "process"], default="auto")
    parser.add_argument(
        "--write", action="store_true", help="write docs/transcript.md and docs/transcript.cast"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
