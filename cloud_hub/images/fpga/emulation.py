"""`make_fpga`: from an ONNX file to what an image of kind ``fpga`` holds besides it."""

import hashlib
import importlib.util
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from cloud_hub.confinement.errors import ChildLostError
from cloud_hub.confinement.limits import MIB, ChildLimits
from cloud_hub.confinement.run import run_confined
from cloud_hub.images.build.errors import BuildCancelledError, OptionRefusedError
from cloud_hub.images.build.options import own_platform
from cloud_hub.images.build.pip_wheels import package_folders
from cloud_hub.images.build.ports import BuildInputs, InputFile, Progress
from cloud_hub.images.fpga.agreement import FORMAT, Agreement, as_json, as_table
from cloud_hub.images.fpga.errors import (
    FpgaDataRefusedError,
    FpgaFailedError,
    FpgaModelRefusedError,
    FpgaUnavailableError,
)
from cloud_hub.images.fpga.options import FpgaOptions, checked
from cloud_hub.images.fpga.project_tar import write_project_tar
from contract.digests import sha256
from contract.encoding import canonical

FOLDER: Final = "fpga"
CONVERTING: Final = ChildLimits(3072 * MIB, cpu_s=300, wall_s=1200, file_bytes=256 * MIB, open_files=64)
COMPILING: Final = replace(CONVERTING, memory_bytes=4096 * MIB, cpu_s=600, wall_s=2400, may_fork=True)
MEASURING: Final = replace(CONVERTING, file_bytes=0)


@dataclass(frozen=True)
class Inputs:
    """What the emulation is measured on: a ``file`` (.npz), else random numbers within ``ranges``.

    ``ranges`` are (lowest, highest) of each number of a row, as a baseline has them.
    """

    file: Path | None = None
    ranges: Sequence[tuple[float, float]] | None = None


@dataclass(frozen=True)
class FpgaParts:
    """Files for the model's folder, the script that scores with them, and what was measured."""

    files: tuple[InputFile, ...]
    script: Path
    agreement: Agreement


def make_fpga(
    model_file: Path,
    options: FpgaOptions,
    *,
    inputs: Inputs,
    work_dir: Path,
    progress: Progress,
    cancelled: Callable[[], bool],
) -> FpgaParts:
    """Convert, compile and measure; blocks for a minute. The files are below ``work_dir``, which stays.

    Raises `FpgaUnavailableError`, `FpgaModelRefusedError`, `FpgaDataRefusedError`, `FpgaFailedError`,
    `OptionRefusedError` and `BuildCancelledError`.
    """
    options = checked(options)
    compiler = _compiler()
    made = Making(work_dir, cancelled)
    progress(0.0, "HLS project by hls4ml")
    made.convert(model_file, options)
    progress(0.0, "Emulation: compiling the HLS project's C++")
    made.compile(compiler)
    progress(0.0, "Emulation: measuring it against the float model")
    agreement = made.measure(model_file, inputs)
    for line in as_table(agreement).splitlines():
        progress(0.0, line)
    return FpgaParts(made.files(), scoring_script(), agreement)


def with_fpga(inputs: BuildInputs, parts: FpgaParts) -> BuildInputs:
    """Return the inputs of a build whose model's folder also has ``parts``, scored by their script."""
    own = inputs.model_files or (InputFile("model.onnx", inputs.model_file, inputs.model_digest),)
    taken = [one.path for one in own if one.path.split("/")[0].casefold() == FOLDER]
    if inputs.script is not None or taken:
        raise OptionRefusedError(
            "an image of kind fpga has a scoring script and a folder fpga/ of its own",
            where=taken[0] if taken else "score.py",
            fix="Leave out --script, and name the model's files otherwise.",
        )
    files = (*own, *parts.files)
    listing = sorted([one.path, one.digest] for one in files)
    digest = sha256(canonical([FOLDER, listing]))
    return replace(inputs, model_files=files, model_digest=digest, script=parts.script)


def ranges_in(baseline: Mapping[str, Any]) -> list[tuple[float, float]] | None:
    """Return lowest and highest of each feature of a baseline's document; None where one has no numbers."""
    found = [(one["min"], one["max"]) for one in baseline["features"]]
    return None if any(low is None or high is None for low, high in found) else found


def require_own_platform(platforms: Sequence[str]) -> None:
    """Raise `OptionRefusedError` for a platform whose code this machine cannot run, and so not measure."""
    others = sorted(set(platforms) - {own_platform()})
    if others:
        raise OptionRefusedError(
            f"the emulation is compiled and measured on this machine, a {platform.machine()}",
            where=", ".join(others),
            fix=f"Build for {own_platform()}, or build on a hub of that kind.",
        )


