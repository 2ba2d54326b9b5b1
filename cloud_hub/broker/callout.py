"""Answers the server's question, for each connection, who it is and what it may do."""

import asyncio
import inspect
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from cloud_hub.broker.access import Identity, Refusal, grant_for, identify
from cloud_hub.broker.claims import AuthRequest, Grant, granted, read_request, refused
from cloud_hub.broker.errors import AuthRequestError
from cloud_hub.broker.keys import NatsKey
from cloud_hub.broker.settings import AUTH_TIMEOUT_S

log = logging.getLogger(__name__)

AUTH_SUBJECT: Final = "$SYS.REQ.USER.AUTH"
# So many go together, as their look-ups do (`cloud_hub.devices.lots`), and are answered before others are
# read: if all of a storm were worked on at once, the first answer would be as late as the last.
_CONCURRENT: Final = 64
# An answer after this would come too late for the server or the device. To work it out all the same keeps
# the hub from those that are still waiting: then all of them try again, and nobody gets in.
_STALE_S: Final = 0.8 * AUTH_TIMEOUT_S

# Whether the device's certificate with this serial is known and not revoked. A plain function runs
# in a thread. What it raises refuses the connection: the device tries again.
Lookup = Callable[[str, str], bool | Awaitable[bool]]
Grants = Callable[[Identity], Grant]


class AuthCallout:
    """Judges connections; several hubs share the work through one queue group."""

    def __init__(
        self,
        lookup: Lookup,
        issuer: NatsKey,
        *,
        grants: Grants = grant_for,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup, self._monotonic = lookup, monotonic
        self._issuer = issuer
        self._grants = grants
        self._kicks: Counter[str] = Counter()
        self._waiting: deque[tuple[Msg, float]] = deque()
        self._answering = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, client: Client) -> None:
        """Answer on ``client``'s connection, which must be the auth user's, until it is closed."""
        await client.subscribe(AUTH_SUBJECT, queue="hub", cb=self._take)

    async def stop(self) -> None:
        """Drop the questions under way; the server refuses those connections."""
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def invalidate(self, device: str) -> None:
        """Refuse the device's connections that are being judged now: their look-up may be outdated."""
        self._kicks[device] += 1

    async def take_kick(self, message: Msg) -> None:
        """Another hub disconnects a device."""
        self.invalidate(message.data.decode(errors="replace"))

    async def judge(self, request: AuthRequest) -> Grant | Refusal:
        """Return what the connection may do, or why it is refused."""
        identity = identify(request)
        if isinstance(identity, Refusal):
            return identity
        kicks = self._kicks[identity.device]
        try:
            known = await self._known(identity)
        except Exception:
            # Whatever the device table's trouble is, it must end in a refusal and in the log.
            log.exception("the device table could not be asked about %s", identity.device)
            return Refusal("the device table cannot be asked now")
        if not known:
            return Refusal("the certificate is not known, or revoked")
        if self._kicks[identity.device] != kicks:
            return Refusal("the device was disconnected meanwhile")
        return self._grants(identity)

    async def _known(self, identity: Identity) -> bool:
        is_async = inspect.iscoroutinefunction(self._lookup)
        if is_async:
            answer = self._lookup(identity.device, identity.serial)
        else:
            answer = await asyncio.to_thread(self._lookup, identity.device, identity.serial)
        # `is True`: an unexpected kind of answer (a row, a mock of one) must not open the door.
        return (await answer if inspect.isawaitable(answer) else answer) is True

    async def _take(self, message: Msg) -> None:
        self._waiting.append((message, self._monotonic()))
        if self._answering < _CONCURRENT:
            self._answering += 1
            task = asyncio.create_task(self._answer_waiting())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer_waiting(self) -> None:
        """Answer the last that came first.

        In a storm the others wait too long anyway: in their order each would get its answer just too late.
        """
        try:
            while self._waiting:
                message, came_at = self._waiting.pop()
                if self._monotonic() - came_at > _STALE_S:
                    self._waiting.clear()  # those before it wait longer still
                    return
                await self._answer(message)
        finally:
            self._answering -= 1

    async def _answer(self, message: Msg) -> None:
        try:
            request = read_request(message.data)
        except AuthRequestError as error:
            log.warning("%s", error)
            return
        if request.expires_at and time.time() > request.expires_at:
            return
        await self._respond(message, request, await self.judge(request))

    async def _respond(self, message: Msg, request: AuthRequest, verdict: Grant | Refusal) -> None:
        sealed = (self._issuer.public, self._issuer.sign, int(time.time()))
        try:
            await message.respond(_encode(request, verdict, *sealed))
        except NatsError as error:
            log.warning("an authorization answer was not sent (%s); the device tries again", error)


def _encode(
    request: AuthRequest, verdict: Grant | Refusal, issuer: str, sign: Callable[[bytes], bytes], now_s: int
) -> bytes:
    if isinstance(verdict, Refusal):
        return refused(request, verdict.reason, issuer=issuer, sign=sign, now_s=now_s)
    return granted(request, verdict, issuer=issuer, sign=sign, now_s=now_s)
