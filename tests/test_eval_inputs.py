"""What `--test-dir` takes: directories and single files, several of them, compressed or not."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli import Settings
from bootcamp_cli.dataset.files import find_test_files, open_test_file
from bootcamp_cli.dataset.scan import scan_test_dir
from bootcamp_cli.dataset.stream import iter_samples
from bootcamp_cli.errors import DatasetError
from tests.conftest import RunBootcamp, StartFaultServer


def rows(n: int, first: int = 0) -> bytes:
    """Rows that any server answers wrongly, each with a prompt of its own."""
    truth = {"puzzle": "1 2 4 8", "target": 24}
    row: dict[str, Any] = {"data_source": "Game24", "ground_truth": truth}
    return b"".join(json.dumps(row | {"prompt": f"p{number}"}).encode() + b"\n" for number in range(first, first + n))


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A directory with two files, a compressed file and a plain one beside it."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.jsonl").write_bytes(rows(2))
    (tmp_path / "set" / "b.jsonl.gz").write_bytes(gzip.compress(rows(3, 10)))
    (tmp_path / "more.jsonl.gz").write_bytes(gzip.compress(rows(2, 20)) + gzip.compress(rows(2, 22)))
    (tmp_path / "one.jsonl").write_bytes(rows(1, 30))
    return tmp_path


def made(run: RunBootcamp, url: str, *inputs: Path, code: int = 0) -> str:
    """Evaluate these inputs; gives stderr."""
    words = [word for place in inputs for word in ("--test-dir", str(place))]
    done = run("eval", "--url", url, "--model-name", "demo", *words, "--output-dir", "out", "--template", "chatml")
    assert done.returncode == code, done.stderr
    return done.stderr


def test_several_inputs_are_one_run(places: Path, fault_server: StartFaultServer, call_bootcamp: RunBootcamp) -> None:
    """A file, a directory and a compressed file give one run, named after the first, with details named alike."""
    server = fault_server()
    made(call_bootcamp, server.url, places / "one.jsonl", places / "set", places / "more.jsonl.gz")
    [run_dir] = (places / "out").iterdir()
    assert run_dir.name.startswith("demo_one_2")
    n_records = {path.name: path.read_bytes().count(b"\n") for path in sorted((run_dir / "details").iterdir())}
    assert n_records == {"a.jsonl": 2, "b.jsonl": 3, "more.jsonl": 4, "one.jsonl": 1}
    args = json.loads((run_dir / "eval_args.json").read_bytes())
    assert args["test_dir"] == [str(places / name) for name in ("one.jsonl", "set", "more.jsonl.gz")]
    assert call_bootcamp("resume", run_dir).returncode == 0
    summary = json.loads(call_bootcamp("report", run_dir, "--json").stdout)
    assert (summary["n"], summary["test_dir"]) == (10, "one.jsonl and 2 more")


def test_a_single_file_stays_a_string(places: Path, fault_server: StartFaultServer, call_bootcamp: RunBootcamp) -> None:
    """A compressed file alone is a string in eval_args.json, and is continued only as long as it is the same."""
    server = fault_server(faults=["400:first=1"])
    source = places / "more.jsonl.gz"
    made(call_bootcamp, server.url, source, code=3)
    [run_dir] = (places / "out").iterdir()
    assert run_dir.name.startswith("demo_more_2")
    assert json.loads((run_dir / "eval_args.json").read_bytes())["test_dir"] == str(source)
    source.write_bytes(gzip.compress(rows(5, 20)))
    refused = call_bootcamp("resume", run_dir)
    assert refused.returncode == 2
    assert "more.jsonl changed since the run started" in refused.stderr
    source.write_bytes(gzip.compress(rows(4, 20), compresslevel=1))
    assert call_bootcamp("resume", run_dir).returncode == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [("a.jsonl", "a.jsonl"), (["a.jsonl"], "a.jsonl"), (["a.jsonl", "b"], ["a.jsonl", "b"])],
)
def test_sources_of_several_inputs(call_bootcamp: RunBootcamp, tmp_path: Path, given: Any, expected: Any) -> None:
    """TOML takes a string or a list, the variable a path or a JSON list, Python a path or a sequence."""
    paths = [str(tmp_path / name) for name in ([expected] if isinstance(expected, str) else expected)]
    wanted = paths[0] if isinstance(expected, str) else paths
    (tmp_path / "bootcamp.toml").write_text(f"test_dir = {json.dumps(given)}\n")
    of_file = json.loads(call_bootcamp("config", "show", "--json").stdout)
    text = given if isinstance(given, str) else json.dumps(given)
    of_variable = json.loads(call_bootcamp("config", "show", "--json", env={"BOOTCAMP_TEST_DIR": text}).stdout)
    assert of_file["test_dir"]["value"] == of_variable["test_dir"]["value"] == wanted
    settings = Settings(test_dir=given)
    assert settings.test_dir == (Path(expected) if isinstance(expected, str) else tuple(map(Path, expected)))
    assert Settings(test_dir=settings.test_dir) == settings


def test_two_inputs_of_one_name_are_refused(places: Path, call_bootcamp: RunBootcamp) -> None:
    """Files that a run could not tell apart end it with both paths; a pattern may leave one of them out."""
    (places / "set" / "a.jsonl.gz").write_bytes(gzip.compress(rows(1)))
    said = made(call_bootcamp, "http://127.0.0.1:9/v1", places / "set", code=2)
    assert f"two test files have the name a.jsonl in a run: {places / 'set' / 'a.jsonl'} and " in said
    assert "--exclude a.jsonl.gz" in said
    assert [file.n_rows for file in scan_test_dir(places / "set", exclude=["a.jsonl.gz"]).files] == [2, 3]
    with pytest.raises(DatasetError, match=r"two test files have the name one\.jsonl.*the same file: give it once"):
        scan_test_dir(places / "one.jsonl", places)


@given(st.binary(max_size=300_000), st.integers(0, 5), st.lists(st.integers(1, 200_000), min_size=1, max_size=4))
def test_compressed_files_are_read_as_they_are(tmp_path_factory: Any, data: bytes, n_zeros: int, sizes: Any) -> None:
    """Any contents in any number of members, with padding, come out whole, however many bytes are asked for."""
    path = tmp_path_factory.mktemp("gz") / "x.jsonl.gz"
    parts, start = [], 0
    for size in sizes:
        parts.append(gzip.compress(data[start : start + size], compresslevel=1))
        start += size
    path.write_bytes(b"".join(parts) + gzip.compress(data[start:] * 3) + bytes(n_zeros))
    with open_test_file(path) as file:
        assert file.read() == data[:start] + data[start:] * 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(rows(200))[:-20], "cut off"),
        (b"no gzip", "not a whole gzip file"),
        (b"", "not a gzip file, it is empty"),
        (gzip.compress(rows(2)) + b"rubbish", "not a whole gzip file"),
    ],
    ids=["cut", "plain", "empty", "with a rest"],  # the bytes themselves hold the time
)
def test_broken_compressed_files_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    """A compressed file that is none, or not whole, is refused with its name, also with skip_invalid."""
    (tmp_path / "x.jsonl.gz").write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        scan_test_dir(tmp_path, skip_invalid=True)
    assert caught.value.problems[0].startswith("x.jsonl.gz:1: cannot be read: ")
    assert words in caught.value.problems[0]


def test_samples_of_a_compressed_file(places: Path) -> None:
    """The samples of a compressed file are those of its contents, also with a limit, and a change is noticed."""
    source = places / "set" / "b.jsonl.gz"
    [file] = scan_test_dir(source, limit=2).files
    assert [sample.prompt for sample in iter_samples(file)] == ["p10", "p11"]
    source.write_bytes(gzip.compress(rows(3, 11)))
    with pytest.raises(DatasetError, match="changed while the run was reading it"):
        list(iter_samples(file))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"messages": [{"role": "user", "content": "q"}]}', ["form of `messages`", "`data_source`", "`ground_truth`"]),
        ('{"question": "q", "answer": "a"}', ["form of `question` and `answer`", "missing keys `data_source`"]),
        ('[{"data_source": "A", "prompt": "p", "ground_truth": 1}]', ["an array", "jq -c"]),
        ("[", ["cannot be read: it is a JSON array over several lines", "jq -c"]),
    ],
)
def test_rows_in_another_form_are_called_by_it(tmp_path: Path, line: str, said: list[str]) -> None:
    """Rows of other data sets are named by their form, with what is missing; an array is a single problem."""
    (tmp_path / "x.jsonl").write_text(f'{line}\n  {{"data_source": "A", "prompt": "p", "ground_truth": 1}}\n')
    with pytest.raises(DatasetError) as caught:
        scan_test_dir(tmp_path)
    [problem] = caught.value.problems
    assert [words for words in said if words not in problem] == []


def test_a_file_that_is_no_test_file(tmp_path: Path) -> None:
    """A file with another name is not read as rows; one with an array is called that."""
    (tmp_path / "x.json").write_text('[{"a": 1}]')
    with pytest.raises(DatasetError, match="a file with a JSON array; write one row per line"):
        find_test_files([tmp_path / "x.json"])
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match=r"not a directory, nor a file whose name ends in .jsonl or .jsonl.gz"):
        find_test_files([tmp_path / "x.parquet"])
