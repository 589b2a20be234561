"""What `--help` shows, and what it costs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootcamp_cli.__main__ import main
from bootcamp_cli.cli.app import COMMANDS, Entry, EntryGroup, load_command
from bootcamp_cli.settings.model import parameters
from tests.run_directories import write_run

HEAVY = {"httpx", "aiohttp", "pandas", "openpyxl", "sympy", "pydantic", "rich", "anyio", "asyncio"}


def entries() -> Iterator[tuple[tuple[str, ...], Entry]]:
    """Every command of the table with the words that call it."""
    for name, entry in COMMANDS.items():
        if isinstance(entry, EntryGroup):
            yield from (((name, child), below) for child, below in entry.entries.items())
        else:
            yield (name,), entry


ENTRIES = tuple(entries())
WORDS = tuple(words for words, _ in ENTRIES)


def help_of(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    """The help text of a command, which is its whole stdout."""
    assert main([*words, "--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_every_command_has_help_with_groups_and_an_example(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command explains itself: usage, a runnable example that calls it, its general options in a group."""
    text = help_of(words, capsys)
    assert text.startswith(f"Usage: bootcamp {' '.join(words)} ")
    _, _, example = text.partition("\nExample:\n")
    assert example.startswith(f"  bootcamp {' '.join(words)}")
    _, _, general = text.partition("\nGeneral:\n")
    assert all(f"--{name}" in general for name in ("json", "quiet", "debug", "help"))


@pytest.mark.parametrize("words", [(), ("templates",), *WORDS], ids=" ".join)
def test_help_fits_in_80_columns(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line of any help is wider than a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    assert [line for line in help_of(words, capsys).splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(("words", "entry"), ENTRIES, ids=[" ".join(words) for words in WORDS])
def test_the_list_of_commands_says_what_the_command_says(words: tuple[str, ...], entry: Entry) -> None:
    """The line in the table, which is shown without importing the command, is the first of the command's own help."""
    assert (load_command(words[-1], entry).help or "").splitlines()[0] == entry.help


def test_help_shows_every_setting_with_default_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    """`eval --help` lists each parameter below its group, dashed, with its variable."""
    text = help_of(("eval",), capsys)
    for parameter in parameters():
        assert f"\n{parameter.param.group}:\n" in text
        assert f"  {parameter.flag}" in text
        assert f"${parameter.env}]" in text
        assert "_" not in parameter.flag
    flat = " ".join(text.split())
    assert "[default: 32768; $BOOTCAMP_MAX_TOKENS]" in flat
    assert "--check-model-url / --no-check-model-url" in flat


def test_help_names_no_source_that_a_command_does_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    """`resume` takes what is not given from the run, `demo` reads neither environment nor files: no help says else."""
    resume, demo = help_of(("resume",), capsys), help_of(("demo",), capsys)
    assert "default: " not in resume
    assert "$BOOTCAMP_" not in resume + demo
    assert "default: chatml" in demo
    assert "--config" not in demo
    assert "--profile" not in demo


def test_help_without_a_command_lists_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    """`bootcamp --help` names every command and an example, `-h` does the same."""
    text = help_of((), capsys)
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert "\nExample:\n  bootcamp demo\n" in text
    assert main(["-h"]) == 0
    assert capsys.readouterr().out == text


def test_no_words_at_all_is_wrong_use_with_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`bootcamp` and `bootcamp templates` alone show what may follow, on stderr, and exit with 2."""
    assert main([]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.splitlines()[0]) == ("", "Usage: bootcamp COMMAND ...")
    assert main(["templates"]) == 2
    assert "show" in capsys.readouterr().err


def imported_by(*words: str) -> set[str]:
    """The top-level packages, and this package's modules, that a call of the module imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bootcamp_cli", *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    return names | {name.partition(".")[0] for name in names}


def test_help_imports_no_command_and_nothing_heavy() -> None:
    """`bootcamp --help` is made from the table alone."""
    imported = imported_by("--help")
    assert imported & HEAVY == set()
    targets = {entry.target.partition(":")[0] for _, entry in ENTRIES}
    assert imported & targets == set()
    assert not any(name.startswith("bootcamp_cli.settings") for name in imported)


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_help_of_a_command_imports_only_its_own(words: tuple[str, ...]) -> None:
    """The help of a command loads no other command and nothing heavy."""
    imported = imported_by(*words, "--help")
    assert imported & HEAVY == set()
    own = dict(ENTRIES)[words].target.partition(":")[0]
    others = {entry.target.partition(":")[0] for _, entry in ENTRIES} - {own}
    assert imported & others == set()


@pytest.mark.parametrize(
    "words",
    [
        ("templates", "list"),
        ("bootcamps", "list"),
        ("config", "show"),
        ("report", "RUN"),
        ("audit", "RUN"),
        ("compare", "RUN", "--baseline", "OTHER"),
        ("power", "RUN"),
        ("rescore", "RUN", "--dry-run"),
        ("demo", "--rows", "1", "--quiet", "--output-dir", "OUTPUT"),
    ],
    ids=lambda words: words[0],
)
def test_commands_that_show_no_frame_do_not_import_pandas(words: tuple[str, ...], tmp_path: Path) -> None:
    """From looking up templates to a whole evaluation with its reports, pandas stays unloaded."""
    run_dir = shutil.copytree(Path(__file__).parent / "fixtures" / "runs" / "complete", tmp_path / "run")
    other = shutil.copytree(run_dir, tmp_path / "other")
    places = {"RUN": str(run_dir), "OTHER": str(other), "OUTPUT": str(tmp_path / "output")}
    imported = imported_by(*(places.get(word, word) for word in words))
    assert "bootcamp_cli.cli.app" in imported
    assert imported & {"pandas", "bootcamp_cli.analysis.frames"} == set()


def test_a_workbook_needs_no_numpy(tmp_path: Path) -> None:
    """The command that writes one imports openpyxl alone; whoever asks for numpy afterwards gets it."""
    run_dir = write_run(tmp_path / "run", {"Sudoku": [[1.0], [0.0]]})
    assert {"openpyxl.workbook", "numpy.linalg"} & imported_by("report", str(run_dir)) == {"openpyxl.workbook"}
    code = (
        "from bootcamp_cli.cli.process import spare_numpy\n"
        "spare_numpy()\n"
        "import openpyxl, sys\n"
        "assert 'numpy' not in sys.modules\n"
        "import numpy, pandas\n"
        "openpyxl.Workbook().active.append([numpy.float64(0.5)])\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
