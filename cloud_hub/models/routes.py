"""HTTP: the model registry."""

from datetime import datetime
from typing import Any

from pydantic import Field

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer, Ask
from contract.digests import check_digest
from contract.ids import split_versioned

router = guarded_router(f"{WORKSPACE}/models", "models")


class ModelAsk(Ask):
    """A model to register: its uploaded bytes and where it came from."""

    name: str
    digest: str
    file_name: str = Field(default="model.onnx", max_length=300)
    run: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)


class ModelAnswer(Answer):
    """One version of a model."""

    name: str
    version: int
    digest: str
    size_bytes: int
    framework: str
    signature: dict[str, Any]
    tags: dict[str, str]
    run: str | None
    created_by: str
    created_at: datetime


@router.post("", status_code=201)
def register(ask: ModelAsk, hub: Hub, who: Who) -> ModelAnswer:
    """Register the next version of a model."""
    row = hub.models.register(
        who.workspace,
        ask.name,
        check_digest(ask.digest, where="digest"),
        run=ask.run,
        tags=dict(ask.tags),
        principal=who.caller.principal,
        file_name=ask.file_name,
    )
    return ModelAnswer.model_validate(row)


@router.get("")
def models(hub: Hub, who: Who) -> list[ModelAnswer]:
    """Return all versions."""
    return [ModelAnswer.model_validate(row) for row in hub.models.all_in(who.workspace)]


@router.get("/{model}")
def show(model: str, hub: Hub, who: Who) -> ModelAnswer:
    """Return ``name`` (its newest version) or ``name:version``."""
    name, version = split_versioned(model, where="model")
    return ModelAnswer.model_validate(hub.models.get(who.workspace, name, version))
