"""How confined work ends badly."""

from typing import Literal

from cloud_hub.errors import HubError

Ending = Literal["time", "memory", "killed", "answer", "failed", "cancelled", "unavailable"]


class ChildLostError(HubError):
    """A confined child was ended by a limit, or died; ``ending`` says which.

    ``time``: wall or processor time. ``memory``: its address space. ``killed``: by a signal that no
    limit sends, such as a fault in a C library. ``answer``: no answer, or one beyond its bound.
    ``failed``: an exception that its module did not expect, whose type is in the words.
    ``cancelled``: whoever asked for the work no longer wants it. ``unavailable``: this machine makes no
    sandbox, for the reason in the words; nothing was run.
    """

    code = "confined-child-lost"

    def __init__(self, what: str, ending: Ending) -> None:
        super().__init__(what, fix="Check where the file comes from; the hub's log has more.")
        self.ending = ending
