"""HTTP/1.1 to the agent over its Unix socket, one connection for each call.

The path is looked up anew each time: an agent that restarted has a new socket at the same path.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from modules.serving.errors import AgentUnreachableError

TIMEOUT_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 64 * 1024
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r\n")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)


@dataclass(frozen=True)
class AgentAnswer:
    """A whole answer of the agent."""

    status: int
    body: bytes

    @property
    def taken(self) -> bool:
        """Whether the agent did what was asked."""
        return self.status == 200

    @property
    def final(self) -> bool:
        """Whether the same call would be refused again: 4xx but 408 and 429."""
        return 400 <= self.status < 500 and self.status not in (408, 429)


class AgentClient:
    """Calls the agent at the Unix socket ``path``."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def post(self, target: str, body: bytes) -> AgentAnswer:
        """POST ``body`` and return the whole answer, or raise `AgentUnreachableError`.

        After the error the agent may or may not have acted: the caller repeats the same bytes.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._post(target, body)
        except TimeoutError as error:
            raise AgentUnreachableError(f"no answer within {TIMEOUT_S:g} s", where=self._path) from error
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise AgentUnreachableError(f"no whole answer: {reason}", where=self._path) from error

    async def _post(self, target: str, body: bytes) -> AgentAnswer:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=MAX_ANSWER_BYTES)
        try:
            head = (
                f"POST {target} HTTP/1.1\r\nHost: agent\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
            return await self._read_answer(reader)
        finally:
            writer.close()

    async def _read_answer(self, reader: asyncio.StreamReader) -> AgentAnswer:
        head = await reader.readuntil(b"\r\n\r\n")
        status, length = _STATUS_LINE.match(head), _LENGTH.search(head)
        if status is None or length is None or int(length[1]) > MAX_ANSWER_BYTES:
            raise AgentUnreachableError("its answer is not HTTP/1.1 with a Content-Length", where=self._path)
        return AgentAnswer(int(status[1]), await reader.readexactly(int(length[1])))
