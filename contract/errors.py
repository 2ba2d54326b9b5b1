"""The root of the error tree, and how an error looks to a person and to a program."""

from typing import ClassVar

import msgspec


class HeadlandError(Exception):
    """An error a person can act on.

    Each subclass has a stable ``code`` (kebab-case, never reused) and says whether the same
    call may succeed later (``retriable``). ``where`` names the file, field, line or address;
    ``fix`` is the next step. No secret and no input data goes into any of them.
    """

    code: ClassVar[str] = "internal"
    retriable: ClassVar[bool] = False

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head.rstrip('.')}. {self.fix}" if self.fix else head


class ContractError(HeadlandError):
    """Bytes that should be a message of the contract are not one."""

    code = "contract-violation"


class FieldProblem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing wrong in a document: where (field path, 1-based line) and why."""

    field: str
    reason: str
    line: int | None = None


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error on the wire, ``application/problem+json`` as in RFC 9457, with our extensions."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    where: str = ""
    fix: str = ""
    request_id: str = ""
    retriable: bool = False
    errors: tuple[FieldProblem, ...] = ()
