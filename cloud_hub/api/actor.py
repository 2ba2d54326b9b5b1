"""Who a request acts for, as the audit log has it."""

import uuid
from typing import Annotated

from fastapi import Depends, Request

from cloud_hub.api.auth import Authenticated
from cloud_hub.audit.actor import Actor


def actor_of(request: Request, caller: Authenticated) -> Actor:
    """Return the caller, the address of the connection, and an id that is this request's alone."""
    address = request.client.host if request.client is not None else ""
    return Actor(caller.principal, address, uuid.uuid4().hex)


By = Annotated[Actor, Depends(actor_of)]
