"""Records and failures become the summary of a run."""

import math
import random
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs
from scipy.stats import hypergeom, norm, sem

from bootcamp_cli.analysis.counting import Aggregator, AnswerHead, FileGroups, GroupPlan
from bootcamp_cli.analysis.statistics import Bounds, Distribution, DistributionCounter, group_mean
from bootcamp_cli.analysis.summary import Account, GroupSummary, RunSummary
from bootcamp_cli.api import Run, open_run
from bootcamp_cli.store.records import RecordHead, UsageHead
from bootcamp_cli.types import FailureRecord, TokenTotals, encode, encode_line
from tests.test_store_journal import a_record
from tests.test_store_run_dir import MANIFEST


def record(row: int | None, *, data_source: str | None = "Sudoku", score: Any = 1.0, **fields: Any) -> RecordHead:
    """What counts of a record."""
    return RecordHead(**{"id": row, "row": row, "data_source": data_source, "score": score, "output_len": 10, **fields})


def failure(file: str, row: int, kind: str, *, data_source: str | None = "Sudoku") -> FailureRecord:
    """A sample without an answer."""
    return FailureRecord(file=file, row=row, id=row, data_source=data_source, kind=kind, last_error="", attempts=1)


def planned(file: str, **n_by_source: int) -> FileGroups:
    """A test file of the manifest."""
    groups = (GroupPlan(bootcamp=f"{name}bootcamp", data_source=name, n=n) for name, n in n_by_source.items())
    return FileGroups(file=file, groups=tuple(groups))


def summed(aggregator: Aggregator) -> RunSummary:
    """The summary under names that do not matter here."""
    return aggregator.summary(model_name="m", test_dir="t")


def only_group(aggregator: Aggregator) -> GroupSummary:
    """The one row of the summary."""
    (group,) = summed(aggregator).groups
    return group


@st.composite
def entries(draw: st.DrawFn) -> list[tuple[str, RecordHead | FailureRecord]]:
    """Records and failures of two files, two data sources, some of them not in any plan."""
    result: list[tuple[str, RecordHead | FailureRecord]] = []
    for row in range(draw(st.integers(0, 30))):
        file = draw(st.sampled_from(["a.jsonl", "b.jsonl"]))
        source = draw(st.sampled_from(["Maze", "Sudoku", "Added"]))
        if draw(st.booleans()):
            score = draw(st.none() | st.floats(allow_nan=False, allow_infinity=False))
            result.append((file, record(row, data_source=source, score=score, output_len=row)))
        else:
            kind = draw(st.sampled_from(["timeout", "http_400"]))
            result.append((file, failure(file, row, kind, data_source=source)))
    return result


@given(entries(), st.randoms(use_true_random=False))
def test_summary_does_not_depend_on_the_order(
    found: list[tuple[str, RecordHead | FailureRecord]], shuffler: random.Random
) -> None:
    """Whatever order samples come in, every row, average and count is the same to the last bit."""
    summaries = []
    for _ in range(2):
        aggregator = Aggregator([planned("a.jsonl", Maze=20, Sudoku=9)])
        for file, entry in found:
            if isinstance(entry, RecordHead):
                aggregator.add_record(file, entry)
            else:
                aggregator.add_failure(entry)
        summaries.append(repr(summed(aggregator)))
        shuffler.shuffle(found)
    assert summaries[0] == summaries[1]


@given(st.lists(st.tuples(st.none() | st.integers(0, 100), st.integers(0, 40_000)), max_size=40))
def test_averages_are_those_of_fractions_over_records_with_a_score(samples: list[tuple[int | None, int]]) -> None:
    """Average score and length are the exact means over the records that have a score, null without any."""
    aggregator = Aggregator([planned("a.jsonl", Sudoku=40)])
    for row, (score, length) in enumerate(samples):
        aggregator.add_record(
            "a.jsonl",
            record(row, score=None if score is None else float(score), output_len=length, failure="verifier_timeout"),
        )
    group = only_group(aggregator)
    scored = [(score, length) for score, length in samples if score is not None]
    if scored:
        assert group.avg_score == float(Fraction(sum(score for score, _ in scored), len(scored)))
        assert group.avg_len == float(Fraction(sum(length for _, length in scored), len(scored)))
    else:
        assert group.avg_score is None
        assert group.avg_len is None
    assert (group.n_answered, group.n_scored) == (len(samples), len(scored))
    assert group.n_missing == 40 - len(samples)


