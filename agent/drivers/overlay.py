"""A container's root file system: its layers stacked by overlayfs.

The kernel takes one page (4 KiB) of mount options in all, and splits them at ``:`` and ``,``. So
the layers are named by short symbolic links in the bundle, and mounted from there as the working
folder of the ``mount`` command: a chain of long paths fits, whatever characters they hold.

overlayfs has whiteouts of another form than a layer's tar. They are rare (images from elsewhere), so
the layers up to the highest that has some are merged by hard links, and that folder is the lowest one.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from agent.drivers.port import DriverError
from agent.drivers.rootfs import lay_over
from agent.layers import has_whiteouts

COMMAND_TIMEOUT_S = 20.0
# util-linux 2.39 may hand options one by one to a call that takes 256 bytes of each.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LIBMOUNT_FORCE_MOUNT2": "always"}
LAYERS_MAX = 500  # the kernel's OVL_MAX_STACK


ShowLayers = Callable[[Sequence[Path]], AbstractContextManager[Sequence[Path]]]


def mount_layers(
    bundle: Path,
    layers: tuple[Path, ...],
    *,
    root: Path | None = None,
    show: ShowLayers = nullcontext,
    owner: int = 0,
) -> None:
    """Mount ``layers`` (lowest first) at ``root``, or ``bundle/rootfs``; writes go to ``bundle/upper``.

    ``show`` yields the folders to take for layers while they are being mounted; ``owner`` is whose the root
    folder is. Raises `DriverError` where the kernel refuses.
    """
    if len(layers) > LAYERS_MAX:
        raise DriverError(
            f"more than {LAYERS_MAX} layers", where=str(bundle), fix="Join layers of the image."
        )
    links = bundle / "l"
    for folder in (links, bundle / "upper", bundle / "work", bundle / "rootfs"):
        folder.mkdir()
        folder.chmod(0o755)  # whatever the umask: upper is the container's root folder
    # overlayfs refuses one folder twice; the upper one hides all of the lower one anyway.
    highest_first = list(dict.fromkeys(layer.absolute() for layer in reversed(_plain(bundle, layers))))
    os.chown(bundle / "upper", owner, owner)
    lower = ":".join(f"l/{number}" for number in range(len(highest_first)))
    options = f"lowerdir={lower},upperdir=upper,workdir=work"
    place = str(root or "rootfs")
    with show(highest_first) as shown:
        for number, layer in enumerate(shown):
            (links / str(number)).symlink_to(layer)
        _run(["mount", "-t", "overlay", "overlay", "-o", options, place], bundle, "cannot mount the layers")


def _plain(bundle: Path, layers: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return layers (lowest first) without whiteouts, which show the same."""
    count = max((number for number, layer in enumerate(layers, start=1) if has_whiteouts(layer)), default=0)
    if not count:
        return layers
    merged = bundle / "merged"
    merged.mkdir()
    merged.chmod(0o755)
    lay_over(layers[:count], merged)
    return (merged, *layers[count:])


def unmount_and_delete(bundle: Path) -> None:
    """Undo `mount_layers` and delete ``bundle``; no error where there is none, or no mount.

    Raises `DriverError` where the mount stays: then nothing is deleted.
    """
    unmount_root(bundle / "rootfs")
    if os.path.lexists(bundle):
        shutil.rmtree(bundle)


def unmount_root(root: Path) -> None:
    """Unmount what is mounted at ``root``; no error where nothing is. Raises `DriverError` where it stays."""
    while root.is_mount():
        # Lazily: another process's mount namespace may hold the mount a moment longer.
        _run(["umount", "-l", str(root)], root.parent, "cannot unmount the container's root")


def _run(command: list[str], folder: Path, what: str) -> None:
    try:
        subprocess.run(
            command,
            cwd=folder,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.decode(errors="replace").split())[-300:]
        raise DriverError(f"{what}: {reason}", where=str(folder), fix="Check dmesg.") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverError(f"{what}: {type(error).__name__}", where=str(folder), fix="Check dmesg.") from error