def scoring_script() -> Path:
    """Return the script of an image of kind ``fpga``, without importing it."""
    for folder in package_folders("modules"):
        if (folder / "fpga" / "score.py").is_file():
            return folder / "fpga" / "score.py"
    raise FpgaUnavailableError(
        "a file of Headland is missing", where="modules/fpga/score.py", fix="Install Headland again."
    )


def _compiler() -> str:
    if importlib.util.find_spec("hls4ml") is None:
        raise FpgaUnavailableError(
            "hls4ml is not installed on this hub", where="kind fpga", fix="pip install 'headland[fpga]'"
        )
    found = shutil.which("g++")
    if found is None:
        raise FpgaUnavailableError(
            "there is no C++ compiler on this hub",
            where="kind fpga",
            fix="Install g++ (Debian: apt install g++) where the hub runs.",
        )
    return found


class Making:
    """The three steps, each in a child of its own, over one folder."""

    def __init__(self, work_dir: Path, cancelled: Callable[[], bool]) -> None:
        self._folder = work_dir.resolve() / FOLDER
        self._folder.mkdir(exist_ok=True)
        self._project = self._folder / "project"
        self._cancelled = cancelled

    def convert(self, model_file: Path, options: FpgaOptions) -> None:
        """Write the HLS project."""
        request = {"folder": str(self._folder), "model": str(model_file.resolve()), **asdict(options)}
        answer = self._run("converting", "hls4ml", request, CONVERTING)
        if "refused" in answer:
            raise FpgaModelRefusedError(**answer["refused"])

    def compile(self, compiler: str) -> None:
        """Compile the project, and put what the emulation needs beside it."""
        request = {"folder": str(self._project), "compiler": compiler}
        answer = self._run("compiling", "g++", request, COMPILING)
        if "failed" in answer:
            raise FpgaFailedError(
                f"the HLS project does not compile: {answer['failed']}",
                where="g++",
                fix="Choose other options.",
            )
        shutil.copytree(self._project / "firmware" / "weights", self._folder / "weights")
        shutil.copyfile(self._project / "headland.json", self._folder / "headland.json")
        write_project_tar(self._project, self._folder / "project.tar.gz", "project")

    def measure(self, model_file: Path, inputs: Inputs) -> Agreement:
        """Run emulation and float model, write ``agreement.json`` and return it."""
        ranges = [list(one) for one in inputs.ranges] if inputs.ranges else None
        request = {
            "folder": str(self._folder),
            "model": str(model_file.resolve()),
            "script": str(scoring_script()),
            "data": str(inputs.file.resolve()) if inputs.file else None,
            "ranges": ranges,
        }
        answer = self._run("measuring", "the emulation", request, MEASURING)
        if "refused" in answer:
            raise FpgaDataRefusedError(
                answer["refused"],
                where="fpga data",
                fix="Give an .npz with an array of rows for each input of the model.",
            )
        data = _described(answer.pop("inputs"), inputs)
        agreement = msgspec.convert({"format": FORMAT, "data": data, **answer}, Agreement)
        (self._folder / "agreement.json").write_bytes(as_json(agreement))
        return agreement

    def files(self) -> tuple[InputFile, ...]:
        """Return all files of the model's folder, sorted."""
        found = [self._folder / name for name in ("agreement.json", "emulation.so", "headland.json")]
        found += [self._folder / "project.tar.gz", *sorted((self._folder / "weights").glob("*.txt"))]
        return tuple(
            InputFile(f"{FOLDER}/{one.relative_to(self._folder).as_posix()}", one, _digest(one))
            for one in found
        )

    def _run(self, step: str, who: str, request: dict[str, Any], limits: ChildLimits) -> dict[str, Any]:
        try:
            answer = run_confined(f"{__package__}.{step}", request, limits, cancelled=self._cancelled)
        except ChildLostError as error:
            if error.ending == "cancelled":
                raise BuildCancelledError(
                    "the build was cancelled", where=who, fix="Start it again."
                ) from error
            raise FpgaFailedError(
                f"{who} did not end as it should: {error.what}", where=step, fix="Use a smaller model."
            ) from error
        return dict(answer)


def _described(kind: str, inputs: Inputs) -> str:
    if inputs.file is not None:
        return f"the data set {_digest(inputs.file)}"
    if kind == "ranges":
        return "random inputs, uniform within the ranges of the model's baseline, seed 0"
    return (
        "random inputs, uniform from -1 to 1, seed 0: there was neither a data set nor a baseline that fits"
    )


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