def test_every_sample_is_counted_under_what_became_of_it() -> None:
    """Scored, truncated, estimated, unverified by kind, failed by kind and missing samples have their own counts."""
    aggregator = Aggregator([planned("a.jsonl", Sudoku=9)])
    aggregator.add_record("a.jsonl", record(0, finish_reason="stop"))
    aggregator.add_record("a.jsonl", record(1, score=0.0, finish_reason="length"))
    aggregator.add_record("a.jsonl", record(2, output_len_estimated=True))
    aggregator.add_record("a.jsonl", record(3, score=None, failure="verifier_crash", finish_reason="length"))
    aggregator.add_record("a.jsonl", record(4, score=None))
    aggregator.add_record("a.jsonl", record(5, score=None, failure="verifier_error"))
    aggregator.add_record("a.jsonl", record(6, score=None, failure="verifier_error"))
    aggregator.add_failure(failure("a.jsonl", 7, "timeout"))
    group = only_group(aggregator)
    assert group == GroupSummary(
        mean=group_mean([[1.0], [0.0], [1.0]]),
        family="grids",
        n_correct=2,
        n_lost_truncated=1,
        score_if_truncated_right=1.0,
        lengths={
            "correct": Distribution(n=2, total=20, counts={10: 2}),
            "truncated": Distribution(n=1, total=10, counts={10: 1}),
        },
        bootcamp="Sudokubootcamp",
        file="a.jsonl",
        data_source="Sudoku",
        n=9,
        n_answered=7,
        n_asked=7,
        n_scored=3,
        n_truncated=2,
        n_len_estimated=1,
        score_sum=2.0,
        len_sum=30,
        n_len=3,
        unverified={"unscored": 1, "verifier_crash": 1, "verifier_error": 2},
        failures={"timeout": 1},
    )
    assert (group.n_unverified, group.n_failed, group.n_missing) == (4, 1, 1)
    assert group.bounds == Bounds(low=2 / 9, high=8 / 9)


@pytest.mark.parametrize("repeats", [1, 2])
def test_prompts_that_stand_in_several_rows_are_counted_once(repeats: int) -> None:
    """Different prompts are counted beside the questions that have an answer, unless an answer tells no prompt."""
    aggregator = Aggregator([planned("a.jsonl", Sudoku=4 * repeats)], repeats=repeats)
    for row, prompt in enumerate(['"x"', '"y"', '"x"']):
        for repeat in range(repeats):
            head = AnswerHead(row=row, repeat=repeat, data_source="Sudoku", score=1.0, prompt=Raw(prompt.encode()))
            aggregator.add_record("a.jsonl", head)
    run = summed(aggregator)
    assert (run.n_asked, run.n_prompts, run.groups[0].repeats_prompts) == (3, 2, True)
    aggregator.add_record("a.jsonl", AnswerHead(row=3, data_source="Sudoku", score=1.0))
    run = summed(aggregator)
    assert (run.n_asked, run.n_prompts, run.groups[0].repeats_prompts) == (4, None, False)


def test_ends_and_emptiness_have_their_own_counts() -> None:
    """Filtered and empty answers, and those with an unknown finish_reason or none, have their own counts."""
    aggregator = Aggregator([planned("a.jsonl", Sudoku=9)])
    text, nothing, null = Raw(b'"a"'), Raw(b'""'), Raw(b"null")
    aggregator.add_record("a.jsonl", record(0, finish_reason="content_filter", output=text))
    aggregator.add_record("a.jsonl", record(1, finish_reason="a_new_reason", output=text))
    aggregator.add_record("a.jsonl", record(2, finish_reason=None, output=nothing, reasoning_content=text))
    aggregator.add_record("a.jsonl", record(3, finish_reason="stop", output=nothing, reasoning_content=null))
    aggregator.add_record("a.jsonl", record(4, finish_reason="tool_calls", output=nothing))
    aggregator.add_record("a.jsonl", record(5))
    group = only_group(aggregator)
    assert (group.n_filtered, group.n_unknown_end, group.n_empty, group.n_scored) == (1, 2, 2, 6)


