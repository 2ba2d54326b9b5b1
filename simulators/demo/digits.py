"""The demo's data and models: UCI handwritten digits as they ship in scikit-learn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from cloud_hub.sdk import Model, Workspace

SEED = 7
FEATURES = 64
Kind = Literal["logistic", "mlp"]


@dataclass(frozen=True)
class Digits:
    """Images (N x 64, float32, 0 to 16) and labels (N, 0 to 9), split once: 60 % to train."""

    train_images: npt.NDArray[np.float32]
    train_labels: npt.NDArray[np.int64]
    held_out_images: npt.NDArray[np.float32]
    held_out_labels: npt.NDArray[np.int64]


def load() -> Digits:
    """Return the data: 1,797 images that ship inside the package."""
    images, labels = load_digits(return_X_y=True)
    train_x, held_x, train_y, held_y = train_test_split(
        images.astype(np.float32), labels, test_size=0.4, random_state=SEED, stratify=labels
    )
    return Digits(train_x, train_y, held_x, held_y)


def _classifier(kind: Kind) -> tuple[Pipeline, dict[str, str | int | float]]:
    if kind == "logistic":
        parameters: dict[str, str | int | float] = {"C": 0.005, "max_iter": 200}
        return make_pipeline(StandardScaler(), LogisticRegression(**parameters)), parameters
    parameters = {"hidden_layer_sizes": 64, "alpha": 0.01, "max_iter": 400, "random_state": SEED}
    return make_pipeline(StandardScaler(), MLPClassifier(**parameters)), parameters


def train_and_register(workspace: Workspace, digits: Digits, kind: Kind, work_dir: Path) -> Model:
    """Train as a run that logs what it does, convert to ONNX, register with lineage to the run."""
    with workspace.start_run("digits") as run:
        classifier, parameters = _classifier(kind)
        run.log_parameters(kind=kind, train_rows=len(digits.train_labels), **parameters)
        classifier.fit(digits.train_images, digits.train_labels)
        run.log_metric("train_accuracy", classifier.score(digits.train_images, digits.train_labels))
        run.log_metric("held_out_accuracy", classifier.score(digits.held_out_images, digits.held_out_labels))
        path = work_dir / f"digits-{kind}.onnx"
        onnx_model = to_onnx(
            classifier,
            initial_types=[("image", FloatTensorType([None, FEATURES]))],
            options={"zipmap": False},
        )
        path.write_bytes(onnx_model.SerializeToString())
        run.log_output(path)
    return workspace.register_model("digits", path, run=run.id, tags={"kind": kind})


def predict(path: Path, images: npt.NDArray[np.float32]) -> list[int]:
    """Return the labels that the ONNX file gives for ``images``, computed here, without any device."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    labels = session.run([session.get_outputs()[0].name], {"image": images})[0]
    return [int(label) for label in labels]
