"""Calls the tool inside the test process, hundreds of times a second, and checks what it said."""

import os
import re
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from bootcamp_cli.__main__ import main

NOWHERE = "http://127.0.0.1:1/v1"
"""A URL on which nothing listens."""

_DOCUMENTED = frozenset({0, 1, 2, 3, 4, 130})
_FAILED = frozenset({1, 2, 4})
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a command ended, and what it printed."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str


def invoke(*words: str | Path) -> Said:
    """Run `bootcamp WORDS` in this process; whatever it raises is a finding."""
    argv = tuple(str(word) for word in words)
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(argv)
    return Said(words=argv, code=code, out=out.getvalue(), err=err.getvalue())


def invoke_decently(*words: str | Path) -> Said:
    """Run it and hold it to what is promised of every end of a command."""
    said = invoke(*words)
    assert_decent(said)
    return said


def assert_decent(said: Said) -> None:
    """No traceback, nothing unforeseen, a documented exit code, one line for an error, nothing a terminal obeys."""
    assert said.code in _DOCUMENTED, said
    assert "Traceback" not in said.err, said
    assert "unexpected error" not in said.err, said
    assert not _OBEYED.search(said.out), said
    assert not _OBEYED.search(said.err), said
    lines = said.err.splitlines()
    if said.code in _FAILED and "--help" not in said.err:
        errors = [line for line in lines if line.startswith("bootcamp: error: ")]
        assert len(errors) == 1, said
        assert all(line.startswith("  ") for line in lines[lines.index(errors[0]) + 1 :]), said


def isolate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take settings and keys out of the environment of this process; home and working directory are made ones."""
    for name in os.environ:
        if name.startswith(("BOOTCAMP_", "OPENAI_")):
            monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    monkeypatch.chdir(work)
