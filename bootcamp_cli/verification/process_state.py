"""What belongs to the whole process and decides verdicts: set for each verification, so that none depends on another.

Third-party bootcamps change it when they are imported (the recursion limit, the precision of decimals) and while they
verify. Each starts every verification with the state that its own import left, and is imported in that of a new
process. A worker loads this with its first third-party bootcamp; built-in ones change nothing.
"""

import decimal
import random
import sys
import threading
import warnings
from dataclasses import dataclass
from typing import Any, cast

_NUMPY_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
"""How numpy handles floating-point errors unless it is told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """The interpreter's limits, the contexts of decimals, the warning filters, and numpy's handling of errors."""

    recursion_limit: int
    max_str_digits: int
    stack_size: int
    decimals: tuple[int, str, int, int, int, int]
    decimal_traps: tuple[Any, ...]
    default_decimals: tuple[int, str]
    warning_filters: tuple[Any, ...]
    numpy_errors: tuple[tuple[str, str], ...]

    @classmethod
    def now(cls) -> "ProcessState":
        """The state of this process."""
        context, default = decimal.getcontext(), decimal.DefaultContext
        limits = (context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp)
        numpy: Any = sys.modules.get("numpy")
        return cls(
            recursion_limit=sys.getrecursionlimit(),
            max_str_digits=sys.get_int_max_str_digits(),
            stack_size=threading.stack_size(),
            decimals=limits,
            decimal_traps=tuple(signal for signal, is_set in context.traps.items() if is_set),
            default_decimals=(default.prec, default.rounding),
            warning_filters=tuple(warnings.filters),
            numpy_errors=tuple((numpy.geterr() if hasattr(numpy, "geterr") else _NUMPY_ERRORS).items()),
        )

    def set(self) -> None:
        """Give this process the state."""
        sys.setrecursionlimit(self.recursion_limit)
        sys.set_int_max_str_digits(self.max_str_digits)
        threading.stack_size(self.stack_size)
        decimal.DefaultContext.prec, decimal.DefaultContext.rounding = self.default_decimals
        decimal.setcontext(decimal.Context(*self.decimals, flags=[], traps=list(self.decimal_traps)))
        if tuple(warnings.filters) != self.warning_filters:
            warnings.resetwarnings()  # also tells the warnings module that what it remembers is void
            cast("list[Any]", warnings.filters)[:] = self.warning_filters
        numpy: Any = sys.modules.get("numpy")
        if hasattr(numpy, "seterr"):
            numpy.seterr(**dict(self.numpy_errors))


def seed_random(digest: bytes) -> None:
    """Seed `random`, and numpy's if it is there: a bootcamp that draws numbers draws the same again."""
    random.seed(digest)
    numpy_random: Any = sys.modules.get("numpy.random")
    if hasattr(numpy_random, "seed"):
        numpy_random.seed(int.from_bytes(digest[:4]))
