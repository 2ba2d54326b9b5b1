"""How an archive is refused."""

from cloud_hub.errors import HubError, InvalidInputError

FIX = "Pack plain files and folders with relative names, as zip, tar or tar.gz."


class ArchiveRefusedError(InvalidInputError):
    """An archive holds what may not be unpacked; ``rule`` names the rule it breaks (kebab-case)."""

    code = "archive-refused"

    def __init__(self, rule: str, what: str, *, where: str = "") -> None:
        super().__init__(what, where=where, fix=FIX)
        self.rule = rule


class ArchiveStorageError(HubError):
    """The hub could not keep what an archive holds; the archive itself may be good."""

    code = "archive-storage-failed"
    retriable = True
