"""The modules of an IoT Edge deployment: image, options, environment, life and order. Pure."""

from dataclasses import dataclass, field

from cloud_hub.importing.create_options import Ports, carry_container, carry_environment
from cloud_hub.importing.draft import MOST_MODULES, ModuleDraft, RolloutDraft
from cloud_hub.importing.imported import Ledger
from cloud_hub.importing.names import FIRST, IMAGES, NAMED, Images, Names, read_reference
from cloud_hub.importing.placeholders import Placeholders, tell_missing
from cloud_hub.importing.reading import read_json
from cloud_hub.importing.secret_values import is_guarded, keep_back
from cloud_hub.importing.spots import Spot, spots

LAST = 2**32 - 1
"""The order of a module that says none."""
CHUNKS = 100


@dataclass
class Reading:
    """What reading the modules needs and gathers."""

    draft: RolloutDraft
    ledger: Ledger
    placeholders: Placeholders
    images: Images
    names: Names = field(default_factory=Names)
    ports: Ports = field(default_factory=Ports)


def read_modules(modules: Spot | None, reading: Reading) -> None:
    """Put every module that can be one into the draft; list the others whole."""
    orders: list[tuple[int, ModuleDraft, Spot | None]] = []
    for name, module in modules.items() if modules is not None else ():
        draft = _begun(name, module, reading)
        if draft is not None:
            reading.draft.modules.append(draft)
            _fill(module, draft, reading)
            orders.append(_order(module, draft))
    _let_wait(orders, reading)


def leave_module(ledger: Ledger, module: Spot, why: str, fix: str) -> None:
    """List a module with all that is in it, wherever in the file a part of it stands."""
    ledger.leave(module, "a module", why, fix)
    for leaf in module.leaves():
        if not ledger.is_known(leaf.path):
            ledger.leave(leaf, "a part of a module", why, fix)


def _unfit(module: Spot, reading: Reading) -> tuple[str, str]:
    """Return why a module cannot be one of the rollout and what to do, but for its image; or empty texts."""
    kind, status = module.get("type"), module.get("status")
    if kind is not None and kind.value != "docker":
        return "only modules of type docker are containers", "build an image of it"
    if status is not None and status.value == "stopped":
        return (
            "it is to be stopped, and a rollout names what runs",
            "set its status to running, and import again",
        )
    if len(reading.draft.modules) >= MOST_MODULES:
        return f"a rollout has at most {MOST_MODULES} modules", "split the deployment"
    return "", ""


def _begun(name: str, module: Spot, reading: Reading) -> ModuleDraft | None:
    """Return the module with its image; None, and it is listed, where there cannot be one."""
    ledger, image = reading.ledger, module.get("settings", "image")
    why, fix = _unfit(module, reading)
    if not why and (image is None or image.text is None):
        why = "it has no image: a layer changes a module that another deployment has"
        fix = "merge it into that deployment, and import the whole"
    text, missing = reading.placeholders.fill((image.text if image is not None else None) or "")
    if not why and missing and image is not None:
        tell_missing(ledger, image, missing)
        why, fix = "its image is a placeholder without a value", "give it by --set NAME=VALUE"
    reference = read_reference(text)
    if why or image is None or reference is None:
        leave_module(ledger, module, why or "its image is no reference to an image", fix or "correct it")
        return None
    draft = ModuleDraft(reading.names.give(name, "module"), reading.images.give(text, reference), ledger)
    ledger.change(image, "an image", IMAGES, FIRST)
    if draft.name != name:
        ledger.change(Spot(module.path, None), "a name", NAMED, f"look for `{draft.name}`")
    for spot, usual in ((module.get("type"), "docker"), (module.get("status"), "running")):
        if spot is not None and spot.value == usual:
            ledger.carry(spot)
    return draft


