"""HTTP: rollouts."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer
from cloud_hub.errors import ManifestError
from cloud_hub.rollouts.progress import DeviceState, reason_of
from cloud_hub.rollouts.rows import RolloutRow
from cloud_hub.rollouts.standing import rules_of
from cloud_hub.rollouts.strategy import AWAY_S
from cloud_hub.rollouts.waves import Rules
from cloud_hub.services import Services
from contract.agent_release import ORDERED_AS

router = guarded_router(f"{WORKSPACE}/rollouts", "rollouts")
MANIFEST = {"requestBody": {"content": {"application/yaml": {"schema": {"type": "string"}}}}}


class DeviceProgress(Answer):
    """Where one device is, and why; ``wave`` counts from 1, ``generation`` is null before its turn."""

    device: str
    wave: int
    generation: int | None
    state: str
    reason: str = ""


class RolloutAnswer(Answer):
    """A rollout in one revision: where it stands, in which of its waves (from 1), and why there."""

    name: str
    revision: int
    images: dict[str, str]
    created_by: str
    created_at: datetime
    state: str
    wave: int
    waves: int
    settled_at: datetime | None
    bake_seconds: float
    reason: str
    devices: list[DeviceProgress]


class EventAnswer(Answer):
    """What became of a rollout, when, in which wave (from 1), and who did it where it was a person."""

    at: datetime
    state: str
    wave: int
    by: str | None
    words: str


class ChangePlanned(Answer):
    """What would become of one module: start, update, settings, stop or keep; its image now and then."""

    module: str
    kind: str
    now: str
    then: str


class DevicePlanned(Answer):
    """What one device would get; ``replaces`` is the rollout that it has now, or an empty text."""

    device: str
    wave: int
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
    planned = [DevicePlanned.model_validate(replace(each, wave=each.wave + 1)) for each in devices]
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


@router.get("/{rollout}/events")
def events(rollout: str, hub: Hub, who: Who) -> list[EventAnswer]:
    """Return what became of the newest revision, oldest first."""
    return [
        EventAnswer(at=row.at, state=row.state, wave=row.wave + 1, by=row.by, words=row.words)
        for row in hub.rollouts.events(who.workspace, rollout)
    ]


@router.post("/{rollout}/pause")
def pause(rollout: str, hub: Hub, who: Who) -> RolloutAnswer:
    """Give no further device its document."""
    return _steered(hub, hub.steering.pause(who.workspace, rollout, who.by))


@router.post("/{rollout}/resume")
def resume(rollout: str, hub: Hub, who: Who) -> RolloutAnswer:
    """Go on with a paused rollout; devices that failed until now do not hold it up again."""
    return _steered(hub, hub.steering.resume(who.workspace, rollout, who.by))


@router.post("/{rollout}/abort")
def abort(rollout: str, hub: Hub, who: Who) -> RolloutAnswer:
    """Give each device back what it had before, unless another rollout has it by now."""
    return _steered(hub, hub.steering.abort(who.workspace, rollout, who.by))


@router.post("/{rollout}/approval")
def approve(rollout: str, hub: Hub, who: Who) -> RolloutAnswer:
    """Let the wave begin that waits for an Owner."""
    return _steered(hub, hub.steering.approve(who.workspace, rollout, who.by))


def _steered(hub: Services, row: RolloutRow) -> RolloutAnswer:
    (answer,) = _answers(hub, [row])
    return answer


async def _manifest(request: Request) -> str:
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise ManifestError("not UTF-8 text", fix="Save the file as UTF-8.") from error


def _answers(hub: Services, rows: Sequence[RolloutRow]) -> list[RolloutAnswer]:
    progress = hub.rollouts.progress(rows)
    return [_answer(row, progress[row.id]) for row in rows]


def _answer(row: RolloutRow, devices: Sequence[DeviceState]) -> RolloutAnswer:
    rules = rules_of(row) if row.rules is not None else None
    return RolloutAnswer(
        name=row.name,
        revision=row.revision,
        images=row.images,
        created_by=row.created_by,
        created_at=row.created_at,
        state=row.state,
        wave=row.wave + 1,
        waves=rules.waves if rules is not None else 1,
        settled_at=row.settled_at,
        bake_seconds=rules.bake_s if rules is not None else 0,
        reason=row.reason,
        devices=[_device(each, row, rules) for each in devices],
    )


def _device(each: DeviceState, row: RolloutRow, rules: Rules | None) -> DeviceProgress:
    agent = ORDERED_AS in row.images
    reason = reason_of(each.reported, agent=agent) if each.state == "failed" else ""
    away = each.is_away(rules.away_s if rules is not None else AWAY_S, datetime.now(UTC))
    return DeviceProgress(
        device=each.device,
        wave=each.wave + 1,
        generation=each.generation,
        state="away" if away else each.state,
        reason=reason,
    )
