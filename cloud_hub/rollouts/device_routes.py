"""HTTP: what a device asks for by its certificate: the secrets that its newest document refers to."""

from fastapi import Response

from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.errors import NotFoundError, UnauthenticatedError
from cloud_hub.rollouts.secret_refs import refers_to
from cloud_hub.secrets.errors import SecretDestroyedError
from cloud_hub.secrets.routes import ValueAnswer
from contract.ids import split_versioned
from contract.secrets import DEVICE_SECRETS_PATH

router = guarded_router(DEVICE_SECRETS_PATH, "devices")


@router.get("/{secret}")
def read(secret: str, hub: Hub, who: Who, response: Response) -> ValueAnswer:
    """Return the value of ``name:version`` to a device that is given it; the log tells of it.

    Whatever else is in the vault, of this workspace or another, is not there for a device.
    """
    if who.device is None:
        raise UnauthenticatedError("no certificate of a device was shown")
    name, version = split_versioned(secret, where="secret")
    hub.limits.tried(("device-secret", who.device.id))
    envelope = hub.rollouts.newer_than(who.device.id, 0)
    if version is None or envelope is None or not refers_to(envelope, who.workspace, name, version):
        raise NotFoundError(
            "the device's newest document refers to no such secret",
            where=secret,
            fix="Name it in the module's `secrets`, and apply the rollout.",
        )
    try:
        _, value = hub.secrets.read_version(who.workspace, name, version, by=who.by)
    except NotFoundError as error:
        raise SecretDestroyedError(
            "every version of the secret was destroyed",
            where=secret,
            fix="Set a new value, and apply the rollout.",
        ) from error
    response.headers["Cache-Control"] = "no-store"
    return ValueAnswer(name=name, version=version, value=value.reveal())
