"""The check of large test data on all cores: the outcome of one process, whatever becomes of the others."""

import gzip
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.dataset import checkers, scan
from bootcamp_cli.dataset.draw import Draw, Places
from bootcamp_cli.dataset.rows import InvalidRowError, LineReader, parse_heads, parse_row
from bootcamp_cli.dataset.scan import TestSet, scan_test_dir
from bootcamp_cli.dataset.tally import FileSelection, Tally
from bootcamp_cli.errors import DatasetError
from bootcamp_cli.types import Shard

BATCH_BYTES = 400


def line(number: int, **more: Any) -> bytes:
    """The line of a valid row."""
    return json.dumps({"data_source": "ABC"[number % 3], "prompt": f"é {number}", "ground_truth": [], **more}).encode()


CHAT = [{"role": "user", "content": "2 + 2?"}]
FILES: dict[str, list[bytes]] = {
    "chats": [line(number, prompt=CHAT if number % 2 else "2 + 2?") for number in range(40)],
    "ids": [line(number, id=number) for number in range(60)],
    "same_ids": [line(number, id=number % 50) for number in range(60)],
    "blank": [b"", *(line(0),) * 9, *(b" ",) * 500, line(1), *(b"",) * 500],
    "bad": [line(number) if number % 7 else b"{" for number in range(300)],
    "long": [b"\xef\xbb\xbf" + line(0), line(1, prompt="x" * 5000), line(2, prompt="\r"), line(3)],
    "empty": [],
}


@pytest.fixture
def test_dir(tmp_path: Path) -> Path:
    """A test dir with files of many kinds, one of them without its last line feed."""
    for name, lines in FILES.items():
        (tmp_path / f"{name}.jsonl").write_bytes(b"\n".join(lines) + b"\n" * (name != "ids"))
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(b"\n".join(FILES["ids"])))
    return tmp_path


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[object, object]]:
    """Gives the outcome of a scan by one process, and by several, reading little at a time."""
    monkeypatch.setattr(scan, "_BATCH_BYTES", BATCH_BYTES)
    monkeypatch.setattr(checkers, "usable_cpus", lambda: 3)

    def both(*args: Any, **options: Any) -> tuple[object, object]:
        found = []
        for many in (10**9, 0):
            monkeypatch.setattr(scan, "_MANY_BYTES", many)
            found.append(outcome(*args, **options))
        return found[0], found[1]

    return both


def outcome(*args: Any, **options: Any) -> object:
    """What a scan finds, or what it says."""
    try:
        test_set: TestSet = scan_test_dir(*args, **options)
    except DatasetError as error:
        return str(error), error.problems
    return test_set


@pytest.mark.parametrize(
    "options",
    [
        {"skip_invalid": True, "exclude": ["empty"]},
        {},
        {"exclude": ["bad", "empty", "blank"], "draw": Draw(n=7, seed=1), "shard": Shard(2, 3)},
        {"skip_invalid": True, "exclude": ["empty", "A"], "draw": Draw(n=20, seed=0)},
        {"include": ["B", "none"], "skip_invalid": True, "exclude": ["empty"], "shard": Shard(1, 2)},
        {"exclude": ["bad", "empty", "blank"], "limit": 3},
        {"exclude": ["bad", "empty", "blank"], "sizes": {"ids.jsonl": 1000}},
    ],
)
def test_many_processes_find_what_one_does(
    test_dir: Path, outcomes: Callable[..., tuple[object, object]], options: dict[str, Any]
) -> None:
    """Counts, digests, draws, shards, id rules, problems and warnings are the same, in the same order."""
    alone, together = outcomes(test_dir, **options)
    assert together == alone


def test_many_processes_say_what_one_does_about_unreadable_files(
    tmp_path: Path, outcomes: Callable[..., tuple[object, object]]
) -> None:
    """A gzip file that is cut off, and an array over several lines, are refused alike, after what is wrong before."""
    packed = gzip.compress(b"\n".join([*FILES["bad"][:60], line(0, prompt=os.urandom(4000).hex())]))
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[:-2000])
    (tmp_path / "array.jsonl").write_bytes(b"[\n{}\n]\n")
    alone, together = outcomes(tmp_path)
    assert together == alone
    assert "cut off" in str(alone)
    assert "several lines" in str(alone)


