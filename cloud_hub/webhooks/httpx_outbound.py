"""A plain `Outbound`. To be replaced by the hub's guarded client: this one connects to any address."""

import asyncio
from collections.abc import Mapping

import httpx

from cloud_hub.webhooks.errors import OutboundError

MAX_ANSWER_BYTES = 64 * 1024


class HttpxOutbound:
    """One connection for each request: receivers are many, and requests to each are few."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> int:
        """See `Outbound.post`."""
        try:
            # A loop of its own, because only there does one time limit hold for all steps together.
            return asyncio.run(asyncio.wait_for(_post(url, headers, body), timeout_s))
        except TimeoutError as error:
            raise OutboundError(f"no answer within {timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise OutboundError(f"no answer ({type(error).__name__})") from error


async def _post(url: str, headers: Mapping[str, str], body: bytes) -> int:
    async with (
        httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=None) as client,  # noqa: S113
        client.stream("POST", url, headers=dict(headers), content=body) as answer,
    ):
        read = 0
        async for chunk in answer.aiter_raw():
            read += len(chunk)
            if read > MAX_ANSWER_BYTES:
                break
        return answer.status_code
