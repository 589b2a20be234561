"""Names and texts from files, users and models are shown as they are: none is obeyed, none leads out of the run."""

import csv
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pexpect  # type: ignore[import-untyped]
import pytest

from tests.chaos.figure import tell
from tests.chaos.invocation import NOWHERE, invoke_decently, isolate
from tests.chaos.strategies import HOSTILE_TEXTS
from tests.conftest import StartFaultServer
from tests.test_eval_run_directory import run_dir_of

FILE_NAMES: tuple[bytes, ...] = (
    b"plain",
    b"line\nbreak",
    b"'quotes\" and $(touch owned) `x`; & |",
    b"a..b..",
    b"=HYPERLINK(1)",
    b"-rf",
    b"\x1b[2J\x1b]0;owned\x07",
    b"no utf-8 \xff\xfe",
    "汉字 \U0001f9e9 \u202egnp".encode(),
    b"%s{0}\\",
    b"[bold]x[]|y|<b>",
    b"x" * 249,
)
MODEL_NAMES = (
    "../../etc",
    "a/b",
    "=cmd|' /C calc'!A0",
    "\U0001f9e9",
    "..",
    "-x --y",
    "x" * 300,
)
_OBEYED = re.compile(r"\x1b\[2J|\x1b\]0|\x07|\u202e|\x9b")
_FORMULA = tuple("=+-@\t\r")


def write_tests(directory: Path) -> int:
    """A test dir of oddly named files, with rows of which every text is odd; gives the number of rows."""
    directory.mkdir()
    sources = [text for text in HOSTILE_TEXTS if text and "\ud800" not in text and "\0" not in text]
    for number, name in enumerate(FILE_NAMES):
        rows = [
            {
                "id": source,
                "data_source": source,
                "prompt": f"{number} {source}",
                "ground_truth": source,
                "answer": f"{source} {number}",
            }
            for source in sources[number % 2 :: 2]
        ]
        with Path(os.fsdecode(os.fsencode(directory) + b"/" + name + b".jsonl")).open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(row)}\n" for row in rows)
    return sum(path.read_bytes().count(b"\n") for path in directory.iterdir())


def assert_harmless_workbook(path: Path) -> int:
    """No cell is a formula or holds what a terminal obeys; gives the number of cells with text."""
    cells = [cell for sheet in openpyxl.load_workbook(path) for row in sheet.iter_rows() for cell in row]
    texts = [cell for cell in cells if isinstance(cell.value, str)]
    for cell in texts:
        assert cell.data_type == "s", cell.value
        assert str(cell.value).replace("\n", "").isprintable(), cell.value
    return len(texts)


def assert_harmless_table(markdown: str) -> None:
    """Each line of the table has the same number of cells, and no character of a name acts on Markdown or HTML."""
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    bars = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in table]
    assert len(set(bars)) == 1, bars
    assert not re.search(r"(?<!\\)[<>]", markdown)


def test_odd_names_and_texts(
    fault_server: StartFaultServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clean_environment: dict[str, str],
    long_form: bool,
) -> None:
    """Odd test files, data sources, ids, prompts, answers and models pass through every command and every report."""
    isolate(monkeypatch, tmp_path)
    tests = tmp_path / "tests"
    n_rows = write_tests(tests)
    server = fault_server(test_dir=tests, model=MODEL_NAMES)
    before = entries(tmp_path, without="work")
    n_cells = 0
    models = MODEL_NAMES if long_form else MODEL_NAMES[2:3]
    for number, model in enumerate(models):
        output = tmp_path / "work" / f"output{number}"
        words = ("--url", server.url, "--test-dir", tests, "--model-name", model, "--allow-unscored")
        said = invoke_decently("eval", *words, "--output-dir", output)
        assert said.code == 0, said
        run_dir = run_dir_of(output)
        assert {os.fsencode(path.name) for path in (run_dir / "details").iterdir()} == {
            name + b".jsonl" for name in FILE_NAMES
        }
        lines = [line for path in (run_dir / "details").iterdir() for line in path.read_bytes().splitlines()]
        records: list[dict[str, Any]] = [json.loads(line) for line in lines]
        assert len(records) == n_rows
        assert all(record["output"].endswith(f" {record['prompt'].split(' ', 1)[0]}") for record in records)
        n_cells += sum(assert_harmless_workbook(path) for path in run_dir.glob("*.xlsx"))
        assert_harmless_table(invoke_decently("report", run_dir, "--format", "markdown").out)
        for row in csv.reader(io.StringIO(invoke_decently("report", run_dir, "--format", "csv").out)):
            assert not any(cell.startswith(_FORMULA) for cell in row if not is_number(cell)), row
        assert json.loads(invoke_decently("report", run_dir, "--json").out)["n_groups_in_run"] > len(FILE_NAMES)
        assert invoke_decently("resume", run_dir, "--url", NOWHERE, "--wait", "0").code == 0
        assert invoke_decently("rescore", run_dir, "--allow-unscored").code == 0
        assert_obeys_nothing(["report", str(run_dir)], clean_environment)
    words = ("--url", server.url, "--test-dir", tests, "--model-name", MODEL_NAMES[2], "--allow-unscored")
    assert_obeys_nothing(["eval", *map(str, words)], clean_environment)
    assert entries(tmp_path, without="work") == before
    assert {path.name for path in Path().iterdir()} == {*(f"output{number}" for number in range(len(models))), "output"}
    tell(
        f"names: {len(FILE_NAMES)} file names, {len(models)} model names, {n_rows} rows each of odd texts, "
        f"{n_cells} workbook cells; nothing obeyed, nothing outside the run directory"
    )


@pytest.mark.parametrize("name", ["\x1b[2J\x1b]0;owned\x07", "a\nb", "\u202egnp", "\x9b31m"])
def test_names_that_a_server_lists(
    name: str, fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that no flag could give is refused as well where only the server lists it, before anything is started."""
    isolate(monkeypatch, tmp_path)
    server = fault_server(test_dir=demo_test_dir, model=name)
    words = ("--url", server.url, "--test-dir", demo_test_dir, "--limit", "1", "--include", "Cipher", "--wait", "0")
    said = invoke_decently("eval", *words, "--max-retries", "0")
    assert said.code in (2, 4), said
    assert not Path("output").exists()


@pytest.mark.parametrize("name", ["", " ", "\n", "a\nb", "\x1b[2J", "\x00"])
def test_no_name_at_all(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model name of nothing, or with control characters, is refused as the wrong value that it is."""
    isolate(monkeypatch, tmp_path)
    said = invoke_decently("eval", "--test-dir", tmp_path, "--model-name", name)
    assert said.code == 2
    assert "model-name" in said.err


def assert_obeys_nothing(words: list[str], environment: dict[str, str]) -> None:
    """Run a command in a terminal: nothing that a name or an answer holds reaches it as it is."""
    terminal = pexpect.spawn(
        sys.executable,
        ["-m", "bootcamp_cli", *words],
        env=environment | {"TERM": "xterm-256color"},
        encoding="utf-8",
        timeout=60,
        dimensions=(40, 120),
    )
    shown = str(terminal.read())
    terminal.close()
    assert terminal.exitstatus == 0, shown
    assert not _OBEYED.search(shown)


def is_number(cell: str) -> bool:
    """Whether a CSV cell is a plain number, which may begin with a minus."""
    return re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", cell) is not None


def entries(directory: Path, *, without: str) -> set[Path]:
    """Everything below a directory but one part of it, and what Python caches."""
    others = {without, ".home", "__pycache__"}
    return {path for path in directory.rglob("*") if others.isdisjoint(path.relative_to(directory).parts)}
