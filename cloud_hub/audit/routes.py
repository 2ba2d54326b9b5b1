"""HTTP: the audit log. A workspace's is for its Owners, the hub's own for the administrator."""

import json
from typing import Annotated

from fastapi import Depends, Query
from pydantic import AwareDatetime

from cloud_hub.access.policy import API, WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer
from cloud_hub.audit.chain import Head
from cloud_hub.audit.rows import AuditRow
from cloud_hub.audit.service import Audit, Filters

of_workspace = guarded_router(f"{WORKSPACE}/audit", "audit")
of_hub = guarded_router(f"{API}/audit", "audit")

Limit = Annotated[int, Query(ge=1, le=1000)]
Mac = Annotated[str | None, Query(pattern="^[0-9a-f]{64}$")]
Sequence = Annotated[int | None, Query(ge=1, le=2**62)]


class EntryAnswer(Answer):
    """One entry as it is stored; ``at`` in UTC."""

    sequence: int
    at: str
    principal: str
    action: str
    target: str
    address: str
    request_id: str
    details: dict[str, str]
    mac: str


class FaultAnswer(Answer):
    """What is wrong at which entry; 0 is the head of the chain."""

    sequence: int
    reason: str


class VerdictAnswer(Answer):
    """A chain's end and what is wrong with it: at most 100 faults."""

    entries: int
    last: str
    faults: list[FaultAnswer]


def filters(
    principal: str | None = None,
    action: str | None = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    before_seq: Sequence = None,
) -> Filters:
    """Return which entries the query asks for."""
    return Filters(principal, action, since, until, before_seq)


Asked = Annotated[Filters, Depends(filters)]


@of_workspace.get("")
def entries(hub: Hub, who: Who, asked: Asked, limit: Limit = 100) -> list[EntryAnswer]:
    """Return a workspace's entries, newest first."""
    return [_answer(row) for row in hub.audit.page(who.workspace, asked, limit)]


@of_workspace.get("/verify")
def verify(hub: Hub, who: Who, sequence: Sequence = None, mac: Mac = None) -> VerdictAnswer:
    """Check a workspace's chain, and that it still has the entry that was noted before."""
    return _verdict(hub.audit, who.workspace, sequence, mac)


@of_hub.get("")
def hub_entries(hub: Hub, asked: Asked, limit: Limit = 100) -> list[EntryAnswer]:
    """Return the hub's own entries, newest first."""
    return [_answer(row) for row in hub.audit.page("", asked, limit)]


@of_hub.get("/verify")
def verify_hub(hub: Hub, sequence: Sequence = None, mac: Mac = None) -> VerdictAnswer:
    """Check the hub's own chain, and that it still has the entry that was noted before."""
    return _verdict(hub.audit, "", sequence, mac)


def _verdict(audit: Audit, chain: str, sequence: int | None, mac: str | None) -> VerdictAnswer:
    noted = Head(chain, sequence, mac) if sequence is not None and mac is not None else None
    head = audit.head(chain)
    faults = [FaultAnswer.model_validate(fault) for fault in audit.verify(chain, noted)]
    return VerdictAnswer(entries=head.count, last=head.last, faults=faults)


def _answer(row: AuditRow) -> EntryAnswer:
    values = {name: getattr(row, name) for name in EntryAnswer.model_fields}
    try:
        details = json.loads(row.details)
    except ValueError:
        details = None
    # What was tampered with is shown as it stands: this is where people look for it.
    whole = isinstance(details, dict) and all(isinstance(value, str) for value in details.values())
    return EntryAnswer.model_validate(values | {"details": details if whole else {"": row.details}})