def test_rows_stand_in_the_order_of_meta() -> None:
    """Files come in name order, data sources as planned, found ones by their first row, whatever came first."""
    aggregator = Aggregator([planned("b.jsonl", Sudoku=2, Maze=1)])
    for row, source in ((7, "Zebra"), (3, "Maze"), (4, "Yak"), (1, "Zebra")):
        aggregator.add_record("b.jsonl", record(row, data_source=source))
    aggregator.add_record("a.jsonl", record(0, data_source="Last"))
    names = [(group.file, group.data_source) for group in summed(aggregator).groups]
    assert names == [("a.jsonl", "Last"), *(("b.jsonl", name) for name in ("Sudoku", "Maze", "Zebra", "Yak"))]


def test_planned_rows_stand_without_samples() -> None:
    """A data source that owes samples has its row before any came, and so has a file of which nothing is known."""
    aggregator = Aggregator([planned("a.jsonl", Sudoku=2), FileGroups(file="unknown.jsonl")])
    sudoku, unknown = summed(aggregator).groups
    assert (sudoku.n, sudoku.n_missing, sudoku.avg_score, sudoku.bounds) == (2, 2, None, Bounds(low=0.0, high=1.0))
    assert (unknown.bootcamp, unknown.n, unknown.bounds) == ("unknown", 0, None)


def test_records_of_the_reference_get_the_bootcamp_of_their_file() -> None:
    """Records without data source belong to their file's only group, or to one named by fallback or stem."""
    aggregator = Aggregator(
        [
            FileGroups(file="known.jsonl", groups=(GroupPlan(bootcamp="Sudokubootcamp"),)),
            FileGroups(file="named.jsonl", fallback="Mazebootcamp"),
        ]
    )
    for file in ("known.jsonl", "named.jsonl", "stem.jsonl"):
        for _ in range(2):
            aggregator.add_record(file, RecordHead(id=0, score=1.0, output_len=3))
    groups = summed(aggregator).groups
    assert [(g.bootcamp, g.n, g.n_known, g.avg_score) for g in groups] == [
        ("Sudokubootcamp", 2, False, 1.0),
        ("Mazebootcamp", 2, False, 1.0),
        ("stem", 2, False, 1.0),
    ]
    assert not summed(aggregator).sizes_known


def test_records_that_name_their_source_need_no_plan() -> None:
    """Where only a bootcamp is known of a file, the data sources of its records take the place of that row."""
    aggregator = Aggregator([FileGroups(file="a.jsonl", groups=(GroupPlan(bootcamp="Guessbootcamp"),))])
    aggregator.add_record("a.jsonl", record(0, data_source="Maze"))
    assert only_group(aggregator).bootcamp == "Mazebootcamp"


def test_records_without_length_have_no_share_in_the_average_length() -> None:
    """Outputs from elsewhere may lack output_len: the mean is over those that have it."""
    aggregator = Aggregator()
    aggregator.add_record("a.jsonl", record(0, output_len=None))
    aggregator.add_record("a.jsonl", record(1, output_len=8))
    group = only_group(aggregator)
    assert (group.n_scored, group.avg_len) == (2, 8.0)


def test_more_samples_than_planned_are_not_hidden() -> None:
    """A row never has less samples than came, and none is missing then."""
    aggregator = Aggregator([planned("a.jsonl", Sudoku=1)])
    for row in range(3):
        aggregator.add_record("a.jsonl", record(row))
    assert (only_group(aggregator).n, only_group(aggregator).n_missing) == (3, 0)


def test_memory_is_a_few_bytes_per_record() -> None:
    """20,000 records leave less than 24 bytes each behind, so that a million fit in 24 MB."""
    aggregator = Aggregator([planned("a.jsonl", Sudoku=20_000)])
    entry = record(0, score=0.5)
    aggregator.add_record("a.jsonl", entry)
    tracemalloc.start()
    try:
        for _ in range(20_000):
            aggregator.add_record("a.jsonl", entry)
        assert tracemalloc.get_traced_memory()[0] < 24 * 20_000
    finally:
        tracemalloc.stop()


