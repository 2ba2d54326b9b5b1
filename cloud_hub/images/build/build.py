"""Building an image: plan the layers, build those that are not there, write the documents."""

import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from cloud_hub.images.build import documents
from cloud_hub.images.build.bytecode import Compiler
from cloud_hub.images.build.errors import BuildCancelledError, BuildError
from cloud_hub.images.build.interpreter import running_interpreter
from cloud_hub.images.build.layer_plans import (
    LayerPlan,
    base_plan,
    model_plan,
    script_plan,
    server_plan,
    wheel_plans,
)
from cloud_hub.images.build.layer_tar import write_layer
from cloud_hub.images.build.ports import BuildInputs, BuiltImage, Layer, LayerStore, Progress, WheelSource
from contract.digests import check_digest
from contract.ids import check_name
from contract.oci import architecture_of


def build_image(
    inputs: BuildInputs,
    *,
    layers: LayerStore,
    wheels: WheelSource,
    work_dir: Path,
    progress: Progress,
    cancelled: Callable[[], bool],
) -> BuiltImage:
    """Build the OCI image of a model for this machine's platform; blocks for seconds.

    ``work_dir`` takes the layer that is being built and is left as it was found. ``cancelled`` is asked
    before each layer. Raises `BuildError` and its subclasses, `InvalidNameError` and `InvalidDigestError`
    for inputs that break the contract's rules, and what the layer store raises.
    """
    check_name(inputs.model_name, where="model name")
    check_digest(inputs.model_digest, where="model digest")
    if inputs.model_version < 1:
        raise BuildError("the model's version is not a whole number from 1", where="model version")
    try:
        with ExitStack() as closing:
            folder = Path(closing.enter_context(tempfile.TemporaryDirectory(dir=work_dir, prefix="image-")))
            found, new = [], 0
            for plan in _announced(_plans(inputs, wheels, progress, cancelled, closing), progress, cancelled):
                layer, is_new = _ensure(plan, layers, folder)
                found.append(layer)
                new += is_new
            image = _write_documents(inputs, tuple(found), new, layers)
    except OSError as error:
        raise BuildError(
            f"a file could not be read or written: {error.strerror or 'unknown reason'}",
            where="image build",
            fix="Look at the free space and rights of the hub's data folder, then build again.",
        ) from error
    progress(1.0, "Done")
    return image


def _plans(
    inputs: BuildInputs,
    wheels: WheelSource,
    progress: Progress,
    cancelled: Callable[[], bool],
    closing: ExitStack,
) -> list[LayerPlan]:
    """Plan every layer, so that what is wrong with the inputs is said before anything is built."""
    progress(0.0, "Looking at the Python runtime")
    interpreter = running_interpreter()
    compiler = closing.enter_context(Compiler(interpreter.executable, cache_tag=interpreter.facts.cache_tag))
    script = [script_plan(inputs.script, compiler)] if inputs.script is not None else []
    base = base_plan(interpreter, compiler)
    _stop_if(cancelled)
    progress(0.02, "Fetching Python dependencies")
    dependencies = wheel_plans(wheels.wheels(), interpreter, compiler)
    model = model_plan(inputs)
    return [base, *dependencies, server_plan(interpreter, compiler), model, *script]


def _announced(
    plans: list[LayerPlan], progress: Progress, cancelled: Callable[[], bool]
) -> Iterator[LayerPlan]:
    for number, plan in enumerate(plans):
        _stop_if(cancelled)
        progress(0.1 + 0.88 * number / len(plans), f"Layer {number + 1} of {len(plans)}: {plan.title}")
        yield plan
    _stop_if(cancelled)


def _stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise BuildCancelledError("the build was cancelled", where="image build", fix="Start it again.")


def _ensure(plan: LayerPlan, layers: LayerStore, folder: Path) -> tuple[Layer, bool]:
    """Return the layer of a plan, and whether it had to be built."""
    known = layers.cached(plan.key)
    if known is not None:
        return known, False
    target = folder / "layer.tar.gz"
    with ExitStack() as closing:
        layer = write_layer(plan.entries(closing), target, title=plan.title)
    layers.save(plan.key, layer, target)
    target.unlink(missing_ok=True)
    return layer, True


def _write_documents(
    inputs: BuildInputs, found: tuple[Layer, ...], new: int, layers: LayerStore
) -> BuiltImage:
    """Write the configuration, the manifest and the index, each after what it refers to."""
    architecture = architecture_of(platform.machine())
    name, version, model_digest = inputs.model_name, inputs.model_version, inputs.model_digest
    annotations = documents.labels(name=name, version=version, model_digest=model_digest)
    config = documents.image_config(
        name=name,
        version=version,
        model_digest=model_digest,
        architecture=architecture,
        has_script=inputs.script is not None,
        layers=found,
    )
    manifest = documents.image_manifest(config, found, annotations)
    index = documents.image_index(manifest, architecture, annotations)
    documents_size_bytes = len(config) + len(manifest) + len(index)
    return BuiltImage(
        config_digest=layers.save_blob(config),
        manifest_digest=layers.save_blob(manifest),
        index_digest=layers.save_blob(index),
        layers=found,
        size_bytes=documents_size_bytes + sum(layer.size_bytes for layer in found),
        new_layers=new,
    )
