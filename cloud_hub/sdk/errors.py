"""What the SDK raises: the hub's problems as exceptions, and the hub not being there."""

from contract.errors import FieldProblem, HeadlandError, Problem


class SdkError(HeadlandError):
    """Root of the SDK's errors."""

    code = "sdk-error"


class HubUnreachableError(SdkError):
    """No answer from the hub."""

    code = "hub-unreachable"
    retriable = True


class NotConnectedError(SdkError):
    """It is not known which hub to talk to."""

    code = "no-context"


class ActivityFailedError(SdkError):
    """A long operation ended with an error; its code is in the words."""

    code = "activity-failed"


class WebhookFailedError(SdkError):
    """A receiver did not take what it was sent."""

    code = "webhook-failed"
    retriable = True


class HubRefusedError(SdkError):
    """The hub answered with a problem (RFC 9457); ``problem.code`` is stable."""

    def __init__(self, problem: Problem, *, where: str = "") -> None:
        super().__init__(problem.detail, where=where or problem.where, fix=problem.fix)
        self.problem = problem

    @property
    def code(self) -> str:  # type: ignore[override]
        """The hub's code."""
        return self.problem.code

    @property
    def errors(self) -> tuple[FieldProblem, ...]:
        """Every field that is wrong, with its line where there is one."""
        return self.problem.errors