def test_totals_weigh_rows_alike_or_samples_alike() -> None:
    """The total average is the mean of the rows that have one; the weighted total is that of all samples."""
    aggregator = Aggregator([planned("a.jsonl", Maze=3), planned("b.jsonl", Sudoku=1), planned("c.jsonl", Later=2)])
    for row in range(3):
        aggregator.add_record("a.jsonl", record(row, data_source="Maze", score=0.0, output_len=10))
    aggregator.add_record("b.jsonl", record(0, score=1.0, output_len=30))
    run = summed(aggregator)
    assert (run.avg_score, run.avg_len) == (0.5, 20.0)
    assert (run.weighted_score, run.weighted_len) == (0.25, 15.0)
    assert run.bounds == Bounds(low=1 / 3, high=2 / 3)
    assert run.weighted_bounds == Bounds(low=1 / 6, high=3 / 6)
    assert (run.n_samples, run.n_answered, run.n_scored, run.n_missing, run.complete) == (6, 4, 4, 2, False)


def test_a_complete_run_has_no_room_between_its_bounds() -> None:
    """Where every sample has a score the run is complete and both bounds are the average."""
    aggregator = Aggregator([planned("a.jsonl", Sudoku=3)])
    for row, score in enumerate((0.1, 0.2, 0.4)):
        aggregator.add_record("a.jsonl", record(row, score=score))
    run = summed(aggregator)
    assert run.complete
    assert run.avg_score is not None
    assert run.bounds == run.weighted_bounds == Bounds(low=run.avg_score, high=run.avg_score)


def test_bounds_hold_the_average_of_repeats() -> None:
    """With repeats the bounds are the average to the last bit once all have a score, and hold it until then."""
    aggregator = Aggregator([planned("a.jsonl", Sudoku=4)], repeats=3)
    scores = (0.1, 0.7, 0.2)
    for repeat, score in enumerate(scores):
        aggregator.add_record("a.jsonl", record(0, score=score, repeat=repeat))
    before = only_group(aggregator)
    assert before.avg_score is not None
    assert before.bounds is not None
    assert before.bounds.low <= before.avg_score <= before.bounds.high
    aggregator.add_record("a.jsonl", record(1, score=1.0))
    complete = only_group(aggregator)
    assert complete.avg_score is not None
    assert complete.avg_score == pytest.approx((1 / 3 + 1.0) / 2), "a run that redoes samples has some repeats only"
    assert complete.bounds == Bounds(low=complete.avg_score, high=complete.avg_score)


def test_a_run_without_rows_has_no_averages() -> None:
    """Nothing gives null averages and bounds, not zeros."""
    run = summed(Aggregator())
    assert (run.avg_score, run.avg_len, run.weighted_score, run.weighted_len) == (None, None, None, None)
    assert (run.bounds, run.weighted_bounds, run.n_samples, run.failures, run.unverified) == (None, None, 0, {}, {})


def test_each_sample_counts_once_in_the_first_part_that_fits() -> None:
    """A right answer is correct however it ended; the others count as truncated, empty, filtered, then wrong."""
    aggregator = Aggregator([planned("a.jsonl", Sudoku=10)])
    nothing = Raw(b'""')
    ends: tuple[dict[str, Any], ...] = (
        {"score": 1.0, "finish_reason": "length"},
        {"score": 0.0, "finish_reason": "length", "output": nothing},
        {"score": 0.0, "finish_reason": "content_filter", "output": nothing},
        {"score": 0.0, "finish_reason": "content_filter", "output": Raw(b'"a"')},
        {"score": 0.5, "finish_reason": "stop"},
        {"score": None, "failure": "verifier_crash", "finish_reason": "length"},
    )
    for row, fields in enumerate(ends):
        aggregator.add_record("a.jsonl", record(row, **fields))
    aggregator.add_failure(failure("a.jsonl", 6, "timeout"))
    group = only_group(aggregator)
    assert group.account == Account(
        correct=1, wrong=1, truncated=1, empty=1, filtered=1, without_answer=4, without_verdict=1
    )
    assert group.account.total == group.n == 10
    assert summed(aggregator).account == group.account
    assert group.n_truncated == 3, "the share in the headline is of all answers that were cut"
    assert group.score_if_truncated_right == (1 + 1 + 0 + 0 + 0.5 + 1) / 6
    lenient = aggregator.summary(model_name="m", test_dir="t", right_at=0.5).groups[0]
    assert (lenient.n_correct, lenient.n_wrong, lenient.avg_score) == (2, 0, group.avg_score)


