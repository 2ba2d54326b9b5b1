"""What a workspace knows of a registry, and what goes over the wire of it."""

import base64
from dataclasses import dataclass

from cloud_hub.secrets.text import SecretText


@dataclass(frozen=True)
class Login:
    """A credential of one registry: ``user:password``, or a token that is shown as it is (RFC 6750).

    As Basic's grammar has it, a user's name holds no colon, so what has one is a name and a password.
    """

    secret: SecretText

    @property
    def is_password(self) -> bool:
        """Is it a name and a password?"""
        return ":" in self.secret.reveal()

    def header(self) -> str:
        """Return the value of ``Authorization``."""
        text = self.secret.reveal().strip()
        if ":" not in text:
            return f"Bearer {text}"
        return f"Basic {base64.b64encode(text.encode()).decode()}"
