"""Errors of the agent that a person may meet; each room adds its own subclasses."""

from contract.errors import HeadlandError


class AgentError(HeadlandError):
    """Root of the agent's errors."""

    code = "agent-error"


class SettingsError(AgentError):
    """The agent's settings file is missing, unreadable or wrong."""

    code = "settings-invalid"


class NotEnrolledError(AgentError):
    """The device has no identity yet."""

    code = "not-enrolled"


class EnrolmentError(AgentError):
    """The hub did not give this device an identity."""

    code = "enrolment-failed"


class EnrolmentDelayedError(AgentError):
    """The hub did not decide about this device now, and may later."""

    code = "enrolment-delayed"
    retriable = True


class RenewalError(AgentError):
    """The hub did not give this device another certificate."""

    code = "renewal-failed"
    retriable = True


class HubUnreachableError(AgentError):
    """No connection to the hub."""

    code = "hub-unreachable"
    retriable = True


class AlreadyRunningError(AgentError):
    """Another agent works on the same state folder."""

    code = "agent-already-running"


class StateWriteError(AgentError):
    """The state folder took no write; what was there before still holds."""

    code = "state-write-failed"
    retriable = True


class DocumentUnreadableError(AgentError):
    """The file of a desired document cannot be read."""

    code = "document-unreadable"


class BundleError(AgentError):
    """A support bundle could not be written."""

    code = "bundle-failed"


class ModuleUnknownError(AgentError):
    """The device has no module of that name, and no log of one."""

    code = "module-unknown"


class ControlUnavailableError(AgentError):
    """An agent works on the state folder, and its control socket gives no answer."""

    code = "control-unavailable"
    retriable = True


class DocumentRefusedError(AgentError):
    """A desired document is not acceptable; the code is that of the rule that it breaks."""

    def __init__(self, code: str, reason: str, *, where: str = "") -> None:
        super().__init__(reason, where=where)
        self._code = code

    @property
    def code(self) -> str:  # type: ignore[override]
        """Code of the rule, as in the device's reports."""
        return self._code


class AgentReleaseError(AgentError):
    """What was ordered as the agent's next version is none that can run here."""

    code = "agent-release-unusable"


class AgentUpdateForbiddenError(AgentError):
    """The device's owner lets nobody change the agent's version from afar."""

    code = "agent-update-forbidden"