def test_scores_outside_the_unit_range_have_errors_without_bounds() -> None:
    """Student's t takes the place of Wilson's interval, and no bound of truncated answers is given."""
    aggregator = Aggregator([planned("a.jsonl", Sudoku=3)])
    for row, score in enumerate((-1.0, 2.0, 1.5)):
        aggregator.add_record("a.jsonl", record(row, score=score, finish_reason="length"))
    group = only_group(aggregator)
    assert group.mean is not None
    assert group.interval is not None
    assert group.mean.method == "t"
    assert group.interval.low < -1
    assert group.score_if_truncated_right is None


def test_families_are_the_catalogues_else_other() -> None:
    """Rows go by the catalogue, also with a prefix or by the bootcamp's name alone; unknown ones are other."""
    aggregator = Aggregator(
        [planned("a.jsonl", Sudoku=1, Riddles=1), FileGroups(file="b.jsonl", fallback="Cipherbootcamp")]
    )
    for source in ("Sudoku", "bootcamp/Maze", "Riddles"):
        aggregator.add_record("a.jsonl", record(0, data_source=source))
    aggregator.add_record("b.jsonl", RecordHead(score=0.5))
    run = summed(aggregator)
    assert {name: [row.bootcamp for row in family.groups] for name, family in run.families.items()} == {
        "grids": ["Sudokubootcamp", "bootcamp/Mazebootcamp"],
        "other": ["Riddlesbootcamp"],
        "text": ["Cipherbootcamp"],
    }
    assert run.families["text"].avg_score == 0.5


def test_what_an_answer_took_is_counted_apart() -> None:
    """Latencies, speed and retries are of all answers, implausible ones left out; failures have retries too."""
    aggregator = Aggregator([planned("a.jsonl", Sudoku=9)])
    seconds = (0.5, 1.5, -1.0, float("inf"), 2.0)
    for row, latency in enumerate(seconds):
        head = AnswerHead(row=row, data_source="Sudoku", score=1.0, output_len=100, latency_s=latency, retries=("x",))
        aggregator.add_record("a.jsonl", head)
    aggregator.add_failure(structs.replace(failure("a.jsonl", 6, "timeout"), retries=("x", "y")))
    run = summed(aggregator)
    assert (run.latency.n, run.latency.mean, run.latency.quantile(0.5)) == (3, 40_000 / 3, 15_000)
    assert run.tokens_per_second == pytest.approx(300 / 4)
    assert run.retries == {"x": 6, "y": 1}


@given(st.lists(st.integers(0, 2**53), min_size=1), st.sampled_from([0.5, 0.95]))
def test_quantiles_are_numbers_that_came_within_a_thousandth(numbers: list[int], p: float) -> None:
    """The quantile is the number at its rank, rounded down by less than a thousandth; sum and mean are exact."""
    counter = DistributionCounter()
    for number in numbers:
        counter.add(number)
    found, exact = counter.distribution(), sorted(numbers)[max(math.ceil(p * len(numbers)), 1) - 1]
    quantile = found.quantile(p)
    assert quantile is not None
    assert quantile <= exact <= quantile + quantile / 1000
    assert (found.n, found.total) == (len(numbers), sum(numbers))


def run_of_four_repeats(path: Path) -> Run:
    """A run directory of two bootcamps of twelve questions, each with a chance of its own to be answered rightly."""
    source, files = np.random.default_rng(0), []
    (path / "details").mkdir()
    for name in ("Cipher", "Sudoku"):
        lines = []
        for row in range(12):
            chance = source.random()
            for repeat in range(4):
                score = float(source.random() < chance)
                fields = {"data_source": name, "score": score, "extracted_output": score}
                lines.append(structs.replace(a_record(row), repeat=repeat, **fields))
        (path / "details" / f"{name}.jsonl").write_bytes(b"".join(map(encode_line, lines)))
        one = structs.replace(MANIFEST.files[0], name=f"{name}.jsonl", n_rows=12, size_bytes=1200)
        files.append(structs.replace(one, data_sources=((name, 12),)))
    manifest = structs.replace(MANIFEST, repeats=4, files=tuple(files))
    (path / "manifest.json").write_bytes(encode(manifest))
    return open_run(path)