def _fill(module: Spot, draft: ModuleDraft, reading: Reading) -> None:
    ledger = draft.ledger
    variables = module.get("env")
    for name, variable in variables.items() if variables is not None else ():
        value = variable.get("value")
        if value is None:
            continue
        if is_guarded(Spot((name,), value.value)):
            keep_back(ledger, value, name)
        elif (filled := reading.placeholders.fill_all(value, ledger)) is not None:
            carry_environment(value, name, filled, draft)
    options = _options(module.get("settings"), reading)
    if options is not None:
        carry_container(options, draft, reading.ports)
        _close(options, ledger)
    policy = module.get("restartPolicy")
    if policy is not None:
        draft.put(policy, policy.value, "lifecycle", "restart")
    pull = module.get("imagePullPolicy")
    if pull is not None and pull.value == "on-create":
        ledger.carry(pull)
    elif pull is not None:
        ledger.leave(pull, "imagePullPolicy", "what a device lacks is always pulled, by digest", "nothing")
    version = module.get("version")
    ledger.leave(version, "version", "a module has no version but its image's", "nothing")


def _close(options: Spot, ledger: Ledger) -> None:
    """List what is left of the options: the document's own end sees them as one text."""
    if not list(options.items()):
        ledger.carry(options)
    ledger.opened(options)
    ledger.close(options)


def _options(settings: Spot | None, reading: Reading) -> Spot | None:
    """Return the options of a container, a text of JSON in up to 100 parts, or an object in templates."""
    whole = settings.get("createOptions") if settings is not None else None
    if settings is None or whole is None:
        return None
    ledger = reading.ledger
    if isinstance(whole.value, dict):
        return reading.placeholders.fill_all(whole, ledger)
    parts = [
        part for number in range(1, CHUNKS) if (part := settings.get(f"createOptions{number:02}")) is not None
    ]
    text = "".join(part.text or "" for part in (whole, *parts))
    missing: list[str] = []
    if not text.strip() and all(isinstance(part.value, str) for part in (whole, *parts)):
        ledger.carry(whole, *parts)
        return None
    try:
        value = read_json(text)
    except ValueError:
        text, missing = reading.placeholders.fill(text)
        value = _maybe(text)
    if (
        missing
        or not isinstance(value, dict)
        or not all(isinstance(part.value, str) for part in (whole, *parts))
    ):
        for part in (whole, *parts):
            if missing:
                tell_missing(ledger, part, missing)
            ledger.leave(part, "createOptions", "it is no JSON object", "correct it in the file")
        return None
    ledger.carry(*parts)
    return reading.placeholders.fill_all(spots(value, whole.path), ledger)


def _maybe(text: str) -> object:
    try:
        return read_json(text)
    except ValueError:
        return None


def _order(module: Spot, draft: ModuleDraft) -> tuple[int, ModuleDraft, Spot | None]:
    spot = module.get("startupOrder")
    if spot is None:
        return LAST, draft, None
    if not isinstance(spot.value, int) or isinstance(spot.value, bool) or not 0 <= spot.value <= LAST:
        draft.ledger.leave(spot, "startupOrder", "it is no whole number from 0 to 4294967295", "correct it")
        return LAST, draft, None
    return spot.value, draft, spot


def _let_wait(orders: list[tuple[int, ModuleDraft, Spot | None]], reading: Reading) -> None:
    """Let each module wait for those of the next lower order."""
    levels = sorted({order for order, _, _ in orders})
    for order, draft, spot in orders:
        below = levels[levels.index(order) - 1] if order != levels[0] else None
        needed = [other.name for level, other, _ in orders if level == below]
        if needed:
            draft.spec.setdefault("lifecycle", {})["dependsOn"] = needed
        if spot is not None and len(levels) > 1:
            why = "a module waits until those before it are ready, not only until they were started"
            reading.ledger.change(
                spot, "startupOrder", why, "take names out of `dependsOn` that it can do without"
            )
        else:
            reading.ledger.carry(spot)