@pytest.mark.parametrize(
    "command", [("/nowhere",), *((sys.executable, "-c", code) for code in ("", "input()", "print('hello'); input()"))]
)
def test_processes_that_do_not_start_or_end_are_not_missed(
    test_dir: Path,
    outcomes: Callable[..., tuple[object, object]],
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    """Where others cannot be started, or end at once, or in the middle, the outcome is the same."""
    monkeypatch.setattr(checkers, "python_command", lambda _: command)
    alone, together = outcomes(test_dir, skip_invalid=True, exclude=["empty"])
    assert together == alone


def test_processes_end_with_the_check_and_know_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt in the middle of a file leaves no process behind, and none had the API key."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setattr(checkers, "usable_cpus", lambda: 2)
    processes = checkers._started(2)
    monkeypatch.setattr(checkers, "_started", lambda _: processes)

    def blocks() -> Iterator[tuple[bytes, bytes]]:
        yield from [(line(0) + b"\n", b"")] * 20
        if (environ := Path(f"/proc/{processes[0].pid}/environ")).exists():
            assert b"sk-secret" not in environ.read_bytes()
        raise KeyboardInterrupt

    tally = Tally(selection=FileSelection("t.jsonl", (), ()))
    with pytest.raises(KeyboardInterrupt), checkers.checkers() as others:  # noqa: PT012 - in the middle
        assert others is not None
        others.add(tally, blocks())
    assert all(process.returncode is not None for process in processes)


lines = st.sampled_from([*FILES["chats"][:4], *FILES["ids"][:4], b"", b" ", b"{", line(0, ground_truth=1e300)])


@given(
    stretches=st.lists(st.lists(lines, min_size=1, max_size=5), max_size=6), shard=st.none() | st.just(range(1, 99, 2))
)
def test_stretches_add_up_to_the_whole(stretches: list[list[bytes]], shard: range | None) -> None:
    """Tallies of stretches of a file, added in order, are the tally of all of its lines."""
    selection = FileSelection("t.jsonl", (), ("C",))
    whole = Tally(selection=selection, shard_rows=shard, places=Places())
    total = whole.following(0)
    for stretch in stretches:
        whole.take([text + b"\n" for text in stretch])
        part = total.following(total.n_lines)
        for text in stretch:
            part.take([text + b"\n"])
        total.add(part)
    assert total == whole


escapes = st.sampled_from([rb"\ud800", rb"\udc00", rb"\u0041", rb"\u4e00", rb"\q", rb"\n", rb"\"", b"\xff", b"\x01"])
others = st.sampled_from(["é".encode(), *(bytes([code]) for code in b'e+-1[]{}",'), b"1e999", b"9" * 400, b"[" * 201])
pieces = escapes | others | st.just(b"]" * 201)
values = st.lists(pieces, max_size=6).map(b"".join).flatmap(lambda text: st.sampled_from([text, b'"' + text + b'"']))


@given(rows=st.lists(st.tuples(values, values), min_size=1, max_size=4))
def test_what_is_checked_in_batches_is_right_row_by_row(rows: list[tuple[bytes, bytes]]) -> None:
    """Rows whose prompts and ground truths were not decoded are exactly those that are right when they are."""
    texts = [b'{"data_source": "A", "prompt": %b, "ground_truth": %b}\n' % row for row in rows]
    try:
        parsed = [parse_row(text) for text in texts]
    except InvalidRowError:
        assert parse_heads(texts) is None
    else:
        heads = parse_heads(texts)
        assert heads is not None
        assert [(head.data_source, head.id) for head in heads] == [(row.data_source, row.id) for row in parsed]


@pytest.mark.parametrize("depth", [200, 201])
@pytest.mark.parametrize("between", ['"]"', r'"\"]"', r'"\\"', '"[", "{"', "[], {}", '""'])
def test_brackets_in_strings_hide_no_depth(between: str, depth: int) -> None:
    """What is nested too deeply is refused, and nothing else, whatever brackets stand in texts."""
    truth = f"[{between}, " * depth + "0" + "]" * depth
    text = b'{"data_source": "A", "prompt": "((([[[", "ground_truth": %b}\n' % truth.encode()
    assert (parse_heads([text]) is None) == (depth > 200)


@given(st.binary(max_size=60), st.integers(1, 9))
def test_lines_end_with_line_feeds_alone(content: bytes, n_bytes: int) -> None:
    """Read in blocks of any size, a file has the lines that its line feeds make, and no others."""
    file, reader, found = io.BytesIO(content), LineReader(), []
    while batch := reader.batch(file, n_bytes):
        found += batch
    assert b"".join(found) == content.removeprefix(b"\xef\xbb\xbf")
    assert all(text.find(b"\n") in (-1, len(text) - 1) for text in found)
