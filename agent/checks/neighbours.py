"""Looks at the devices next door: are layers given to them, and do they give theirs?"""

import http.client
import ipaddress
import socket
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from agent.artifacts.places import Source
from agent.checks.finding import Finding, failed, ok, warning
from agent.identity.store import Identity
from agent.neighbours.certificates import NotThatNeighbourError, asking_context
from agent.neighbours.settings import Neighbours

TIMEOUT_S: Final = 5.0
NOWHERE: Final = f"/v2/check/blobs/sha256:{'0' * 64}"


def serving(found: Identity, settings: Neighbours) -> Finding:
    """Does the daemon serve at the address of the settings, or could it?"""
    host, port = settings.address
    try:
        _ask(found, found.facts.device, _reached_at(host), port)
    except NotThatNeighbourError:
        return failed(
            "neighbours",
            f"another program has {settings.listen}",
            "Choose another port in neighbours.listen.",
        )
    except (OSError, http.client.HTTPException):
        return _could_be(settings)
    return ok("neighbours", f"served at {settings.listen}; devices that may read: {len(settings.allow)}")


def _could_be(settings: Neighbours) -> Finding:
    host, port = settings.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        words = f"{settings.listen} cannot be had ({(error.strerror or 'no reason said').lower()})"
        return failed("neighbours", words, "Correct neighbours.listen, or end what has that port.")
    return warning("neighbours", f"nobody serves at {settings.listen}, and it is free", "See daemon.")


def asking(found: Identity, sources: Sequence[Source]) -> Finding:
    """Do the neighbours among the sources answer, and may we read there?"""
    others = [each for each in sources if each.neighbour not in {"", found.facts.device}]
    wrong = []
    for each in others:
        address = urlsplit(each.at)
        try:
            status = _ask(found, each.neighbour, address.hostname or "", address.port or 443)
        except (OSError, http.client.HTTPException) as error:
            words = getattr(error, "strerror", None) or str(error) or type(error).__name__
            wrong.append(f"{each.neighbour} does not answer ({words.lower()})")
        else:
            if status == HTTPStatus.FORBIDDEN:
                wrong.append(f"{each.neighbour} does not allow this device")
    if wrong:
        fix = "The hub is asked instead. Is it on, is its port open, does its neighbours.allow name us?"
        return warning("sources", "; ".join(wrong), fix)
    return ok("sources", f"neighbours that answer: {len(others)}")


def _reached_at(host: str) -> str:
    """Return where a listener on ``host`` is reached from this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def _ask(found: Identity, device: str, host: str, port: int) -> int:
    context = asking_context(found, device)
    connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
    try:
        connection.request("HEAD", NOWHERE)
        return connection.getresponse().status
    finally:
        connection.close()
