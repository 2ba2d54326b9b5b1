"""How far an emulation is from the float model: a document that stays with the image, and a table. Pure."""

from typing import Final

import msgspec

FORMAT: Final = "headland.fpga-agreement/1"
BOARD: Final = "none: the HLS project was not synthesised, and no FPGA board was tried"


class OutputAgreement(msgspec.Struct, frozen=True, kw_only=True):
    """One output: absolute differences over all values; ``top1_agreed`` counts rows (None: one value)."""

    name: str
    shape: tuple[int, ...]
    max_abs_difference: float
    mean_abs_difference: float
    float_min: float
    float_max: float
    top1_agreed: int | None


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured on ``rows`` rows of ``data``; ``float_runtime`` gave what is compared with."""

    format: str
    precision: str
    rows: int
    data: str
    float_runtime: str
    outputs: tuple[OutputAgreement, ...]
    board: str = BOARD


def as_json(agreement: Agreement) -> bytes:
    """Return the document, the same bytes for the same figures."""
    return msgspec.json.format(msgspec.json.encode(agreement), indent=1) + b"\n"


def as_table(agreement: Agreement) -> str:
    """Return what a person reads."""
    lines = [
        f"{agreement.precision} against {agreement.float_runtime} on {agreement.rows} rows: {agreement.data}",
        f"{'output':<20} {'max |d|':>10} {'mean |d|':>10} {'float range':>22} {'top-1':>16}",
    ]
    for one in agreement.outputs:
        span = f"{one.float_min:.4g} to {one.float_max:.4g}"
        top = "-"
        if one.top1_agreed is not None:
            top = f"{one.top1_agreed}/{agreement.rows} {100 * one.top1_agreed / agreement.rows:.1f} %"
        lines.append(
            f"{one.name[:20]:<20} {one.max_abs_difference:>10.3g} {one.mean_abs_difference:>10.3g} "
            f"{span:>22} {top:>16}"
        )
    return "\n".join([*lines, f"board: {agreement.board}"])
