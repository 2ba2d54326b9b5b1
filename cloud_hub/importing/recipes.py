"""Recipes of Greengrass v2: a component that runs one container, as a module. Pure.

The form is that of "AWS IoT Greengrass component recipe reference", docs.aws.amazon.com/greengrass/v2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cloud_hub.importing.create_options import Ports, carry_container, carry_environment
from cloud_hub.importing.docker_run import NotPlainError, Run, read_run
from cloud_hub.importing.draft import ModuleDraft
from cloud_hub.importing.imported import Ledger
from cloud_hub.importing.names import FIRST, IMAGES, NAMED, Images, Names, read_reference
from cloud_hub.importing.placeholders import RECIPE, Placeholders, tell_missing
from cloud_hub.importing.recipe_values import Configuration
from cloud_hub.importing.spots import Spot
from cloud_hub.oci_client.references import Reference

FORMAT = "2020-01-25"
GENERIC = "aws.greengrass.generic"
DOCKER = "docker:"
RESTARTS = {"no": "never", "always": "always", "unless-stopped": "always", "on-failure": "on-failure"}
STEPS = {
    "install": ("an image has all inside that it needs", "put what the script brings into the image"),
    "bootstrap": ("an image has all inside that it needs", "put what the script brings into the image"),
    "shutdown": ("the agent stops a container itself, by SIGTERM", "let the program end on SIGTERM"),
    "recover": ("a container that ended is started again by `lifecycle.restart`", "nothing"),
    "startup": ("`Run` says what runs", "see what it prepares, and put that into the image"),
}
WORDS = {
    "componentdescription": "a module has no description",
    "componentpublisher": "a module has no publisher",
    "componentversion": "a module has no version but its image's",
}
WHOLE = "only a component that runs one container can be a module"
BUILD = "build an image of it, and register that"


@dataclass
class Recipe:
    """A recipe, what is noted of it, and the module that it became, if it did."""

    root: Spot
    ledger: Ledger
    name: str
    module: ModuleDraft | None = None


@dataclass
class Shelf:
    """What the recipes of one import share."""

    images: Images
    values: Mapping[str, str]
    names: Names = field(default_factory=Names)
    ports: Ports = field(default_factory=Ports)


def read_recipe(recipe: Recipe, configuration: Configuration, shelf: Shelf) -> None:
    """Give a recipe its module, or list it whole."""
    root, ledger = recipe.root, recipe.ledger
    kind = root.named("ComponentType")
    if kind is not None and kind.value != GENERIC:
        return ledger.leave(root, "a component", WHOLE, BUILD)
    manifest = _manifest(root, ledger)
    lifecycle = (manifest.named("Lifecycle") if manifest is not None else None) or root.named("Lifecycle")
    script = _script(lifecycle)
    run = _read(script, configuration, shelf, ledger)
    artifacts = _docker_artifacts(manifest)
    reference = read_reference(run.image) if run is not None else None
    if run is None and len(artifacts) == 1:
        reference = read_reference((artifacts[0].text or "").removeprefix(DOCKER))
    if reference is None:
        return ledger.leave(root, "a component", WHOLE, BUILD)
    text = run.image if run is not None else (artifacts[0].text or "").removeprefix(DOCKER)
    name = shelf.names.give(recipe.name.rpartition(".")[2], "module")
    recipe.module = ModuleDraft(name, shelf.images.give(text, reference), ledger)
    ledger.carry(kind)
    _heads(recipe)
    _artifacts(artifacts, reference, ledger)
    if run is not None and script is not None:
        _carry_run(run, script, lifecycle, recipe.module, configuration, shelf)
    _steps(lifecycle, script, ledger)
    return None


def _heads(recipe: Recipe) -> None:
    root, ledger = recipe.root, recipe.ledger
    form, name = root.named("RecipeFormatVersion"), root.named("ComponentName")
    if form is not None and form.value == FORMAT:
        ledger.carry(form)
    if name is not None and recipe.module is not None:
        if name.value == recipe.module.name:
            ledger.carry(name)
        else:
            ledger.change(name, "a name", NAMED, f"look for `{recipe.module.name}`")
    for key, spot in root.items():
        if key.lower() in WORDS:
            ledger.leave(spot, key, WORDS[key.lower()], "nothing")


def _manifest(root: Spot, ledger: Ledger) -> Spot | None:
    """Return the first manifest for Linux; the others are listed."""
    chosen: Spot | None = None
    manifests = root.named("Manifests")
    for one in manifests.parts() if manifests is not None else []:
        platform = one.named("Platform")
        system = platform.named("os") if platform is not None else None
        if chosen is None and (system is None or system.text in {"linux", "*", "all"}):
            chosen = one
            ledger.carry(system)
            machine = platform.named("architecture") if platform is not None else None
            if machine is not None and machine.value == "*":
                ledger.carry(machine)
            ledger.leave(machine, "architecture", "an image has its platforms inside", "copy all of them")
            ledger.leave(one.named("Name"), "Name", "it is the manifest's own", "nothing")
        else:
            why = "a module is for every device of its rollout, and the first manifest for Linux was read"
            ledger.leave(one, "another manifest", why, "copy all platforms of the image")
    return chosen


def _script(lifecycle: Spot | None) -> Spot | None:
    """Return the text by which the component runs."""
    for key in ("Run", "Startup"):
        step = lifecycle.named(key) if lifecycle is not None else None
        script = step.named("Script") if step is not None and isinstance(step.value, dict) else step
        if script is not None and script.text is not None:
            return script
    return None


def _read(script: Spot | None, configuration: Configuration, shelf: Shelf, ledger: Ledger) -> Run | None:
    """Return the script's ``docker run``; None, and it is listed, where it cannot be read as one."""
    if script is None:
        return None
    values = {**configuration.values(script.text or ""), **shelf.values}
    text, missing = Placeholders(RECIPE, values, template=True).fill(script.text or "")
    if missing:
        tell_missing(ledger, script, missing)
        return None
    try:
        return read_run(text)
    except NotPlainError as error:
        ledger.leave(script, "a script", str(error), "write what it does for the container into the manifest")
        return None


