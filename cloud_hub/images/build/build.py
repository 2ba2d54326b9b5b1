"""Building an image: plan the layers, build those that are not there, write the documents."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cloud_hub.images.build import documents
from cloud_hub.images.build.bases import Asked, Base, BaseSource, HostBases
from cloud_hub.images.build.errors import BuildError
from cloud_hub.images.build.layer_plans import (
    LayerPlan,
    layer_key,
    model_plan,
    script_plan,
    server_plan,
    wheel_plans,
)
from cloud_hub.images.build.layer_tar import stop_if, write_layer
from cloud_hub.images.build.options import GZIP, MEDIA_TYPES, BuildOptions, Compression, checked
from cloud_hub.images.build.ports import (
    BuildInputs,
    BuiltImage,
    Layer,
    LayerStore,
    PlatformImage,
    Progress,
    Wheel,
    WheelSource,
)
from contract.digests import check_digest
from contract.ids import check_name

AS_ASKED: Final = BuildOptions()


@dataclass(frozen=True)
class PlatformPlan:
    """All that goes into the image of one platform."""

    base: Base
    wheels: tuple[Wheel, ...]
    layers: tuple[LayerPlan | Layer, ...]


def build_image(
    inputs: BuildInputs,
    *,
    layers: LayerStore,
    wheels: WheelSource,
    work_dir: Path,
    progress: Progress,
    cancelled: Callable[[], bool],
    options: BuildOptions = AS_ASKED,
    bases: BaseSource | None = None,
    planned: Callable[[Sequence[PlatformPlan]], None] = lambda _: None,
) -> BuiltImage:
    """Build the OCI image of a model for each platform asked for; blocks for seconds.

    ``work_dir`` takes the layer that is being built and is left as it was found. ``cancelled`` is asked
    before each layer and each MiB of it; ``planned`` is told what goes in, while its files can be read.
    Raises `BuildError` and its subclasses, `InvalidNameError` and `InvalidDigestError` for inputs that
    break the contract's rules, and what the layer store raises.
    """
    check_name(inputs.model_name, where="model name")
    check_digest(inputs.model_digest, where="model digest")
    if inputs.model_version < 1:
        raise BuildError("the model's version is not a whole number from 1", where="model version")
    options = checked(options)
    progress = _Growing(progress)
    try:
        with ExitStack() as closing:
            folder = Path(closing.enter_context(tempfile.TemporaryDirectory(dir=work_dir, prefix="image-")))
            plans = _Planner(inputs, wheels, bases or HostBases(), folder, progress, cancelled).plans(
                options, closing
            )
            planned(plans)
            work = _Work(layers, folder, options.compression, progress, cancelled)
            found = work.layers_of(plans)
            image = _write_documents(inputs, plans, found, work.new, layers)
    except OSError as error:
        raise BuildError(
            f"a file could not be read or written: {error.strerror or 'unknown reason'}",
            where="image build",
            fix="Look at the free space and rights of the hub's data folder, then build again.",
        ) from error
    progress(1.0, "Done")
    return image


class _Growing:
    """A `Progress` whose fraction never falls, whatever is said."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._most = progress, 0.0

    def __call__(self, fraction: float, message: str) -> None:
        self._most = max(self._most, fraction)
        self._progress(self._most, message)


@dataclass(frozen=True)
class _Planner:
    """Plans every layer, so that what is wrong with the inputs is said before anything is built."""

    inputs: BuildInputs
    wheels: WheelSource
    bases: BaseSource
    folder: Path
    progress: Progress
    cancelled: Callable[[], bool]

    def plans(self, options: BuildOptions, closing: ExitStack) -> list[PlatformPlan]:
        found = []
        for platform in options.platforms:
            stop_if(self.cancelled)
            self.progress(0.0, f"Base {options.base} for {platform}")
            asked = Asked(options.base, platform, self.folder, self.cancelled, self._say)
            found.append(self._plan(self.bases.base(asked, closing)))
        return found

    def _plan(self, base: Base) -> PlatformPlan:
        # The script first: it is soon read, and most often wrong.
        script = [script_plan(self.inputs.script, base.compiler)] if self.inputs.script is not None else []
        stop_if(self.cancelled)
        self.progress(0.02, f"Fetching Python dependencies for {base.target.platform}")
        wheels = self.wheels.wheels(base.target)
        own = (*wheel_plans(wheels, base.compiler), server_plan(base.compiler), model_plan(self.inputs))
        return PlatformPlan(base, wheels, (*base.layers, *own, *script))

    def _say(self, message: str) -> None:
        self.progress(0.01, message)


