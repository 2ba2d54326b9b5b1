"""The layers of an image in their order, each with the key that stands for all its inputs."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_hub.images.build.base_layer import collect_base
from cloud_hub.images.build.bytecode import Compiler
from cloud_hub.images.build.errors import BuildError, ScriptRefusedError
from cloud_hub.images.build.interpreter import Interpreter
from cloud_hub.images.build.layer_tar import Directory, Entry, File, Link, from_bytes, from_path
from cloud_hub.images.build.layout import APP, FORMAT, MODEL_DIR, SCRIPT
from cloud_hub.images.build.pip_wheels import package_folders
from cloud_hub.images.build.ports import BuildInputs, Wheel
from cloud_hub.images.build.wheel_files import WheelFiles, in_layers, look_through
from contract.digests import sha256
from contract.encoding import canonical

SCRIPT_LIMIT_BYTES: Final = 1 << 20

Opening = Callable[[ExitStack], Iterable[Entry]]


@dataclass(frozen=True)
class LayerPlan:
    """A layer to be had: its title, its key, and how to open its entries if it must be built."""

    title: str
    key: str
    entries: Opening


def host_plan(interpreter: Interpreter, compiler: Compiler) -> LayerPlan:
    """Plan the layer of the runtime; reads every file of it once."""
    found = collect_base(interpreter)
    return _plan("runtime", _named(found), compiler, lambda _: compiler.beside(found))


def wheel_plans(wheels: Sequence[Wheel], compiler: Compiler) -> list[LayerPlan]:
    """Plan the layers of the Python dependencies; raises `WheelRefusedError`."""
    plans = []
    for group in in_layers(look_through(wheel) for wheel in wheels):

        def entries(closing: ExitStack, group: tuple[WheelFiles, ...] = group) -> list[Entry]:
            return compiler.beside(entry for files in group for entry in files.entries(closing))

        alone = len(group) == 1
        title = group[0].wheel.filename.split("-")[0] if alone else "small Python packages"
        plans.append(_plan(title, [files.wheel.digest for files in group], compiler, entries))
    return plans


def server_plan(compiler: Compiler) -> LayerPlan:
    """Plan the layer of the scoring server, from the installed packages; nothing is imported."""
    found = [*_package("contract", ""), *_package("modules", "serving")]
    return _plan("scoring server", _named(found), compiler, lambda _: compiler.beside(found))


def model_plan(inputs: BuildInputs) -> LayerPlan:
    """Plan the layer of the model; that files have their digests is checked while they are written."""
    digest = inputs.model_digest
    if not inputs.model_files:
        entry = File(f"{MODEL_DIR}/model.onnx", from_path(inputs.model_file), 0o644, digest)
        return LayerPlan("model", layer_key("model", [digest]), lambda _: [entry])
    entries = [
        File(f"{MODEL_DIR}/{one.path}", from_path(one.file), 0o644, one.digest) for one in inputs.model_files
    ]
    return LayerPlan("model", layer_key("model", ["folder", digest]), lambda _: entries)


def script_plan(file: Path, compiler: Compiler) -> LayerPlan:
    """Plan the layer of the scoring script; raises `ScriptRefusedError` if it is not Python.

    Its source is compiled in a child process and never run here.
    """
    with file.open("rb") as stream:
        source = stream.read(SCRIPT_LIMIT_BYTES + 1)
    if len(source) > SCRIPT_LIMIT_BYTES:
        raise ScriptRefusedError(
            f"the scoring script is larger than {SCRIPT_LIMIT_BYTES} bytes",
            where="score.py",
            fix="Put data into the model's folder.",
        )
    try:
        compiled, reason = compiler.compile(SCRIPT, source)
    except BuildError as error:
        raise ScriptRefusedError(
            "Python could not read the scoring script", where="score.py", fix="Make it smaller and simpler."
        ) from error
    if compiled is None:
        raise ScriptRefusedError(
            f"the scoring script is not valid Python, {reason}", where="score.py", fix="Correct that line."
        )
    digest = sha256(source)
    found = [File(SCRIPT, from_bytes(source), 0o644, digest)]
    key = layer_key("script", [digest, *compiler.identity])
    return LayerPlan("scoring script", key, lambda _: compiler.beside(found))


def _package(name: str, only: str) -> list[Entry]:
    """Return the files of an installed package; with ``only``, its __init__ and that one below it."""
    for root in package_folders(name):
        if not (root / only / "__init__.py").is_file():
            continue
        paths = {root / "__init__.py", *(path for path in (root / only).rglob("*") if _is_source(path))}
        return [
            File(
                f"{APP}/{name}/{path.relative_to(root).as_posix()}",
                from_path(path),
                0o644,
                sha256(path.read_bytes()),
            )
            for path in sorted(paths)
            if path.is_file()
        ]
    raise BuildError("a package of Headland is missing", where=name, fix="Install Headland again.")


def _is_source(path: Path) -> bool:
    return path.suffix in {".py", ".json"} or path.name == "py.typed"


def _named(entries: Iterable[Entry]) -> list[object]:
    rows: list[object] = []
    for entry in entries:
        match entry:
            case File():
                rows.append([entry.path, entry.mode, entry.digest])
            case Directory():
                rows.append([entry.path, entry.mode])
            case Link():
                rows.append([entry.path, entry.target])
    return rows


def _plan(title: str, inputs: Sequence[object], compiler: Compiler, entries: Opening) -> LayerPlan:
    """Plan a layer with bytecode, which depends on the Python that compiles it."""
    return LayerPlan(title, layer_key(title, [*inputs, *compiler.identity]), entries)


def layer_key(title: str, inputs: Sequence[object]) -> str:
    """Return the key of a layer made of ``inputs``."""
    return sha256(canonical([FORMAT, title, inputs]))
