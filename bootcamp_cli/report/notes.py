"""What a reader must know beside the averages, one line each: completeness, bounds, failures."""

from collections.abc import Iterator, Mapping

from bootcamp_cli.results.summary import RunSummary
from bootcamp_cli.visible import visible


def notes(shown: RunSummary, *, n_all: int) -> tuple[str, ...]:
    """The lines below a table; `n_all` is the number of rows of the whole run, of which `shown` may have fewer."""
    return tuple(_notes(shown, n_all))


def _notes(run: RunSummary, n_all: int) -> Iterator[str]:
    if not run.groups:
        yield f"no rows shown, of {n_all:,} in the run"
        return
    if len(run.groups) < n_all:
        yield f"{len(run.groups):,} of {n_all:,} rows shown; averages and counts are those of the rows shown"
    yield _completeness(run)
    if run.weighted_score is not None:
        yield f"every sample counting alike: average score {run.weighted_score:.4f}" + _length(run.weighted_len)
    if not run.complete and run.bounds is not None:
        low, high = run.bounds.low, run.bounds.high
        yield f"bounds: average score {low:.4f} if all samples without a score were wrong, {high:.4f} if all were right"
    if run.failures:
        yield f"without an answer: {_kinds(run.failures)}"
    if run.unverified:
        yield f"without a verdict: {_kinds(run.unverified)}"
    if run.n_truncated:
        yield f"truncated at the token limit: {run.n_truncated:,} of {run.n_answered:,} answers"
    if run.n_len_estimated:
        yield f"lengths that are word counts, the server sent no usage: {run.n_len_estimated:,} of {run.n_answered:,}"
    if not run.sizes_known:
        yield "how many samples the test files have is not recorded here: n counts what was found"


def _completeness(run: RunSummary) -> str:
    if run.complete:
        return f"complete: {run.n_scored:,} of {run.n_samples:,} samples scored"
    gaps = (
        (run.n_failed, "without an answer"),
        (run.n_unverified, "without a verdict"),
        (run.n_missing, "not tried yet"),
    )
    parts = ", ".join(f"{count:,} {what}" for count, what in gaps if count)
    return f"incomplete: {run.n_scored:,} of {run.n_samples:,} samples scored; {parts}"


def _length(weighted_len: float | None) -> str:
    return "" if weighted_len is None else f", length {weighted_len:,.1f}"


def _kinds(counts: Mapping[str, int]) -> str:
    """Counts by kind, the most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{visible(kind)} {count:,}" for kind, count in ranked)
