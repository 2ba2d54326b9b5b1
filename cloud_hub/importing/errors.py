"""Why a deployment of another platform cannot be read; nothing was written then."""

from contract.errors import FieldProblem, HeadlandError


class ImportingError(HeadlandError):
    """Root of these errors."""

    code = "import-error"


class ImportUnavailableError(ImportingError):
    """A library is missing on this machine."""

    code = "import-unavailable"


class ImportFileError(ImportingError):
    """A file is not there, cannot be read or written, or is larger than is read."""

    code = "import-file"


class ImportInvalidError(ImportingError):
    """A file is not what it should be: no JSON or YAML, or of another shape."""

    code = "import-invalid"


class ImportOptionError(ImportingError):
    """An option says what the file has no use for, or what a rollout cannot have."""

    code = "import-option-refused"


class ImportNotCarriedError(ImportingError):
    """Not everything was carried over, and that was asked for."""

    code = "import-not-carried"


class ImportNothingError(ImportingError):
    """Nothing is left that a rollout could run; ``errors`` has each path and why."""

    code = "import-nothing"

    def __init__(self, what: str, *, where: str, fix: str, errors: tuple[FieldProblem, ...]) -> None:
        super().__init__(what, where=where, fix=fix)
        self.errors = errors
