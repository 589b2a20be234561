"""Times, rates and bars as text, the same in every display."""

from bootcamp_cli.progress.state import ProgressState

UNKNOWN_TIME = "-:--:--"


def h_mm_ss(seconds: float | None) -> str:
    """A duration as `h:mm:ss`, `-:--:--` where it is unknown."""
    if seconds is None:
        return UNKNOWN_TIME
    minutes, second = divmod(max(0, round(seconds)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}"


def percent(current: int, total: int) -> str:
    """The share as `12.3%`, cut and not rounded: `100.0%` means all of them."""
    tenths = 1000 * current // total if total else 1000
    return f"{tenths // 10}.{tenths % 10}%"


def bar(current: int, total: int, *, width: int) -> str:
    """A bar of `width` characters, filled in proportion; completely only where all is done."""
    n_full = n_filled(current, total, width=width)
    return "#" * n_full + "-" * (width - n_full)


def n_filled(current: int, total: int, *, width: int) -> int:
    """How many of a bar's `width` cells are filled."""
    return width * current // total if total else width


def rate(per_s: float) -> str:
    """A number of samples per second, or per minute where they are slow."""
    return f"{per_s:.1f} samples/s" if per_s >= 1 or per_s == 0 else f"{60 * per_s:.1f} samples/min"


def score(mean: float | None) -> str:
    """A mean score with three digits, `-` before the first score."""
    return "-" if mean is None else f"{mean:.3f}"


def figures(state: ProgressState) -> list[str]:
    """What the run is doing, one figure each: rate, tokens/s, in flight, retries, failures."""
    totals = state.totals
    retries = "1 retry" if state.n_retries == 1 else f"{state.n_retries:,} retries"
    return [
        rate(state.samples_per_s()),
        f"{state.tokens_per_s():,.0f} tok/s",
        f"{totals.n_in_flight:,} in flight",
        retries,
        f"{totals.n_failed:,} failed",
    ]
