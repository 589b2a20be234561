"""The tables for the forms that people read: which rows in what order, cells as text, notes below.

Also the width of text in a terminal, and how to keep a spreadsheet from running text as a formula.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from bootcamp_cli.dataset.files import names_of
from bootcamp_cli.errors import UsageError
from bootcamp_cli.reports.columns import (
    COLUMNS,
    FAMILY_COLUMNS,
    Cell,
    Column,
    Kind,
    cell_text,
    decimals,
    digits_borne,
    repeat_columns,
    shown_columns,
)
from bootcamp_cli.text import counted, length_text, score_text, shortened, visible
from bootcamp_cli.types import LATENCY_UNIT_S

if TYPE_CHECKING:
    from bootcamp_cli.analysis.statistics import Distribution, Interval
    from bootcamp_cli.analysis.summary import Drawn, GroupSummary, Redone, RunSummary

By = Literal["family", "bootcamp", "both"]
"""What the rows of a report are: families, bootcamps, or a table of each."""

BY: tuple[By, ...] = ("family", "bootcamp", "both")
TOTAL = "Total Average"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows of a summary and their total as text; the total's averages are unweighted means, its counts sums.

    All text is safe to print. In a column of numbers the decimal points stand below each other, once the cells are
    aligned right.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...]

    @property
    def titles(self) -> tuple[str, ...]:
        """The headings of the columns."""
        return tuple(column.title for column in self.columns)

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of the widest cell of each column, heading and total included, in terminal cells."""
        lines = (self.titles, *self.rows, self.total)
        return tuple(max(map(display_width, cells)) for cells in zip(*lines, strict=True))

    def without(self, index: int) -> "Table":
        """The table without one of its columns."""
        keep = [i for i in range(len(self.columns)) if i != index]
        return replace(
            self,
            columns=tuple(self.columns[i] for i in keep),
            rows=tuple(tuple(row[i] for i in keep) for row in self.rows),
            total=tuple(self.total[i] for i in keep),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a form for people shows: tables, and lines that belong below them. All text is safe to print."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def build_page(shown: "RunSummary", *, n_all: int, by: By = "both") -> Page:
    """The tables of a summary, in the order of its rows; `n_all` is the number of rows of the whole run.

    With `both` the table of families stands first, and is left out where there is only one family.
    """
    columns = shown_columns(shown)
    label = TOTAL if len(shown.groups) == n_all else "Average of these"
    tables = []
    if by == "family" or (by == "both" and len({group.family for group in shown.groups}) > 1):
        tables.append(_family_table(shown, columns, label))
    if by != "family":
        rows = [_cells(columns, [column.of(group) for column in columns], group.interval) for group in shown.groups]
        tables.append(_table(columns, rows, shown, label))
    return Page(tables=tuple(tables), notes=tuple(_notes(shown, n_all)))


def _family_table(shown: "RunSummary", columns: tuple[Column, ...], label: str) -> Table:
    """A row for each family: its unweighted mean and its sums."""
    columns = (*FAMILY_COLUMNS, *(column for column in columns if column.kind != "text"))
    rows = [
        [visible(name), *_cells(columns[1:], [column.total(family) for column in columns[1:]], family.interval)]
        for name, family in shown.families.items()
    ]
    return _table(columns, rows, shown, label)


def _table(columns: tuple[Column, ...], rows: Sequence[Sequence[str]], shown: "RunSummary", label: str) -> Table:
    """The rows with their total behind them."""
    totals = [column.total(shown) for column in columns[1:]]
    lines = [*rows, [label, *_cells(columns[1:], totals, shown.interval, none="")]]
    cells = [_pointed(column.kind, texts) for column, texts in zip(columns, zip(*lines, strict=True), strict=True)]
    *body, total = zip(*cells, strict=True)
    return Table(columns=columns, rows=tuple(body), total=total)


def _cells(
    columns: Sequence[Column], values: Sequence[Cell], interval: "Interval | None", *, none: str = "-"
) -> list[str]:
    """The values of a row as text, with as many digits as its interval bears."""
    digits = digits_borne(interval)
    return [cell_text(value, column.kind, digits, none=none) for column, value in zip(columns, values, strict=True)]


def _pointed(kind: Kind, cells: Sequence[str]) -> Sequence[str]:
    """The cells of a column, numbers with blanks behind them so that they have their decimal points in one place."""
    if kind not in ("score", "error"):
        return cells
    tails = [len(cell) - cell.index(".") if "." in cell else 0 for cell in cells]
    longest = max(tails)
    return [cell + " " * (longest - tail if tail else 0) for cell, tail in zip(cells, tails, strict=True)]


def _notes(run: "RunSummary", n_all: int) -> Iterator[str]:
    if not run.groups:
        is_empty = run.shard is not None and not n_all
        yield f"shard {run.shard} has no question" if is_empty else f"no rows shown, of {n_all:,} in the run"
        return
    if len(run.groups) < n_all:
        yield f"{len(run.groups):,} of {n_all:,} rows shown; averages and counts are those of the rows shown"
    yield _completeness(run)
    if run.mean is not None:
        yield _account(run)
        yield from _errors(run)
        yield from _repeated_prompts(run)
    if run.weighted_score is not None:
        yield (
            f"every sample counting alike: average score {_score(run.weighted_score, run.weighted_interval)}"
            f"{_between(run.weighted_interval)}{_length(run.weighted_len)}"
        )
    if not run.complete and run.bounds is not None:
        low, high = (_score(bound, run.interval) for bound in (run.bounds.low, run.bounds.high))
        yield f"bounds: average score {low} if all samples without a score were wrong, {high} if all were right"
    if run.failures:
        yield f"without an answer: {_kinds(run.failures)}"
    if run.unverified:
        yield f"without a verdict: {_kinds(run.unverified)}"
    yield from _about_selection(run)
    if run.repeats > 1:
        asked = "" if run.redo_of else f"{counted(run.n_questions, 'question')} asked {run.repeats:,} times: "
        yield f"{asked}averages are means of question means"
        yield from _about_repeats(run)
    for redone in run.redone:
        yield _redone(redone)
    yield from _about_answers(run)
    yield from _about_effort(run)
    if not run.sizes_known:
        yield "how many samples the test files have is not recorded here: n counts what was found"


def _repeated_prompts(run: "RunSummary") -> Iterator[str]:
    """Where intervals take rows for draws of their own that may be none."""
    rows = [group for group in run.groups if group.repeats_prompts]
    if not rows:
        return
    n_prompts, n_asked = sum(row.n_prompts or 0 for row in rows), sum(row.n_asked for row in rows)
    most = min(rows, key=lambda row: (row.n_prompts or 0) / row.n_asked)
    example = f"{visible(most.bootcamp)} has {most.n_prompts:,} in {most.n_asked:,}"
    yield (
        f"prompts that stand in several rows: {n_prompts:,} prompts in {n_asked:,} questions of "
        f"{counted(len(rows), 'bootcamp')} ({example}); where a model answers these rows alike, intervals are too "
        "narrow: they take every row for a draw of its own (compare does not)"
    )


def _account(run: "RunSummary") -> str:
    """What became of the samples, in parts that add up to all."""
    account = run.account
    parts = {
        f"correct (score at least {run.right_at:g})": account.correct,
        "wrong": account.wrong,
        "truncated": account.truncated,
        "empty": account.empty,
        "filtered": account.filtered,
        "without an answer": account.without_answer,
        "without a verdict": account.without_verdict,
    }
    always = list(parts)[:2]
    shown = " + ".join(f"{n:,} {what}" for what, n in parts.items() if n or what in always)
    return f"account: {shown} = {counted(account.total, 'sample')}"


def _errors(run: "RunSummary") -> Iterator[str]:
    """The errors of the total average, each by its name."""
    mean = run.mean
    if mean is None:
        return
    if mean.interval is not None:
        yield (
            f"average score {_score(mean.mean, mean.interval)}{_between(mean.interval)} of these bootcamps "
            "(low95 and high95: the same for a row)"
        )
    errors = (
        ("new questions", mean.error_new_questions),
        ("other bootcamps than these", mean.error_other_bootcamps),
        ("rerun of the same questions, the noise floor", mean.error_rerun),
    )
    digits = decimals("error", digits_borne(mean.interval))
    known = ", ".join(f"{score_text(error, digits)} for {name}" for name, error in errors if error is not None)
    unknown = "; for a rerun it takes repeats" if mean.error_rerun is None else ""
    if known:
        yield f"standard error of the average score: {known}{unknown}"
    if n := sum(group.mean is not None and group.mean.method == "t" for group in run.groups):
        yield f"{counted(n, 'row')} with scores outside 0 to 1: intervals by Student's t, which nothing bounds"


def _score(score: float, interval: "Interval | None") -> str:
    """A score with as many digits as its interval bears."""
    return score_text(score, digits_borne(interval))


def _between(interval: "Interval | None") -> str:
    if interval is None:
        return ""
    low, high = _score(interval.low, interval), _score(interval.high, interval)
    return f", 95 % interval {low} to {high} for new questions"


def _about_repeats(run: "RunSummary") -> Iterator[str]:
    """What the repeats of a question tell; a line for each column that says what it means."""
    at = [(each.k, each.pass_at) for each in run.passes]
    hat = [(each.k, each.pass_hat) for each in run.passes]
    for name, meaning, means in (("pass@k", "any of k answers is right", at), ("pass^k", "all k are right", hat)):
        values = "  ".join(f"k={k} {_score(mean.mean, mean.interval)}" for k, mean in means if mean)
        if values:
            yield f"{name}, {meaning}: {values}"
    if without := ", ".join(f"k={each.k} {each.n_without:,}" for each in run.passes if each.n_without):
        yield f"questions with too few scores for a value: {without}"
    if (majority := run.majority) is not None and majority.mean is not None:
        without = f"; {counted(majority.n_without, 'question')} without a value" if majority.n_without else ""
        yield (
            f"maj@{run.repeats}, the most frequent answer: {_score(majority.mean.mean, majority.mean.interval)}"
            f"{_between(majority.mean.interval)}, over the {counted(majority.mean.n_groups, 'row')} whose right "
            f"answers have one form{without}"
        )
    if run.variance_within is not None and run.variance_between is not None:
        yield (
            f"variance of scores: {score_text(run.variance_within)} within a question, "
            f"{score_text(run.variance_between)} between the questions of a row"
        )


_TRUNCATED_SHARE = 0.01
"""The share of truncated answers above which the score must not be read without its bound."""


def _about_answers(run: "RunSummary") -> Iterator[str]:
    """How answers ended, and what their lengths are."""
    if run.n_truncated:
        share = run.n_truncated / run.n_answered
        bound = run.score_if_truncated_right if share > _TRUNCATED_SHARE else None
        yield (
            f"truncated at the token limit: {run.n_truncated:,} of {run.n_answered:,} answers ({share:.1%})"
            + ("" if bound is None else f"; average score {_score(bound, run.interval)} if all of them were right")
        )
    if run.n_filtered:
        yield f"ended by the server's content filter: {run.n_filtered:,} of {run.n_answered:,} answers"
    if run.n_unknown_end:
        yield f"without a known finish_reason: {run.n_unknown_end:,} of {run.n_answered:,} answers"
    if run.n_len_estimated:
        yield f"lengths that are estimates (server sent no usage): {run.n_len_estimated:,} of {run.n_answered:,}"


def _about_selection(run: "RunSummary") -> Iterator[str]:
    """Which questions the run takes, where it leaves some out."""
    if run.redo_of is not None:
        samples, questions = counted(run.n_samples, "sample"), counted(run.n_questions, "question")
        yield f"only what is redone from {visible(run.redo_of)}: {samples} of {questions}"
    elif run.drawn is not None:
        yield _drawn(run, run.drawn)
    if run.shard is not None:
        yield f"only shard {run.shard} of the questions: `bootcamp merge` puts the shards together"


def _drawn(run: "RunSummary", drawn: "Drawn") -> str:
    """How the questions of the files shown were drawn: `20 of 68 questions per file drawn with seed 1`."""
    sizes = {drawn.n_rows[group.file] for group in run.groups if group.file in drawn.n_rows} or {drawn.n}
    smallest, largest = min(sizes), max(sizes)
    if largest <= drawn.n:
        return f"all questions of each file, as no more than {drawn.n:,} were to be drawn"
    most = "up to " if smallest < drawn.n else ""
    of = f"{largest:,}" if smallest == largest else f"{smallest:,} to {largest:,}"
    return f"{most}{drawn.n:,} of {of} questions per file drawn with seed {drawn.seed}"


def _about_effort(run: "RunSummary") -> Iterator[str]:
    """What the answers took."""
    if run.length.n:
        yield f"length: {_spread(run.length, 1, ',.0f')}"
    if (tokens := run.tokens).n_counted:
        counts = (("prompt", tokens.prompt), ("completion", tokens.completion), ("reasoning", tokens.reasoning))
        known = ", ".join(f"{n:,} {what}" for what, n in counts if n is not None)
        yield f"tokens: {known}, as counted for {tokens.n_counted:,} of {run.n_answered:,} answers"
    if run.latency.n:
        speed = run.tokens_per_second
        yield (
            f"latency: {_spread(run.latency, LATENCY_UNIT_S, ',.2f', ' s')}"
            + ("" if speed is None else f"; {speed:,.1f} tokens/s of an answer")
        )
    if run.loads:
        from bootcamp_cli.analysis.loads import load_notes  # noqa: PLC0415  # as the summary is made

        yield from load_notes(run.loads)
    if run.retries:
        yield f"retries: {_kinds(run.retries)}"


def _spread(distribution: "Distribution", unit: float, digits: str, suffix: str = "") -> str:
    """Mean, median and 95th percentile."""
    figures = (("mean", distribution.mean), ("p50", distribution.quantile(0.5)), ("p95", distribution.quantile(0.95)))
    return ", ".join(f"{name} {figure * unit:{digits}}{suffix}" for name, figure in figures if figure is not None)


def _redone(redone: "Redone") -> str:
    what = shortened(visible(", ".join(redone.selection)))
    score = "no score" if redone.score is None else f"average score {score_text(redone.score)}"
    counts = f"{redone.n_scored:,} scored, {redone.n_truncated:,} truncated"
    where = f"with max_tokens {redone.max_tokens} in {visible(redone.run_dir)}"
    return f"redone {where}: {counted(redone.n, 'sample')} ({what}), {score}, {counts}"


def _completeness(run: "RunSummary") -> str:
    empty = f"; {run.n_empty:,} answers empty" if run.n_empty else ""
    if run.complete:
        return f"complete: {run.n_scored:,} of {run.n_samples:,} samples scored{empty}"
    gaps = (
        (run.n_failed, "without an answer"),
        (run.n_unverified, "without a verdict"),
        (run.n_missing, "not tried yet"),
    )
    parts = ", ".join(f"{count:,} {what}" for count, what in gaps if count)
    return f"incomplete: {run.n_scored:,} of {run.n_samples:,} samples scored; {parts}{empty}"


def _length(weighted_len: float | None) -> str:
    return "" if weighted_len is None else f", length {length_text(weighted_len)}"


def _kinds(counts: Mapping[str, int]) -> str:
    """Counts by kind, the most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{visible(kind)} {count:,}" for kind, count in ranked)


SORT_KEYS: tuple[str, ...] = tuple(column.title for column in COLUMNS)
"""The sort keys: the titles of the columns."""


def select(summary: "RunSummary", *, sort: str, reverse: bool, patterns: Sequence[str]) -> "RunSummary":
    """The summary with the rows that match one of the patterns (all without patterns), sorted.

    A pattern is a glob on bootcamp, or as `--include` takes it on file (with or without suffix) or data source. Text
    sorts in ascending order, numbers in descending order, and `reverse` the other way round; rows without a value come
    last, equal ones by bootcamp, then as in meta.jsonl.

    Raises:
        UsageError: there is no such sort key.
    """
    column = _column(sort, summary)
    groups = [group for group in summary.groups if not patterns or _matches(group, patterns)]
    groups.sort(key=lambda group: group.bootcamp)
    valued = [group for group in groups if column.of(group) is not None]
    empty = [group for group in groups if column.of(group) is None]
    valued.sort(key=column.of, reverse=reverse if column.kind == "text" else not reverse)  # type: ignore[arg-type]  # no None
    return replace(summary, groups=(*valued, *empty))


def _column(sort: str, run: "RunSummary") -> Column:
    for column in (*COLUMNS, *repeat_columns(run)):
        if sort in (column.title, column.key):
            return column
    raise UsageError(f"cannot sort by {sort!r}", hint=f"sort by one of {', '.join(SORT_KEYS)}")


def _matches(group: "GroupSummary", patterns: Sequence[str]) -> bool:
    names = (group.bootcamp, *names_of(f"{group.file}.gz"), group.data_source or "")
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def display_width(text: str) -> int:
    """How many terminal cells a visible text takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415  # most reports are ASCII, and its tables take 10 ms

    return cell_len(text)
