"""What the hub answers of secrets and of its audit log, typed."""

from datetime import datetime

import msgspec


class SecretVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a secret's version without its value."""

    version: int
    created_by: str
    created_at: datetime
    destroyed_by: str | None
    destroyed_at: datetime | None


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret's name and versions, from the first; never a value."""

    name: str
    versions: list[SecretVersion]


class SecretValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value on its way to who asked for it; its repr does not show it."""

    value: str

    def __repr__(self) -> str:
        return "SecretValue(hidden)"


class DestroyedVersions(msgspec.Struct, frozen=True, kw_only=True):
    """The versions that are no more."""

    destroyed: list[int]


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change, or one read of a secret; ``at`` is UTC in ISO 8601."""

    sequence: int
    at: str
    principal: str
    action: str
    target: str
    address: str
    request_id: str
    details: dict[str, str]
    mac: str


class AuditFault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong at which entry; 0 is the end of the log itself."""

    sequence: int
    reason: str


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A log's end (note it elsewhere) and what is wrong with it: nothing, where ``faults`` is empty."""

    entries: int
    last: str
    faults: list[AuditFault]
