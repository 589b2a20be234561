"""The order of work."""

from collections import Counter
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.engine.scheduler import MIN_FIRST, WorkQueue
from bootcamp_cli.types import Sample


def samples(file: str, n: int) -> Iterator[Sample]:
    """`n` samples of a file, made when they are taken."""
    for row in range(n):
        yield Sample(file=file, row=row, id=row, data_source="Sums", prompt="?", ground_truth=None)


@given(
    sizes=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 12), max_size=6),
    lengths=st.lists(st.tuples(st.sampled_from("abcdefx"), st.integers(0, 1000)), max_size=30),
)
def test_every_sample_is_taken_once_and_files_keep_their_row_order(
    sizes: dict[str, int], lengths: list[tuple[str, int]]
) -> None:
    """Whatever lengths come back in between, the queue hands out each row once, per file in row order."""
    queue = WorkQueue({name: samples(name, n) for name, n in sizes.items()})
    taken: list[Sample] = []
    observed = iter(lengths)
    while (sample := queue.take()) is not None:
        taken.append(sample)
        for file, n_tokens in [next(observed, ("a", 0))]:
            queue.observe(file, n_tokens)
    assert queue.take() is None
    assert Counter(sample.file for sample in taken) == Counter({name: n for name, n in sizes.items() if n})
    for name in sizes:
        rows = [sample.row for sample in taken if sample.file == name]
        assert rows == sorted(rows)


def test_the_longest_file_leads_once_lengths_are_known() -> None:
    """After the first samples of every file, the file with the longest mean output is worked off first."""
    queue = WorkQueue({name: samples(name, 5) for name in "abc"})
    first = [queue.take() for _ in range(3 * MIN_FIRST)]
    assert Counter(sample.file for sample in first if sample) == {"a": MIN_FIRST, "b": MIN_FIRST, "c": MIN_FIRST}
    for name, n_tokens in (("a", 10), ("b", 3000), ("c", 200)):
        queue.observe(name, n_tokens)
    rest = [sample.file for sample in queue.take_many(100)]
    assert rest == ["b"] * 3 + ["c"] * 3 + ["a"] * 3


def test_expected_lengths_lead_from_the_start() -> None:
    """A file whose lengths are known before needs no first samples, and the longest of them goes first."""
    queue = WorkQueue({name: samples(name, 3) for name in "abc"}, expected={"a": 10.0, "b": 3000.0, "c": 200.0})
    assert [sample.file for sample in queue.take_many(100)] == ["b"] * 3 + ["c"] * 3 + ["a"] * 3


def test_what_comes_back_outweighs_what_was_expected() -> None:
    """A file that proves to be short gives way, however long it was in an earlier run."""
    queue = WorkQueue({name: samples(name, 50) for name in "ab"}, expected={"a": 3000.0, "b": 500.0})
    assert (first := queue.take())
    assert first.file == "a"
    for _ in range(40):
        queue.observe("a", 10)
    assert {sample.file for sample in queue.take_many(40)} == {"b"}
