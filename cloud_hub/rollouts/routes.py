"""HTTP: rollouts."""

from collections.abc import Sequence
from datetime import datetime

from fastapi import Request
from msgspec import UnsetType
from starlette.concurrency import run_in_threadpool

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer
from cloud_hub.errors import ManifestError
from cloud_hub.rollouts.rows import RolloutRow
from cloud_hub.services import Services
from contract.agent_release import ORDERED_AS
from contract.messages import AgentReport, Reported

router = guarded_router(f"{WORKSPACE}/rollouts", "rollouts")
MANIFEST = {"requestBody": {"content": {"application/yaml": {"schema": {"type": "string"}}}}}


class DeviceProgress(Answer):
    """Where one device is: waiting, rolling, running, failed or superseded, and why."""

    device: str
    generation: int
    state: str
    reason: str = ""


class RolloutAnswer(Answer):
    """A rollout in one revision."""

    name: str
    revision: int
    images: dict[str, str]
    created_by: str
    created_at: datetime
    devices: list[DeviceProgress]


class ChangePlanned(Answer):
    """What would become of one module: start, update, settings, stop or keep; its image now and then."""

    module: str
    kind: str
    now: str
    then: str


class DevicePlanned(Answer):
    """What one device would get; ``replaces`` is the rollout that it has now, or an empty text."""

    device: str
    generation: int
    replaces: str
    changed: bool
    changes: list[ChangePlanned]


class PlanAnswer(Answer):
    """What a manifest would do, if it were applied now."""

    name: str
    revision: int
    devices: list[DevicePlanned]


@router.post("", status_code=201, openapi_extra=MANIFEST)
async def apply(request: Request, hub: Hub, who: Who) -> RolloutAnswer:
    """Apply a rollout manifest (YAML in the body)."""
    row = await run_in_threadpool(hub.rollouts.apply, who.workspace, await _manifest(request), who.by)
    (answer,) = await run_in_threadpool(_answers, hub, [row])
    return answer


@router.post("/plan", openapi_extra=MANIFEST)
async def plan(request: Request, hub: Hub, who: Who) -> PlanAnswer:
    """Return what a manifest (YAML in the body) would change; nothing is changed."""
    text = await _manifest(request)
    name, revision, devices = await run_in_threadpool(hub.rollouts.plan, who.workspace, text)
    planned = [DevicePlanned.model_validate(each) for each in devices]
    return PlanAnswer(name=name, revision=revision, devices=planned)


@router.get("")
def rollouts(hub: Hub, who: Who) -> list[RolloutAnswer]:
    """Return every revision, newest first."""
    return _answers(hub, hub.rollouts.all_in(who.workspace))


@router.get("/{rollout}")
def show(rollout: str, hub: Hub, who: Who) -> RolloutAnswer:
    """Return the newest revision of a rollout."""
    (answer,) = _answers(hub, [hub.rollouts.get(who.workspace, rollout)])
    return answer


async def _manifest(request: Request) -> str:
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise ManifestError("not UTF-8 text", fix="Save the file as UTF-8.") from error


def _answers(hub: Services, rows: Sequence[RolloutRow]) -> list[RolloutAnswer]:
    progress = hub.rollouts.progress(rows)
    return [
        RolloutAnswer(
            name=row.name,
            revision=row.revision,
            images=row.images,
            created_by=row.created_by,
            created_at=row.created_at,
            devices=[_device(*one, agent=ORDERED_AS in row.images) for one in progress[row.id]],
        )
        for row in rows
    ]


def _device(
    device: str, generation: int, state: str, reported: Reported | None, *, agent: bool
) -> DeviceProgress:
    reasons = [module.reason for module in reported.modules if module.reason] if reported else []
    if reported is not None and reported.refused is not None:
        reasons.append(reported.refused.reason)
    if reported is not None and isinstance(reported.agent, AgentReport) and reported.agent.reason:
        reasons.append(f"agent: {reported.agent.reason}")
    if reported is not None and agent and isinstance(reported.agent, UnsetType):
        reasons.append("its agent is too old to be updated from here")
    reason = "; ".join(reasons) if state == "failed" else ""
    return DeviceProgress(device=device, generation=generation, state=state, reason=reason)
