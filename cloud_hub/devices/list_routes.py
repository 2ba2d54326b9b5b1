"""HTTP: a whole list of devices invited at once."""

from datetime import timedelta
from typing import Annotated

from fastapi import Query, Request
from starlette.concurrency import run_in_threadpool

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Grant, Hub, Who, guarded_router
from cloud_hub.api.schemas import has_bad_text
from cloud_hub.devices.lists import Kind, read_list
from cloud_hub.devices.routes import InvitationAnswer
from cloud_hub.errors import DeviceListError
from cloud_hub.services import Services

router = guarded_router(f"{WORKSPACE}/device-invitations", "devices")
KINDS: dict[str, Kind] = {"text/csv": "csv", "application/yaml": "yaml"}
LIST = {"requestBody": {"content": {kind: {"schema": {"type": "string"}} for kind in KINDS}}}
Hours = Annotated[int, Query(ge=1, le=24 * 30)]


@router.post("", status_code=201, openapi_extra=LIST)
async def invite_all(request: Request, hub: Hub, who: Who, hours: Hours = 24) -> list[InvitationAnswer]:
    """Pre-register the devices of a list (CSV or YAML in the body) and make their tokens: all or none."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in KINDS:
        raise DeviceListError("neither CSV nor YAML", where="Content-Type", fix=f"Send {' or '.join(KINDS)}.")
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise DeviceListError("not UTF-8 text", fix="Save the file as UTF-8.") from error
    if has_bad_text(text):
        raise DeviceListError("a text holds a zero byte", fix="Save the file as UTF-8.")
    return await run_in_threadpool(_invite_all, hub, who, text, KINDS[kind], timedelta(hours=hours))


def _invite_all(
    hub: Services, who: Grant, text: str, kind: Kind, lifetime: timedelta
) -> list[InvitationAnswer]:
    made = hub.devices.invite_all(who.workspace, read_list(text, kind), lifetime, who.by)
    return [InvitationAnswer.model_validate(invitation) for invitation in made]
