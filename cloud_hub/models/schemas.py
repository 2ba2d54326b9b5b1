"""What goes over HTTP of models."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from cloud_hub.api.schemas import Answer, Ask
from cloud_hub.api.version_query import Texts, VersionQuery
from cloud_hub.models.files import MOST_FILES
from cloud_hub.models.search import Search


class FileAsk(Ask):
    """A file of a model, uploaded before."""

    path: str
    digest: str


class ModelAsk(Ask):
    """A model to register, and where it came from.

    Either one file, by ``digest`` and ``file_name``, or a folder's ``files``. Without ``framework`` it
    must be ONNX. Pickles run code when they are loaded, so they are refused unless ``allow_pickle``.
    ``baseline`` is the JSON of `contract.baseline.Baseline`.
    """

    name: str
    digest: str | None = None
    file_name: str = Field(default="model.onnx", max_length=300)
    files: Annotated[list[FileAsk], Field(min_length=1, max_length=MOST_FILES)] | None = None
    description: str = ""
    tags: dict[str, str] = Field(default_factory=dict)
    properties: dict[str, str] = Field(default_factory=dict)
    framework: str | None = None
    allow_pickle: bool = False
    run: str | None = None
    baseline: dict[str, Any] | None = None


class ChangeAsk(Ask):
    """What to change; a tag of null is taken away, the others stay."""

    description: str | None = None
    tags: dict[str, str | None] = Field(default_factory=dict)


class ModelQuery(VersionQuery):
    """Which models to find; a property is ``key=value`` or ``key``."""

    property: Texts = Field(default_factory=list)
    framework: str | None = None
    run: str | None = None
    experiment: str | None = None

    def search(self) -> Search:
        """Return what to find."""
        found = self.wanted()
        return Search(**found | {"properties": found.pop("property")})


class FileAnswer(Answer):
    """One file of a model."""

    path: str
    digest: str
    size_bytes: int


class ModelAnswer(Answer):
    """One version of a model."""

    name: str
    version: int
    description: str
    folder: bool
    digest: str
    size_bytes: int
    framework: str
    signature: dict[str, Any]
    pickled: bool
    tags: dict[str, str]
    properties: dict[str, str]
    files: list[FileAnswer]
    run: str | None
    created_by: str
    created_at: datetime


class ModelPage(Answer):
    """Some models, and the cursor of those behind them."""

    items: list[ModelAnswer]
    next: str | None


class RunLineageAnswer(Answer):
    """The run that made a model; of each metric the value logged last."""

    id: str
    experiment: str
    parent: str | None
    status: str
    parameters: dict[str, Any]
    metrics: dict[str, float]
    source: dict[str, str]


class DeviceUseAnswer(Answer):
    """A device whose module shall run, or runs, an image of the model."""

    device: str
    module: str
    image: str
    desired: bool
    reported: bool
    state: str | None


class LineageAnswer(Answer):
    """Where a model comes from, and where it has gone."""

    run: RunLineageAnswer | None
    images: list[str]
    devices: list[DeviceUseAnswer]