def _docker_artifacts(manifest: Spot | None) -> list[Spot]:
    """Return the addresses of the manifest's images."""
    artifacts = manifest.named("Artifacts") if manifest is not None else None
    addresses = [one.named("Uri") for one in artifacts.parts()] if artifacts is not None else []
    return [one for one in addresses if one is not None and (one.text or "").startswith(DOCKER)]


def _artifacts(artifacts: list[Spot], reference: Reference, ledger: Ledger) -> None:
    for one in artifacts:
        if read_reference((one.text or "").removeprefix(DOCKER)) == reference:
            ledger.change(one, "an image", IMAGES, FIRST)
        else:
            ledger.leave(
                one, "another image", "the script runs one image", "import it as a component of its own"
            )


def _carry_run(
    run: Run,
    script: Spot,
    lifecycle: Spot | None,
    draft: ModuleDraft,
    configuration: Configuration,
    shelf: Shelf,
) -> None:
    ledger = draft.ledger
    ledger.opened(script)
    configuration.note(script.text or "")
    image = Spot((*script.path, "IMAGE"), run.image)
    ledger.change(image, "an image", IMAGES, FIRST)
    options = run.options(script.path)
    carry_container(options, draft, shelf.ports)
    for name in run.passed:
        _passed(name, script, lifecycle, draft, configuration, shelf)
    # Greengrass starts a component again that ended with an error, and leaves one alone that ended well.
    restart = Spot((*script.path, "restart"), run.restart)
    draft.spec.setdefault("lifecycle", {})["restart"] = "on-failure"
    if run.restart:
        policy = run.restart.partition(":")[0]
        draft.put(restart, RESTARTS.get(policy, run.restart), "lifecycle", "restart")
    # An empty part of the command says nothing; all else that is left is listed.
    for leaf in options.leaves():
        if leaf.value in ({}, []) and leaf.path[len(script.path) :] in {(), ("HostConfig",)}:
            ledger.carry(leaf)
    ledger.close(options)


def _passed(
    name: str,
    script: Spot,
    lifecycle: Spot | None,
    draft: ModuleDraft,
    configuration: Configuration,
    shelf: Shelf,
) -> None:
    """Carry a variable that the script hands from its own environment to the container."""
    own = lifecycle.named("Setenv") if lifecycle is not None else None
    spot = own.get(name) if own is not None else None
    if spot is None:
        missing = Spot((*script.path, "Env", name), None)
        why = "the script takes it from the environment of the device"
        return draft.ledger.leave(missing, "a variable", why, "write it in `env` by hand")
    values = {**configuration.values(spot.text or ""), **shelf.values}
    filled = Placeholders(RECIPE, values, template=True).fill_all(spot, draft.ledger)
    if filled is not None:
        configuration.note(spot.text or "")
        carry_environment(spot, name, filled, draft)
    return None


def _steps(lifecycle: Spot | None, script: Spot | None, ledger: Ledger) -> None:
    """List the other steps of a lifecycle, and what stands beside the script."""
    for key, step in lifecycle.items() if lifecycle is not None else ():
        holds = script is not None and script.path[: len(step.path)] == step.path
        if key.lower() == "setenv":
            for _, variable in step.items():
                if not ledger.is_known(variable.path):
                    why = "it is the script's, and the container is not given it"
                    ledger.leave(variable, "a variable", why, "write it in `env` by hand")
        elif not holds and key.lower() in STEPS:
            ledger.leave(step, f"the script of {key}", *STEPS[key.lower()])
        elif holds:
            privilege = step.named("RequiresPrivilege")
            if privilege is not None and privilege.value is False:
                ledger.carry(privilege)
            elif privilege is not None:
                why = "it is the script's; a container's rights are those of `access`"
                ledger.leave(privilege, "RequiresPrivilege", why, "nothing")
            why = "a module that runs has no end in time"
            ledger.leave(
                step.named("Timeout"), "Timeout", why, "set `readyTimeoutSeconds`, if that was meant"
            )
