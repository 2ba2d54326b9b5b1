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


class HubUnreachableError(AgentError):
    """No connection to the hub."""

    code = "hub-unreachable"
    retriable = True


class AlreadyRunningError(AgentError):
    """Another agent works on the same state folder."""

    code = "agent-already-running"
