"""HTTP: the hub's processes, for its administrator, and whether one works, for what stands before them."""

from datetime import datetime

from sqlalchemy import literal, select

from cloud_hub.access.policy import API
from cloud_hub.api.auth import Hub, guarded_router
from cloud_hub.api.schemas import Answer
from cloud_hub.broker.errors import BrokerUnavailableError

router = guarded_router(f"{API}/hub", "hub")


class ProcessAnswer(Answer):
    """A hub process: ``here`` where it was seen lately, ``work`` what it does for all of them."""

    address: str
    release: str
    started_at: datetime
    seen_at: datetime
    here: bool
    work: list[str]


class ReadyAnswer(Answer):
    """Whether a process can serve: nothing else is answered."""

    ready: bool


@router.get("/ready")
def ready(hub: Hub) -> ReadyAnswer:
    """Say that this process has its rows and its broker; a problem where it has not."""
    with hub.database.reading() as session:
        session.execute(select(literal(1)))
    if not hub.broker_connected():
        raise BrokerUnavailableError("the broker does not answer", fix="It is started again by itself.")
    return ReadyAnswer(ready=True)


@router.get("/processes")
def processes(hub: Hub) -> list[ProcessAnswer]:
    """Return the processes that this hub is."""
    return [ProcessAnswer.model_validate(each) for each in hub.share.members()]
