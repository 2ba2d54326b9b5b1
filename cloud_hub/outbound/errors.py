"""How a request to somewhere else ends badly. ``where`` is an origin: paths may hold secrets."""

from cloud_hub.errors import HubError, InvalidInputError


class OutboundRefusedError(InvalidInputError):
    """The hub does not connect there; ``rule`` names the rule (kebab-case)."""

    code = "outbound-refused"

    def __init__(self, rule: str, what: str, *, where: str = "") -> None:
        super().__init__(
            what, where=where, fix="Use a public address, or have the owner add it to outbound_allow."
        )
        self.rule = rule


class OutboundFailedError(HubError):
    """The other side could not be reached, or did not speak HTTP, in time."""

    code = "outbound-failed"
    retriable = True


class OutboundTooLargeError(HubError):
    """The other side's answer is larger than allowed."""

    code = "outbound-too-large"
