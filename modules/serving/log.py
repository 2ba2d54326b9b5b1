"""One line for each event on standard error; never a request's body."""

import sys

from contract.errors import HeadlandError


def log_event(text: str) -> None:
    """Write ``text`` as one line, so that a log reader never sees half an event."""
    sys.stderr.write(f"serving: {' '.join(text.split())}\n")
    sys.stderr.flush()


def describe_failure(error: BaseException) -> str:
    """Return an exception's type and the place it was raised at, without its message.

    The message may repeat the input (``KeyError``, ``ValueError`` of a parser), so it stays out.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    return f"{type(error).__name__} at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def log_start_failure(error: HeadlandError) -> None:
    """Write why the server cannot start, with its code."""
    log_event(f"cannot start: {error} [{error.code}]")
