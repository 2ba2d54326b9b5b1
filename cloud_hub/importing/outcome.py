"""The end of an import: every value accounted for, and a manifest that the hub takes. Pure."""

from collections.abc import Sequence

from cloud_hub.importing.draft import RolloutDraft
from cloud_hub.importing.errors import ImportNothingError, ImportOptionError
from cloud_hub.importing.imported import Imported, Ledger, Remark
from cloud_hub.importing.names import Images
from cloud_hub.importing.spots import Spot
from contract.errors import FieldProblem

NO_NETWORK = "has no network: give it `access.hostNetwork: true` if it talks to others"
NO_PROBE = "says itself when it is ready (POST /v1/ready, docs/wire.md): else give it `readiness`"


def finished(
    draft: RolloutDraft, sources: Sequence[tuple[Spot, Ledger]], images: Images, first: Sequence[str]
) -> Imported:
    """Return what an import gives; raises `ImportNothingError` where no module is left."""
    if idle := sorted(set(images.chosen) - images.used):
        raise ImportOptionError(
            f"no module has the image {', '.join(idle)}", where="--image", fix="Write it as the file has it."
        )
    for root, ledger in sources:
        ledger.close(root)
    remarks = [remark for _, ledger in sources for remark in ledger.remarks]
    file = sources[0][1].file
    if not draft.modules:
        raise nothing_left(file, remarks)
    notes = list(images.first())
    for module in draft.modules:
        access = module.spec.get("access", {})
        if not access.get("hostNetwork") and not access.get("privileged"):
            notes.append(f"module {module.name} {NO_NETWORK}")
        if not module.has("lifecycle", "readiness"):
            notes.append(f"module {module.name} {NO_PROBE}")
    return Imported(
        manifest=draft.manifest(file),
        not_carried=tuple(one for one in remarks if one.kind == "not-carried"),
        changed=tuple(one for one in remarks if one.kind == "changed"),
        first=(*notes, *first),
        carried=tuple(path for _, ledger in sources for path in ledger.carried),
    )


def nothing_left(file: str, remarks: Sequence[Remark]) -> ImportNothingError:
    """Return the error of a source without a module that a rollout could run."""
    left = [one for one in remarks if one.kind == "not-carried"]
    return ImportNothingError(
        "nothing in it can be a module of a rollout",
        where=file,
        fix="Give a deployment in which at least one module has an image and is to run.",
        errors=tuple(FieldProblem(field=one.path, reason=f"{one.why}; {one.fix}") for one in left),
    )
