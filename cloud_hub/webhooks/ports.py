"""What the webhooks need of the rest of the hub."""

from collections.abc import Mapping
from typing import Protocol


class Outbound(Protocol):
    """Speaks to addresses outside. It decides where it may connect to; redirects are not followed."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> int:
        """POST ``body`` and return the answer's status within ``timeout_s``, all steps together.

        What is read of an answer is bounded. Raises `HeadlandError` where no answer came.
        """
        ...


class SealedText(Protocol):
    """Keeps a secret readable for this hub alone."""

    def seal(self, text: str, context: str) -> bytes:
        """Return ``text`` sealed for ``context``, the one place that it may be opened for."""
        ...

    def open(self, sealed: bytes, context: str) -> str:
        """Return the text; raises `HeadlandError` where it is not for ``context`` or was changed."""
        ...