def test_a_run_of_four_repeats_has_the_figures_of_its_samples(tmp_path: Path) -> None:
    """Means, errors, variances, pass@k, pass^k, maj@4 are what numpy and scipy compute of the frame of samples."""
    run = run_of_four_repeats(tmp_path)
    frame = run.samples()
    means, reruns = [], []
    for group in run.summary.groups:
        scores = frame[frame.data_source == group.data_source].score.to_numpy().reshape(12, 4)
        assert group.mean is not None
        assert group.interval is not None
        assert group.avg_score == pytest.approx(scores.mean())
        variances = scores.var(axis=1, ddof=1)
        assert group.mean.within == pytest.approx(variances.mean())
        between = scores.mean(axis=1).var(ddof=1) - variances.mean() / 4
        assert group.mean.between == pytest.approx(max(between, 0))
        rerun = math.sqrt((variances / 4).sum()) / 12
        assert group.mean.error_rerun == pytest.approx(rerun)
        smoothed = np.append(scores.mean(axis=1), [0, 1])
        size = smoothed.mean() * (1 - smoothed.mean()) / (sem(smoothed) ** 2)
        size = min(max(size, 12), 48)
        z = norm.ppf(0.975)
        for limit in (group.interval.low, group.interval.high):
            assert (limit - scores.mean()) ** 2 == pytest.approx(z**2 * limit * (1 - limit) / size)
        right = scores.sum(axis=1)
        assert group.passes[-1].pass_at is not None
        assert group.passes[-1].pass_hat is not None
        assert [each.k for each in group.passes] == [1, 2, 4]
        assert group.passes[-1].pass_at.mean == pytest.approx((right > 0).mean())
        assert group.passes[-1].pass_hat.mean == pytest.approx((right == 4).mean())
        none_right = hypergeom(4, right, 2).pmf(0)
        assert group.passes[1].pass_at is not None
        assert group.passes[1].pass_at.mean == pytest.approx((1 - none_right).mean())
        if group.data_source == "Cipher":
            assert group.majority is not None
            assert group.majority.mean is not None
            assert group.majority.mean.mean == pytest.approx(((right > 2) + (right == 2) / 2).mean())
        else:
            assert group.majority is None
        means.append(scores.mean())
        reruns.append(rerun)
    mean = run.summary.mean
    assert mean is not None
    assert mean.mean == pytest.approx(np.mean(means))
    assert mean.error_rerun == pytest.approx(np.sqrt(np.square(reruns).sum()) / 2)
    assert mean.error_other_bootcamps == pytest.approx(sem(means))


def tokens_of(*usages: UsageHead | None) -> TokenTotals:
    """The token totals of answers with these usages."""
    aggregator = Aggregator([planned("a.jsonl", Sudoku=9)])
    for row, usage in enumerate(usages):
        aggregator.add_record("a.jsonl", record(row, usage=usage, score=None if row else 1.0))
    return summed(aggregator).tokens


def test_tokens_are_added_up() -> None:
    """The server's counts are added over all answers, scored or not; reasoning is found at either of its places."""
    one = UsageHead(prompt_tokens=10, completion_tokens=5, completion_tokens_details={"reasoning_tokens": 3})
    two = UsageHead(prompt_tokens=20, completion_tokens=6, reasoning_tokens=4, completion_tokens_details=None)
    assert tokens_of(one, two, one) == TokenTotals(n_counted=3, prompt=40, completion=16, reasoning=10)
    assert tokens_of(one, None) == TokenTotals(n_counted=1, prompt=10, completion=5, reasoning=3)
    assert tokens_of(None) == tokens_of() == TokenTotals()


@pytest.mark.parametrize("count", [None, -1, 1.5, "7", True, [7], {"n": 7}, 2**53 + 1, 10**400])
def test_a_count_that_is_none_is_passed_over(count: Any) -> None:
    """What cannot be a count of tokens is not added, and the other counts of the usage are."""
    usage = UsageHead(prompt_tokens=3, completion_tokens=count, completion_tokens_details={"reasoning_tokens": count})
    assert tokens_of(usage) == TokenTotals(n_counted=1, prompt=3)
    assert tokens_of(UsageHead(completion_tokens=count, completion_tokens_details=count)) == TokenTotals()
    assert tokens_of(UsageHead(reasoning_tokens=0, completion_tokens=0)) == TokenTotals(
        n_counted=1, completion=0, reasoning=0
    )
