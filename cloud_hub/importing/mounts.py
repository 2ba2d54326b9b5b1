"""Docker's binds and mounts as volumes of a module. Pure."""

from cloud_hub.importing.draft import ModuleDraft
from cloud_hub.importing.names import name_of
from cloud_hub.importing.spots import Spot

OWNER = "have the device's owner allow the path, see docs/device-policy.md"
SHARED = "a named volume is this module's alone, begins empty, and is kept by the agent"
COPY = "copy what is in it, or name a `hostPath` where several modules need it"
NO_OPTION = frozenset({"", "rw", "ro"})


def carry_bind(spot: Spot, draft: ModuleDraft) -> None:
    """Carry ``SOURCE:TARGET[:OPTIONS]``."""
    source, _, rest = (spot.text or "").partition(":")
    target, _, said = rest.partition(":")
    options = set(said.split(","))
    if not source or not target:
        draft.ledger.leave(spot, "a bind", "it is no SOURCE:TARGET", "name it in `access.volumes`")
        return
    carried = _carry(spot, draft, source, target, read_only="ro" in options)
    if carried and not options <= NO_OPTION:
        why = "of the options of a bind only `ro` has a counterpart"
        draft.ledger.leave(spot, "options of a bind", why)


def carry_mount(spot: Spot, draft: ModuleDraft) -> None:
    """Carry an entry of ``Mounts`` of the types bind and volume."""
    kind, source, target, read_only = (spot.get(key) for key in ("Type", "Source", "Target", "ReadOnly"))
    words = source.text if source is not None else None
    place = target.text if target is not None else None
    right = {"bind": (words or "").startswith("/"), "volume": not (words or "/").startswith("/")}
    if not place or not right.get(str(kind.value) if kind is not None else "", False):
        why = "only binds of absolute paths and named volumes have a counterpart"
        draft.ledger.leave(spot, "a mount", why, "use /tmp, or name it in `access.volumes`")
        return
    said = read_only is not None and read_only.value is True
    if not _carry(spot, draft, words or "", place, read_only=said):
        return
    known = {one.path for one in (kind, source, target) if one is not None}
    if read_only is not None and isinstance(read_only.value, bool):
        known.add(read_only.path)
    for leaf in spot.leaves():
        if leaf.path not in known:
            draft.ledger.leave(leaf, str(leaf.path[-1]), "a volume has no such setting")


def _carry(spot: Spot, draft: ModuleDraft, source: str, target: str, *, read_only: bool) -> bool:
    volume: dict[str, object] = {"target": target.rstrip("/")}
    if source.startswith("/"):
        volume["hostPath"] = source.rstrip("/")
    else:
        volume["name"] = name_of(source, "data")
    if read_only:
        volume["readOnly"] = True
    if source.endswith(".sock"):
        why = "a path of the device is a folder or a plain file, and no socket"
        draft.ledger.leave(
            spot, "a socket of the device", why, "see what the module asks there, and do without"
        )
        return False
    volumes = draft.spec.get("access", {}).get("volumes", [])
    if any(volume.get("name") == one["name"] for one in volumes if "name" in one):
        # Two names that differ by what a name may not have would be one folder.
        why = "a volume of nearly this name is there already"
        draft.ledger.leave(spot, "a volume", why, "give both another name in `access.volumes`")
        return False
    if not draft.add(spot, volume, "access", "volumes"):
        return False
    if "name" in volume:
        draft.ledger.change(spot, "a volume", SHARED, COPY)
    else:
        draft.ledger.change(
            spot, "a path of the device", "a module has it only where its owner allows it", OWNER
        )
    return True
