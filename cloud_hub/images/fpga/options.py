"""What may be chosen of the arithmetic."""

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from cloud_hub.images.build.errors import OptionRefusedError

IoType = Literal["io_parallel", "io_stream"]
Strategy = Literal["Latency", "Resource"]
MOST_BITS: Final = 64
MOST_REUSE: Final = 65_536
_ROUNDING: Final = "TRN|TRN_ZERO|RND|RND_ZERO|RND_INF|RND_MIN_INF|RND_CONV"
_OVERFLOW: Final = "WRAP|SAT|SAT_ZERO|SAT_SYM"
PRECISION: Final = re.compile(
    rf"ap_u?fixed<([1-9]\d?),(-?\d{{1,2}})(?:,(?:AP_)?(?:{_ROUNDING})(?:,(?:AP_)?(?:{_OVERFLOW}))?)?>"
)


@dataclass(frozen=True)
class FpgaOptions:
    """How the model is turned into hardware.

    ``precision`` is the type of weights, inputs and results, ``ap_fixed<bits,integer bits>``; accumulators
    are made as wide as their sums need. ``reuse_factor`` is how many products share one multiplier: it
    changes the hardware, not the numbers.
    """

    precision: str = "ap_fixed<16,6>"
    reuse_factor: int = 1
    io_type: IoType = "io_parallel"
    strategy: Strategy = "Latency"


def checked(options: FpgaOptions) -> FpgaOptions:
    """Return ``options``, without spaces in the precision; raises `OptionRefusedError`."""
    precision = options.precision.replace(" ", "")
    found = PRECISION.fullmatch(precision)
    if found is None or int(found[1]) > MOST_BITS or abs(int(found[2])) > MOST_BITS:
        raise OptionRefusedError(
            f"not a fixed-point type of at most {MOST_BITS} bits",
            where="fpga precision",
            fix="Write it as ap_fixed<16,6>, or with rounding and overflow, ap_fixed<16,6,RND,SAT>.",
        )
    if not 1 <= options.reuse_factor <= MOST_REUSE:
        raise OptionRefusedError(
            f"not a whole number from 1 to {MOST_REUSE}", where="fpga reuse factor", fix="Leave it at 1."
        )
    if options.io_type not in get_args(IoType) or options.strategy not in get_args(Strategy):
        raise OptionRefusedError(
            "not one that hls4ml has",
            where="fpga io type or strategy",
            fix=f"Choose of {', '.join((*get_args(IoType), *get_args(Strategy)))}.",
        )
    return FpgaOptions(precision, options.reuse_factor, options.io_type, options.strategy)
