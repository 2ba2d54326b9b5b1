"""Deployments and recipes of AWS IoT Greengrass v2 read as a rollout, as far as they run containers. Pure.

The forms are those of ``CreateDeployment`` and ``GetDeployment`` of its API, and of its recipes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cloud_hub.importing.draft import MOST_MODULES, ModuleDraft, RolloutDraft
from cloud_hub.importing.errors import ImportInvalidError, ImportOptionError
from cloud_hub.importing.greengrass_strategy import read_policies
from cloud_hub.importing.imported import Imported, Ledger
from cloud_hub.importing.names import Images, name_of
from cloud_hub.importing.outcome import finished
from cloud_hub.importing.placeholders import RECIPE, unused
from cloud_hub.importing.reading import read_json
from cloud_hub.importing.recipe_values import Configuration
from cloud_hub.importing.recipes import Recipe, Shelf, read_recipe
from cloud_hub.importing.spots import Spot, spots
from cloud_hub.importing.targets import Choices, aim

THING = ":thing/"
OWN = "aws.greengrass."
KIB = 1024
OF_GREENGRASS = ("it is a part of Greengrass", "nothing: the agent takes its place")
Source = tuple[str, Any]
"""The name of a file, and what it says."""


def import_greengrass(
    source: Source,
    recipes: Sequence[Source] = (),
    *,
    choices: Choices,
    values: Mapping[str, str],
    images: Images,
) -> Imported:
    """Return a deployment with the recipes of its components, or recipes alone, as a rollout.

    Raises `ImportInvalidError` where a file is neither, `ImportNothingError` where no module is left,
    `ImportOptionError` where an option is of no use.
    """
    file, document = source
    root, ledger = spots(document), Ledger(file)
    components = _components(root, file)
    alone = components is None
    known = _recipes([source, *recipes] if alone else recipes)
    if idle := unused(values, RECIPE, *(one.root for one in known.values())):
        raise ImportOptionError(f"there is no placeholder {', '.join(idle)}", where=file, fix="Check --set.")
    called = root.named("ComponentName") if alone else root.get("deploymentName")
    draft = RolloutDraft(choices.name or name_of(str(called.value if called is not None else ""), "imported"))
    if not alone and not choices.name:
        ledger.carry(called)
    shelf = Shelf(images, values)
    for recipe in known.values():
        _read(recipe, components, ledger, draft, shelf)
    _dependencies(known, draft)
    said = None
    if components is not None:
        _unknown(components, known, ledger)
        said = _thing(root, ledger, chosen=choices.target is not None)
        read_policies(root, ledger, draft)
    first = aim(draft, choices.target, said)
    own = [] if alone else [(root, ledger)]
    return finished(draft, [*own, *((one.root, one.ledger) for one in known.values())], images, first)


def _components(root: Spot, file: str) -> Spot | None:
    """Return the components of a deployment; None of a recipe."""
    components = root.get("components")
    if root.named("ComponentName") is not None:
        return None
    if components is None or not isinstance(components.value, dict):
        raise ImportInvalidError(
            "it is neither a deployment of Greengrass v2 (`components`) nor a recipe (`ComponentName`)",
            where=file,
            fix="Give what `aws greengrassv2 get-deployment` prints, or a recipe.",
        )
    return components


def _recipes(sources: Sequence[Source]) -> dict[str, Recipe]:
    found: dict[str, Recipe] = {}
    for file, document in sources:
        root = spots(document)
        name = root.named("ComponentName")
        if name is None or not name.text:
            raise ImportInvalidError(
                "it is no recipe: there is no `ComponentName`", where=file, fix="Check --recipe."
            )
        if name.text in found:
            raise ImportInvalidError(
                "another file has a recipe of the same component", where=file, fix="Give one of them."
            )
        found[name.text] = Recipe(root, Ledger(file), name.text)
    return found


def _read(recipe: Recipe, components: Spot | None, ledger: Ledger, draft: RolloutDraft, shelf: Shelf) -> None:
    """Read a recipe with what the deployment says of its component."""
    entry = components.get(recipe.name) if components is not None else None
    settings = recipe.root.named("ComponentConfiguration")
    default = settings.named("DefaultConfiguration") if settings is not None else None
    configuration = Configuration(default, recipe.ledger)
    update = entry.get("configurationUpdate") if entry is not None else None
    if update is not None:
        configuration.merged, configuration.merged_ledger = _merge(update, ledger), ledger
    if len(draft.modules) >= MOST_MODULES:
        why = f"a rollout has at most {MOST_MODULES} modules"
        return recipe.ledger.leave(recipe.root, "a component", why, "split the deployment")
    read_recipe(recipe, configuration, shelf)
    if recipe.module is not None:
        draft.modules.append(recipe.module)
    if entry is not None:
        _entry(entry, recipe, ledger)
    if configuration.merged is not None:
        ledger.close(configuration.merged)
    return None


def _merge(update: Spot, ledger: Ledger) -> Spot | None:
    """Return what a deployment puts over the configuration: a text of JSON, or what it says."""
    merge = update.get("merge")
    if merge is None or merge.text is None:
        return merge
    try:
        value = read_json(merge.text)
    except ValueError:
        ledger.leave(merge, "merge", "it is no JSON", "correct it in the file")
        return None
    ledger.opened(merge)
    return spots(value, merge.path)


def _entry(entry: Spot, recipe: Recipe, ledger: Ledger) -> None:
    """Carry version and limits of a component; the rest of its entry is listed."""
    wanted, own = entry.get("componentVersion"), recipe.root.named("ComponentVersion")
    if wanted is not None and own is not None and wanted.value == own.value:
        ledger.carry(wanted)
    elif own is not None:
        why = "the recipe that was given is of another version"
        ledger.leave(wanted, "componentVersion", why, "give the recipe that is meant")
    limits = entry.get("runWith", "systemResourceLimits")
    if recipe.module is None or limits is None:
        return
    module = ModuleDraft(recipe.module.name, recipe.module.image, ledger, recipe.module.spec)
    for key, factor in (("memory", KIB), ("cpus", 1)):
        spot = limits.get(key)
        if spot is None:
            continue
        if module.has("limits", key):
            ledger.leave(spot, key, "the container has a limit of its own in the recipe", "keep one of them")
        elif module.put(spot, spot.value if factor == 1 else _times(spot, factor), "limits", key):
            why = "it is the container's limit now, and not only that of the script which started it"
            ledger.change(spot, key, why, "see that it is enough")


def _times(spot: Spot, factor: int) -> object:
    return (
        spot.value * factor
        if isinstance(spot.value, int) and not isinstance(spot.value, bool)
        else spot.value
    )


def _dependencies(known: Mapping[str, Recipe], draft: RolloutDraft) -> None:
    """Let a module wait for those that its component depends on."""
    for recipe in known.values():
        found = recipe.root.named("ComponentDependencies")
        for name, dependency in found.items() if found is not None else ():
            other = known[name].module if name in known else None
            if recipe.module is None:
                continue
            if other is None and name.startswith(OWN):
                recipe.ledger.leave(dependency, "a dependency", *OF_GREENGRASS)
            elif other is None:
                why = "there is no such module in this rollout"
                recipe.ledger.leave(
                    dependency, "a dependency", why, "give its recipe by --recipe, if it has one"
                )
            elif draft.let_wait(recipe.module, other.name):
                known_keys = {"VersionRequirement", "DependencyType"}
                recipe.ledger.carry(*(spot for key, spot in dependency.items() if key in known_keys))
                why = "a module waits until that one is ready, of whatever version"
                recipe.ledger.change(Spot(dependency.path, None), "a dependency", why, "nothing")
            else:
                recipe.ledger.leave(
                    dependency, "a dependency", "each would wait for the other", "take one out"
                )


def _unknown(components: Spot, known: Mapping[str, Recipe], ledger: Ledger) -> None:
    for name, entry in components.items():
        if name in known:
            continue
        if name.startswith(OWN):
            ledger.leave(entry, "a component", *OF_GREENGRASS)
        else:
            why = "a deployment only names a component, and its recipe was not given"
            ledger.leave(entry, "a component", why, "give the recipe by --recipe FILE")


def _thing(root: Spot, ledger: Ledger, *, chosen: bool) -> dict[str, Any] | None:
    """Return the target of a deployment to one thing; a group of things is listed."""
    arn = root.get("targetArn")
    if arn is None:
        return None
    _, is_thing, name = (arn.text or "").partition(THING)
    if chosen:
        ledger.leave(arn, "targetArn", "--device or --tag says whom it is for", "nothing")
    elif is_thing and name_of(name, "") == name:
        ledger.change(arn, "targetArn", "the device is one of the workspace", f"enrol the device as `{name}`")
        return {"devices": [name]}
    else:
        why = "a group of things is not known here, nor a thing whose name no device can have"
        ledger.leave(arn, "targetArn", why, "import with --device or --tag")
    return None
