"""Loading an ONNX file with onnxruntime."""

from pathlib import Path
from typing import Final

import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from modules.serving.errors import ModelUnusableError
from modules.serving.model import OnnxModel

_LOG_NOTHING_BUT_FATAL: Final = 4


def load_model(folder: Path, threads: int) -> OnnxModel:
    """Load the one ``*.onnx`` file below ``folder``; raises `ModelUnusableError`.

    Weights that it keeps in other files are read from beside it; that they lie in the model's folder
    was checked when it was registered, and onnxruntime refuses what leads out of it.
    """
    if not folder.is_dir():
        raise ModelUnusableError(
            "there is no such folder", where=str(folder), fix="Set AZUREML_MODEL_DIR to the model's folder."
        )
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".onnx" and path.is_file())
    if len(files) != 1:
        raise ModelUnusableError(
            f"the folder holds {len(files)} *.onnx files, not one",
            where=str(folder),
            fix="Leave one ONNX file in it, or set HEADLAND_SCRIPT to a score.py that chooses.",
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # The runtime's own messages may repeat values of the input; ours say where and what kind.
    options.log_severity_level = _LOG_NOTHING_BUT_FATAL
    try:
        session = ort.InferenceSession(str(files[0]), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelUnusableError(
            f"the file is not a usable ONNX model: {error}", where=str(files[0])
        ) from error
    return OnnxModel(session, InvalidArgument)