class _Work:
    """Builds the layers that are not in the store."""

    def __init__(
        self,
        layers: LayerStore,
        folder: Path,
        compression: Compression,
        progress: Progress,
        cancelled: Callable[[], bool],
    ) -> None:
        self._layers, self._folder, self._compression = layers, folder, compression
        self._progress, self._cancelled = progress, cancelled
        self.new = 0

    def layers_of(self, plans: Sequence[PlatformPlan]) -> list[tuple[Layer, ...]]:
        """Return the layers of each plan; a layer that two platforms share is built once."""
        found = list(self._found(plans))
        stop_if(self._cancelled)
        return found

    def _found(self, plans: Sequence[PlatformPlan]) -> Iterator[tuple[Layer, ...]]:
        total, number, built = sum(len(plan.layers) for plan in plans), 0, dict[str, Layer]()
        for plan in plans:
            layers = []
            for layer in plan.layers:
                stop_if(self._cancelled)
                number += 1
                of = f", {plan.base.target.platform}" if len(plans) > 1 else ""
                done = 0.1 + 0.88 * (number - 1) / total
                self._progress(done, f"Layer {number} of {total}: {layer.title}{of}")
                if isinstance(layer, LayerPlan):
                    built[layer.key] = built.get(layer.key) or self._ensure(layer)
                    layer = built[layer.key]  # noqa: PLW2901  the plan has become its layer
                layers.append(layer)
            yield tuple(layers)

    def _ensure(self, plan: LayerPlan) -> Layer:
        key = plan.key if self._compression == GZIP else layer_key(plan.key, [self._compression])
        known = self._layers.cached(key)
        if known is not None:
            return replace(known, media_type=MEDIA_TYPES[self._compression])
        target = self._folder / "layer"
        with ExitStack() as closing:
            layer = write_layer(
                plan.entries(closing),
                target,
                title=plan.title,
                compression=self._compression,
                cancelled=self._cancelled,
            )
        self._layers.save(key, layer, target)
        target.unlink(missing_ok=True)
        self.new += 1
        return layer


def _write_documents(
    inputs: BuildInputs,
    plans: Sequence[PlatformPlan],
    found: Sequence[tuple[Layer, ...]],
    new: int,
    store: LayerStore,
) -> BuiltImage:
    """Write the configurations, the manifests and the index, each after what it refers to."""
    name, version, model_digest = inputs.model_name, inputs.model_version, inputs.model_digest
    labels = documents.labels(name=name, version=version, model_digest=model_digest)
    manifests, images, own_bytes = [], [], 0
    for plan, layers in zip(plans, found, strict=True):
        base = plan.base
        config = documents.image_config(
            name=name,
            version=version,
            model_digest=model_digest,
            platform=base.target.platform,
            python=base.python,
            base_environment=base.environment,
            has_script=inputs.script is not None,
            layers=layers,
        )
        manifest = documents.image_manifest(
            config, layers, labels | documents.base_of(base.name, base.digest)
        )
        size_bytes = len(config) + len(manifest)
        own_bytes += size_bytes
        images.append(
            PlatformImage(
                platform=base.target.platform,
                config_digest=store.save_blob(config),
                manifest_digest=store.save_blob(manifest),
                layers=layers,
                size_bytes=size_bytes + sum({layer.digest: layer.size_bytes for layer in layers}.values()),
            )
        )
        manifests.append((base.target.platform, manifest))
    index = documents.image_index(manifests, labels)
    distinct = {layer.digest: layer.size_bytes for layers in found for layer in layers}
    return BuiltImage(
        index_digest=store.save_blob(index),
        manifests=tuple(images),
        size_bytes=len(index) + own_bytes + sum(distinct.values()),
        new_layers=new,
    )
