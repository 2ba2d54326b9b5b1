"""HTTP: secrets.

Names are for Readers, values for Contributors: whoever may roll code out may learn what it is given.
What cannot be undone, destroying, takes an Owner.
"""

from datetime import datetime

from fastapi import Response
from pydantic import SecretStr

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer, Ask
from cloud_hub.secrets.text import SecretText
from contract.ids import check_name, split_versioned

router = guarded_router(f"{WORKSPACE}/secrets", "secrets")


class ValueAsk(Ask):
    """A new value: 1 to 65,536 bytes of text."""

    value: SecretStr


class SecretVersionAnswer(Answer):
    """What is known of a version without its value."""

    version: int
    created_by: str
    created_at: datetime
    destroyed_by: str | None
    destroyed_at: datetime | None


class SecretAnswer(Answer):
    """A secret and its versions, from the first; no value."""

    name: str
    versions: list[SecretVersionAnswer]


class ValueAnswer(Answer):
    """A value."""

    name: str
    version: int
    value: str


class DestroyedAnswer(Answer):
    """The versions that are no more."""

    name: str
    destroyed: list[int]


@router.get("")
def secrets(hub: Hub, who: Who) -> list[SecretAnswer]:
    """Return the secrets by name."""
    return [SecretAnswer.model_validate(info) for info in hub.secrets.all_in(who.workspace)]


@router.get("/{secret}")
def show(secret: str, hub: Hub, who: Who) -> SecretAnswer:
    """Return one secret's versions."""
    return SecretAnswer.model_validate(
        hub.secrets.get(who.workspace, check_name(secret, where="secret name"))
    )


@router.put("/{secret}", status_code=201)
def write(secret: str, ask: ValueAsk, hub: Hub, who: Who) -> SecretVersionAnswer:
    """Store the next version of a secret."""
    value = SecretText(ask.value.get_secret_value())
    return SecretVersionAnswer.model_validate(hub.secrets.write(who.workspace, secret, value, who.by))


@router.get("/{secret}/value")
def read(secret: str, hub: Hub, who: Who, response: Response) -> ValueAnswer:
    """Return the value of ``name`` (its newest version) or ``name:version``; the log tells of it."""
    name, wanted = split_versioned(secret, where="secret")
    version, value = hub.secrets.read_version(who.workspace, name, wanted, by=who.by)
    response.headers["Cache-Control"] = "no-store"
    return ValueAnswer(name=name, version=version, value=value.reveal())


@router.delete("/{secret}")
def destroy(secret: str, hub: Hub, who: Who) -> DestroyedAnswer:
    """Destroy ``name:version``, or every version of ``name``."""
    name, version = split_versioned(secret, where="secret")
    return DestroyedAnswer(name=name, destroyed=hub.secrets.destroy(who.workspace, name, version, who.by))
