"""Files of a run directory that someone edited: what is wrong is said with file and line, and nothing is changed."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.conftest import StartEvaluation, Undisturbed
from tests.chaos.holders import files_of
from tests.chaos.runs import Evaluation, Left, assert_undisturbed
from tests.chaos.templates import failure_of

Edit = Callable[[list[bytes]], bytes]
"""From the lines of a details file, their newlines included, to the content that an editor left."""


def joined(lines: list[bytes]) -> bytes:
    """The content of unchanged lines."""
    return b"".join(lines)


def as_text(lines: list[bytes]) -> str:
    """The same as text."""
    return joined(lines).decode()


def with_e_acute(line: bytes) -> bytes:
    """A line with a letter outside of ASCII, in Latin-1."""
    return re.sub(rb'("prompt": ?")', lambda found: found[0] + b"\xe9", line, count=1)


HARMLESS: dict[str, Edit] = {
    "lines reordered": lambda lines: joined(lines[::-1]),
    "line ends of Windows": lambda lines: joined(lines).replace(b"\n", b"\r\n"),
    "no line end at the end": lambda lines: joined(lines)[:-1],
    "reordered without a line end": lambda lines: joined(lines[::-1])[:-1],
    "keys sorted": lambda lines: "".join(
        f"{json.dumps(json.loads(line), sort_keys=True)}\n" for line in lines
    ).encode(),
}
"""What changes no record."""

WRONG: dict[str, tuple[Edit, int, str]] = {
    "a line twice": (lambda lines: joined([*lines[:2], *lines[1:]]), 3, "row 1 already has a record"),
    "two halves glued": (
        lambda lines: joined([lines[0], lines[1][: len(lines[1]) // 2], *lines[2:]]),
        2,
        "not readable as JSON",
    ),
    "half a line in the middle": (
        lambda lines: joined([lines[0], lines[1][: len(lines[1]) // 2], b"\n", *lines[2:]]),
        2,
        "not readable as JSON",
    ),
    "a line end lost in the middle": (lambda lines: lines[0][:-1] + joined(lines[1:]), 1, "not readable as JSON"),
    "a byte order mark": (lambda lines: b"\xef\xbb\xbf" + joined(lines), 1, "BOM"),
    "UTF-16": (lambda lines: as_text(lines).encode("utf-16"), 1, "not readable as JSON"),
    "UTF-16 without mark": (lambda lines: as_text(lines).encode("utf-16-le"), 1, "not readable as JSON"),
    "a line in Latin-1": (lambda lines: joined([lines[0], with_e_acute(lines[1]), *lines[2:]]), 2, "utf-8"),
    "a last line in Latin-1": (lambda lines: joined([*lines[:-1], with_e_acute(lines[-1])])[:-9], 4, "utf-8"),
    "a note at the end": (lambda lines: joined([*lines, b"# checked, fine"]), 5, "not readable as JSON"),
    "a broken last line": (lambda lines: joined([*lines[:-1], lines[-1][:-3], b"]]"]), 4, "not readable as JSON"),
    "an empty line": (lambda lines: joined([lines[0], b"\n", *lines[1:]]), 2, "not readable as JSON"),
    "an empty line at the end": (lambda lines: joined([*lines, b"\n"]), 5, "not readable as JSON"),
    "a list": (lambda lines: joined([*lines[:3], b"[1, 2]\n"]), 4, "not a JSON object"),
    "a score in words": (
        lambda lines: joined([lines[0], b'{"row": 1, "score": "high"}\n', *lines[2:]]),
        2,
        "score",
    ),
    "a row in words": (lambda lines: joined([*lines[:3], b'{"row": "three", "score": 1}\n']), 4, "row"),
    "a negative row": (lambda lines: joined([*lines[:3], b'{"row": -1, "score": 1}\n']), 4, "row is -1"),
}
"""What is no journal of ours: how it is made, the line that is named, and what is said of it."""

QUICK = ("reordered without a line end", "a last line in Latin-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """A copy of a finished run whose first details file is edited."""

    evaluation: Evaluation
    expected: Left
    run_dir: Path

    @property
    def file(self) -> Path:
        """The file to edit."""
        return min((self.run_dir / "details").iterdir())

    def renewed(self) -> list[bytes]:
        """Copy the finished run again; the lines of the file."""
        shutil.rmtree(self.run_dir, ignore_errors=True)
        shutil.copytree(self.expected.run_dir, self.run_dir)
        return self.file.read_bytes().splitlines(keepends=True)

    def assert_refused(self, command: str, place: str, what: str) -> None:
        """A command fails in one line that says what is wrong and where, and leaves every file as it is."""
        before = files_of(self.run_dir)
        url = ["--url", self.evaluation.server.url] if command == "resume" else []
        done = self.evaluation.finish(command, str(self.run_dir), "--quiet", *url)
        assert done.code == 1, (command, done)
        [line] = done.stderr.splitlines()
        assert line.startswith(tuple(f"bootcamp: error: {place}{end}" for end in (": ", " (row "))), line
        assert what in line, line
        assert files_of(self.run_dir) == before, command

    def assert_completes(self) -> None:
        """A resume ends with the undisturbed result."""
        done = self.evaluation.finish("resume", str(self.run_dir), "--quiet", "--url", self.evaluation.server.url)
        assert done.code == 0, done.stderr
        assert_undisturbed(self.run_dir, self.expected, self.evaluation.test_dir)


@pytest.fixture
def edited(start_evaluation: StartEvaluation, undisturbed: Undisturbed) -> Edited:
    """A finished run to be edited."""
    evaluation = start_evaluation(rows=4, latency=0, files=2)
    evaluation.output.mkdir()
    return Edited(evaluation=evaluation, expected=undisturbed(evaluation), run_dir=evaluation.output / "run")


def test_edits_that_change_no_record_are_taken(
    edited: Edited,
    tell: Callable[[str], None],
    long_form: bool,
) -> None:
    """Reordered lines, other line ends and sorted keys are read, nothing is requested, the reports stay the same."""
    names = [name for name in HARMLESS if long_form or name in QUICK]
    for name in names:
        lines = edited.renewed()
        edited.file.write_bytes(HARMLESS[name](lines))
        edited.assert_completes()
    assert edited.evaluation.n_requests() == 0
    tell(f"edited by hand: {len(names)} harmless edits read, nothing requested again")


def test_edits_that_are_no_records_are_named_and_left_alone(
    edited: Edited,
    tell: Callable[[str], None],
    long_form: bool,
) -> None:
    """Resume and report name file and line, change nothing, and go on once the file is fixed or the line removed."""
    names = [name for name in WRONG if long_form or name in QUICK]
    for name in names:
        edit, number, what = WRONG[name]
        lines = edited.renewed()
        edited.file.write_bytes(edit(lines))
        for command in ("resume", "report"):
            edited.assert_refused(command, f"details/{edited.file.name}:{number}", what)
        remaining = edit(lines).split(b"\n")
        del remaining[number - 1]
        edited.file.write_bytes(b"".join(lines) if "UTF-16" in name else b"\n".join(remaining))
        edited.assert_completes()
    tell(f"edited by hand: {len(names)} edits named with file and line by resume and report, nothing changed by them")


def test_other_files_edited_by_hand_are_named(
    edited: Edited,
    tell: Callable[[str], None],
    long_form: bool,
) -> None:
    """A broken failures.jsonl, manifest.json or eval_args.json is named, and left as it is."""
    lines = edited.renewed()
    failure = json.dumps(failure_of(edited.file.name, json.loads(lines[3]))).encode()
    failures = {
        "half a line in the middle": (failure[:20] + b"\n" + failure + b"\n", 1),
        "a note at the end": (failure + b"\nnote to self", 2),
        "Latin-1 at the end": (failure + b"\n" + '{"file": "é"'.encode("latin-1"), 2),
    }
    n_edits = 0
    for content, number in [*failures.values()][: None if long_form else 1]:
        edited.renewed()
        (edited.run_dir / "failures.jsonl").write_bytes(content)
        for command in ("resume", "report")[: None if long_form else 1]:
            edited.assert_refused(command, f"failures.jsonl:{number}", "not readable")
        n_edits += 1
    for name in ("manifest.json", "eval_args.json") if long_form else ():
        edited.renewed()
        path = edited.run_dir / name
        path.write_bytes(path.read_bytes()[:-9])
        for command in ("resume", "report"):
            edited.assert_refused(command, str(path), "not readable as JSON")
        n_edits += 1
    tell(f"edited by hand: {n_edits} broken failures, manifests and arguments named and left alone")
