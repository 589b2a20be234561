"""Whatever stands in a test file, it is taken or refused as `file:line: what` before the first request."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.figure import tell
from tests.chaos.invocation import NOWHERE, invoke_decently, isolate
from tests.chaos.strategies import damaged, dumped, texts, tuned, values

ROW = {"id": 1, "data_source": "Sudoku", "prompt": "汉 p", "ground_truth": {"puzzle": [[0, 3], [None, "x"]]}}
EXAMPLE = b"".join(dumped(ROW | {"id": number}) + b"\n" for number in range(3))
OPTIONS = ((), ("--skip-invalid",), ("--allow-unscored",), ("--limit", "1"), ("--include", "Sudoku"))

rows = st.fixed_dictionaries(
    {"data_source": st.just("Sudoku") | texts, "prompt": texts, "ground_truth": values},
    optional={"id": values, "answer": texts},
).map(dumped)
files = damaged(EXAMPLE) | st.lists(rows | values.map(dumped), max_size=4).map(b"\n".join)


def test_test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long_form: bool) -> None:
    """A test file of any content is accepted whole, or refused with its name and the line, without any request."""
    isolate(monkeypatch, tmp_path)
    directory = tmp_path / "tests"
    directory.mkdir()
    codes: Counter[int] = Counter()

    @tuned(quick=40, long=20_000, is_long=long_form)
    @given(files, st.sampled_from(OPTIONS))
    def check(content: bytes, options: tuple[str, ...]) -> None:
        (directory / "odd.jsonl").write_bytes(content)
        words = ("--url", NOWHERE, "--wait", "0", "--model-name", "m")
        said = invoke_decently("eval", "--test-dir", directory, *words, *options)
        assert said.code in (2, 4), said
        named = re.search(r"odd\.jsonl:\d+: |no bootcamp|holds nothing|no row", said.err)
        assert said.code == 4 or named, said
        assert not list(Path().iterdir()), "no run directory is made for what was not started"
        codes[said.code] += 1

    check()
    assert json.loads(EXAMPLE.splitlines()[0]) == ROW | {"id": 0}
    tell(f"test files: {codes.total()} tried, {codes[2]} refused with file and line, {codes[4]} accepted")
