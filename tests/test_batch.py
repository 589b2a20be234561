"""Batch files: requests for what a run owes, and their results as its answers."""

import http.client
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bootcamp_cli import Settings, StopRequest, api, open_run
from bootcamp_cli.cli.batch import export_command
from bootcamp_cli.engine.batch import BatchLimits
from bootcamp_cli.engine.importing import Results
from bootcamp_cli.errors import DatasetError, InterruptedRunError, RunLockedError, SettingsError, UsageError
from bootcamp_cli.events import Event, Noted, SampleRecorded, Warned
from bootcamp_cli.server.batch import custom_id, file_tag, id_of_result, parse_custom_id, parse_result
from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.server.response import parse_reply
from bootcamp_cli.store.lock import acquire
from bootcamp_cli.types import Sample
from tests.chaos.runs import TOLD_APART
from tests.conftest import FaultServerProcess, RunBootcamp, StartBootcamp, StartFaultServer, WriteRows

Lines = list[dict[str, Any]]
CHAT = ("--api-mode", "chat_completion", "--max-tokens", "4000", "--model-name", "demo")
TRUTH = {"start_word": "cat", "end_word": "dog", "correct_steps": 3}


def sample_of(file: str, row: int = 0, repeat: int = 0) -> Sample:
    """A sample of a test file."""
    return Sample(file=file, row=row, repeat=repeat, id=row, data_source="x", prompt="p", ground_truth=None)


def lines_of(*paths: Path) -> Lines:
    """The lines of JSON Lines files."""
    return [json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines()]


def write_lines(path: Path, lines: Sequence[dict[str, Any]]) -> Path:
    """Write JSON Lines."""
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def result(request: dict[str, Any], text: str = "[[3]]", **body: Any) -> dict[str, Any]:
    """The result of a request in OpenAI's form."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    reply = {"model": "demo", "choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 4}} | body
    return {"custom_id": request["custom_id"], "response": {"status_code": 200, "body": reply}, "error": None}


def carried_out(server: FaultServerProcess, requests: Lines) -> Lines:
    """What a batch service makes of requests: each sent to the server, the results in another order."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    results = []
    for request in requests:
        assert request.keys() == {"custom_id", "method", "url", "body"}
        connection.request(request["method"], request["url"], json.dumps(request["body"]))
        reply = connection.getresponse()
        response = {"status_code": reply.status, "request_id": "r", "body": json.load(reply)}
        results.append({"id": "b", "custom_id": request["custom_id"], "response": response, "error": None})
    connection.close()
    random.Random(0).shuffle(results)  # noqa: S311 - an order, no secret
    return results


def answers(run_dir: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of a run by test file, without what tells how they came."""
    return {
        path.name: [{key: value for key, value in record.items() if key not in TOLD_APART} for record in lines_of(path)]
        for path in sorted((run_dir / "details").iterdir())
    }


def contents(path: Path) -> dict[Path, bytes]:
    """All files of a run directory but its lock."""
    return {each: each.read_bytes() for each in path.rglob("*") if each.is_file() and ".lock" not in each.parts}


def exported(settings: Settings) -> tuple[Path, Lines]:
    """A run directory without answers, and the requests for them."""
    made = api.start_batch(settings)
    return made.run_dir, lines_of(*made.files)


@pytest.fixture
def settings(write_rows: WriteRows, tmp_path: Path) -> Callable[..., Settings]:
    """Makes the settings for two test files of three questions each."""
    for name in ("a", "b"):
        rows = [
            {"data_source": "KorPuzzleWordLadder", "prompt": f"question {name}{n}", "ground_truth": TRUTH}
            for n in range(3)
        ]
        write_rows(tmp_path / "tests" / f"{name}.jsonl", rows)

    def make(**values: Any) -> Settings:
        given: dict[str, Any] = {
            "test_dir": tmp_path / "tests",
            "model_name": "demo",
            "api_mode": "chat_completion",
            "max_tokens": 100,
            "output_dir": tmp_path / "output",
            "verify_workers": 1,
        }
        return Settings(**(given | values))

    return make


@given(st.text(min_size=1), st.integers(0, 10**9 - 1), st.integers(0, 9999))
def test_a_custom_id_tells_its_sample_in_64_characters(file: str, row: int, repeat: int) -> None:
    """Whatever the test file is called, file, row and repeat are read back, and another body has another digest."""
    text = custom_id(sample_of(file, row, repeat), b"{}")
    found = parse_custom_id(text)
    assert len(text) <= 64
    assert text.isascii()
    assert found is not None
    assert found[:3] == (file_tag(file), row, repeat)
    assert text != custom_id(sample_of(file, row, repeat), b"{1}")
    assert text != custom_id(sample_of(f"{file}x", row, repeat), b"{}")


@given(st.text())
def test_any_other_custom_id_is_nobodys(text: str) -> None:
    """An id that another program made is no error."""
    assert parse_custom_id(text) is None or text.count(":") == 3


@pytest.mark.parametrize(
    "message",
    [
        {"content": "x", "reasoning_content": "y"},
        {"content": [{"type": "text", "text": "x"}]},
        {"content": None, "refusal": "no"},
        {"content": "\ud800 x"},
        {"content": "x", "score": float("nan")},
    ],
)
def test_a_result_is_read_as_a_reply_is(message: dict[str, Any]) -> None:
    """The body of a result makes the answer that the same bytes make over HTTP."""
    reply = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"completion_tokens": 2}}
    line = json.dumps({"custom_id": "a", "response": {"status_code": 200, "body": reply}, "error": None}).encode()
    assert parse_result(line, "chat_completion", now_s=0) == parse_reply(json.dumps(reply).encode(), "chat_completion")
    assert id_of_result(line) == "a"


@pytest.mark.parametrize(
    ("found", "kind", "words"),
    [
        ({"response": {"status_code": 400, "body": {"error": {"message": "long"}}}}, "http_400", "HTTP 400: long"),
        ({"response": {"status_code": 404, "body": None}, "error": {"error": {"message": "no"}}}, "http_404", "no"),
        ({"response": {"status_code": 429, "body": {}}}, "rate_limited", "HTTP 429"),
        ({"response": {"status_code": 500, "body": "boom"}}, "http_500", "boom"),
        ({"response": None, "error": {"code": "batch_expired", "message": "late"}}, "timeout", "late"),
        ({"response": None, "error": {"code": "batch_cancelled", "message": "over"}}, "bad_response", "over"),
        ({"response": None, "error": "engine died"}, "bad_response", "engine died"),
        ({"response": None, "error": {"code": "insufficient_quota", "message": "pay"}}, "balance_used_up", "pay"),
        ({"response": None, "error": None}, "bad_response", "neither a reply nor an error"),
        ({"response": {"status_code": 200, "body": None}}, "bad_response", "neither a reply nor an error"),
        ({"response": {"status_code": 200, "body": {"choices": []}}}, "bad_response", "without choices"),
        ({"response": {"status_code": "x", "body": {}}}, "bad_response", "status_code"),
        ({"response": [], "error": {"message": "odd"}}, "bad_response", "odd"),
        ({"response": {"body": {"choices": [{"finish_reason": "abort", "text": "x"}]}}}, "cut_off", "abort"),
        ({"response": 3, "error": float("nan")}, "bad_response", "neither"),
    ],
)
def test_what_is_no_answer_is_a_failure_of_the_same_kind_as_over_http(
    found: dict[str, Any], kind: str, words: str
) -> None:
    """Statuses, errors of the batch and replies that say nothing have the kinds of failures over HTTP."""
    with pytest.raises(AttemptFailed, match=words) as failed:
        parse_result(json.dumps(found).encode(), "completion", now_s=0)
    assert failed.value.kind == kind
    assert failed.value.scope in ("sample", "run_stop")


PARTS = st.sampled_from(["custom_id", "response", "error", "body", "status_code"])
VALUES = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(PARTS, inner, max_size=4),
    max_leaves=8,
)


@given(st.binary(max_size=20) | VALUES.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 100_000)
@example(b'{"custom_id":"a","response":{"body":' + b'{"a":' * 50_000)
@example(b'{"custom_id":"a","error":' + b"[" * 10_000 + b"]" * 10_000 + b"}")
def test_no_line_breaks_the_reader(line: bytes) -> None:
    """Whatever stands in a line, it is a result, a failure or a line that cannot be read."""
    try:
        id_of_result(line)
    except ValueError:
        return
    with pytest.raises(AttemptFailed):
        parse_result(line, "completion", now_s=0)


def test_a_batch_makes_the_run_that_http_makes(
    fault_server: StartFaultServer, demo_test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """Requests carried out by a stub give the records, scores and identity that `eval` gives from the same server."""
    server = fault_server(test_dir=demo_test_dir, reasoning_parser=True)
    few = ("--test-dir", demo_test_dir, "--limit", "2", "--include", "[a-g]*", *CHAT)
    done = call_bootcamp("eval", "--url", server.url, "--output-dir", "http", *few)
    assert done.returncode == 0, done.stderr
    done = call_bootcamp("batch", "export", "--url", server.url, "--max-requests", "5", *few, "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    requests = lines_of(*map(Path, [tmp_path / name for name in made["files"]]))
    assert len(requests) == made["n_requests"] > len(made["files"]) > 2
    assert not any("stream" in request["body"] for request in requests)
    results = carried_out(server, requests)
    first, second = write_lines(tmp_path / "1", results[1:]), write_lines(tmp_path / "2", results[:1])
    done = call_bootcamp("batch", "import", first)
    assert done.returncode == 3, done.stderr
    assert "`bootcamp batch export" in done.stderr
    [by_http], [by_batch] = (tmp_path / "http").iterdir(), (tmp_path / "output").iterdir()
    done = call_bootcamp("batch", "import", second, first, "--run", by_batch)
    assert done.returncode == 0, done.stderr
    assert f"{len(results) - 1} results of samples that have an answer" in done.stderr
    assert answers(by_batch) == answers(by_http)
    assert json.loads((by_batch / "manifest.json").read_text("utf-8"))["complete"]
    meta = [(path / "meta.jsonl").read_bytes() for path in (by_http, by_batch)]
    assert meta[0] == meta[1]
    assert open_run(by_batch).summary.effort.n == 0  # nobody measured how long it took
    assert (by_http / "timeline.jsonl").exists() is not (by_batch / "timeline.jsonl").exists()
    assert json.loads(call_bootcamp("batch", "export", by_batch, "--json").stdout)["files"] == []


def test_errors_leave_their_samples_owed_and_the_next_batch_has_only_these(settings: Callable[..., Settings]) -> None:
    """What failed or was cut off is told in failures.jsonl, and asked again, until an answer comes."""
    path, requests = exported(settings())
    results = [result(request) for request in requests]
    results[0] |= {"response": None, "error": {"code": "batch_expired", "message": "late"}}
    results[1]["response"]["body"]["choices"][0]["finish_reason"] = "abort"
    run = open_run(path).import_batch([write_lines(path / "r.jsonl", results)])
    assert run.summary.n_answered == 4
    assert [(line["row"], line["kind"]) for line in lines_of(path / "failures.jsonl")] == [
        (0, "timeout"),
        (1, "cut_off"),
    ]
    again = run.export_batch()
    assert [path.name for path in again.files] == ["batch-00002.jsonl"]
    assert lines_of(*again.files) == requests[:2]
    run.import_batch([write_lines(path / "r.jsonl", [result(request) for request in requests[:2]])])
    assert run.summary.complete is False
    assert open_run(path).summary.complete
    assert not (path / "failures.jsonl").exists()


def test_the_first_answer_of_a_sample_counts_wherever_it_stands(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """An error beside an answer is no failure, and of two answers the first one is taken."""
    path, requests = exported(settings())
    failed = [{"custom_id": request["custom_id"], "response": None, "error": "lost"} for request in requests]
    texts = [[result(request, text) for request in requests] for text in ("first", "second")]
    files = [write_lines(tmp_path / f"{n}", lines) for n, lines in enumerate([failed, *texts])]
    events: list[Event] = []
    run = open_run(path).import_batch(files, events.append)
    assert {record["output"] for records in answers(path).values() for record in records} == {"first"}
    assert run.summary.complete
    assert not (path / "failures.jsonl").exists()
    assert any("12 results more than one for a sample" in event.message for event in events if isinstance(event, Noted))


def test_empty_answers_are_asked_again_by_redo_and_the_first_that_is_not_empty_counts(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """An empty answer is recorded; exported again, the records are set aside, and a later text takes their place."""
    path, requests = exported(settings())
    nothing = {"usage": None}
    texts = ["", *["x"] * 5]
    run = open_run(path).import_batch(
        [write_lines(tmp_path / "1", [result(r, text, **nothing) for r, text in zip(requests, texts, strict=True)])]
    )
    assert run.summary.complete
    assert run.summary.n_empty == 1
    again = run.export_batch(redo=["empty"])
    assert lines_of(*again.files) == requests[:1]
    assert len(lines_of(path / "redone" / "a.jsonl")) == 1
    run.import_batch([write_lines(tmp_path / "2", [result(requests[0], text, **nothing) for text in ("", "now", "x")])])
    assert answers(path)["a.jsonl"][0]["output"] == "now"
    assert run.export_batch(redo=["empty"]).files == ()


def test_results_need_no_file_of_servers(settings: Callable[..., Settings], tmp_path: Path) -> None:
    """The servers of the run may be gone, and the file that named them as well."""
    urls = tmp_path / "urls"
    urls.write_text("http://127.0.0.1:9/v1\n")
    urls.chmod(0o600)
    path, requests = exported(settings(url_file=urls))
    urls.unlink()
    file = tmp_path / "r.jsonl"
    write_lines(file, [result(request) for request in requests])
    assert open_run(path).import_batch([file]).summary.n_answered == len(requests)


def test_results_of_other_runs_are_left_out(settings: Callable[..., Settings], tmp_path: Path) -> None:
    """A result to other parameters, another prompt or an unknown id is counted, and no answer of this run."""
    path, requests = exported(settings())
    _, others = exported(settings(temperature=0.5))
    mixed = [result(request) for request in (requests[0], *others[1:3], {"custom_id": "request-1"})]
    torn = tmp_path / "r.jsonl"
    write_lines(torn, mixed)
    with torn.open("a", encoding="utf-8") as file:
        file.write('{"custom_id": "a.jsonl')
    events: list[Event] = []
    run = open_run(path).import_batch([torn], events.append)
    told = [event.message for event in events if isinstance(event, Noted | Warned)]
    assert run.summary.n_answered == 1
    assert "2 results to other prompts or parameters than the run's: left out" in told
    assert "1 result of no sample of this run: left out" in told
    assert any(message.startswith("1 line cannot be read as results") and "r.jsonl:5" in message for message in told)


@pytest.mark.parametrize("kind", ["other", "requests", "nonsense", "empty", "missing", "compressed", "pipe"])
def test_files_without_a_result_of_the_run_change_nothing(
    kind: str, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """The wrong file is an error that says what it is, and the run directory stays as it was."""
    path, requests = exported(settings())
    before = contents(path)
    file = tmp_path / "r.jsonl"
    match kind:
        case "other":
            write_lines(file, [result(request) for request in exported(settings(seed=1))[1]])
        case "requests":
            write_lines(file, requests)
        case "nonsense":
            file.write_bytes(b"\x00\xff\n[]\n")
        case "compressed":
            file.write_bytes(b"\x1f\x8b\x08")
        case "empty":
            file.touch()
        case "pipe":
            os.mkfifo(file)
        case _:
            assert kind == "missing"
    said = {
        "other": "6 results to other prompts or parameters",
        "requests": "no line can be read as a result",
        "nonsense": "no line can be read as a result",
        "empty": "empty",
        "missing": "cannot read",
        "compressed": "unpack it first",
        "pipe": "is no regular file",
    }
    with pytest.raises(DatasetError, match=said[kind]):
        open_run(path).import_batch([file])
    assert contents(path) == before


def test_an_import_that_is_stopped_goes_on_where_it_was(settings: Callable[..., Settings], tmp_path: Path) -> None:
    """After a stop in the middle, the same import takes what is missing: nothing is lost, nothing is there twice."""
    path, requests = exported(settings(repeats=40, max_concurrent_requests=2))
    file = write_lines(tmp_path / "r.jsonl", [result(request) for request in requests])
    stop = StopRequest()

    def stop_soon(event: Event) -> None:
        if isinstance(event, SampleRecorded):
            stop.request()

    with pytest.raises(InterruptedRunError, match=r"continue with the same import \(--run "):
        open_run(path).import_batch([file], stop_soon, stop=stop)
    assert 0 < sum(map(len, answers(path).values())) < 240
    assert open_run(path).import_batch([file]).summary.complete
    assert all(
        [(record["row"], record["repeat"]) for record in records] == [(row, n) for row in range(3) for n in range(40)]
        for records in answers(path).values()
    )


def test_a_file_has_no_more_than_the_limits_allow(settings: Callable[..., Settings], tmp_path: Path) -> None:
    """Files are split by requests and by bytes, whole lines each; a request that fits in none leaves no file."""
    path, requests = exported(settings())
    run = open_run(path)
    length = max(len(line) + 1 for line in (path / "batch" / "batch-00001.jsonl").read_text("utf-8").splitlines())
    by_bytes = run.export_batch(tmp_path / "bytes", limits=BatchLimits(max_bytes=2 * length))
    assert len(by_bytes.files) == 3
    assert all(path.stat().st_size <= 2 * length for path in by_bytes.files)
    by_number = run.export_batch(tmp_path / "number", limits=BatchLimits(max_requests=4))
    assert [len(lines_of(path)) for path in by_number.files] == [4, 2]
    assert lines_of(*by_bytes.files) == lines_of(*by_number.files) == requests
    with pytest.raises(UsageError, match="more than 10"):
        run.export_batch(tmp_path / "none", limits=BatchLimits(max_bytes=10))
    assert list((tmp_path / "none").iterdir()) == []
    with pytest.raises(UsageError, match="at least 1"):
        BatchLimits(max_requests=0)


def test_the_options_have_the_limits_of_the_library() -> None:
    """The command line and `BatchLimits` say the same; `--help` must not import the engine."""
    defaults = {param.name: param.default for param in export_command.params}
    limits = BatchLimits()
    assert (limits.max_requests, limits.max_bytes) == (defaults["max_requests"], defaults["max_bytes"])


def test_what_cannot_be_a_batch_is_refused_before_a_run_directory_is_made(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """Secrets in the body, a missing model name and an unknown context length leave nothing behind."""
    refused: dict[str, dict[str, Any]] = {
        "extra_body: holds a secret": {"extra_body": {"metadata": {"api_key": "s3cr3t-marker"}}},
        "no model name": {"model_name": None},
        "context length": {"max_tokens": "auto"},
    }
    for words, values in refused.items():
        with pytest.raises(SettingsError, match=words):
            api.start_batch(settings(**values))
    with pytest.raises(UsageError, match="more than 10"):
        api.start_batch(settings(), limits=BatchLimits(max_bytes=10))
    assert not list((tmp_path / "output").glob("*"))


def test_a_run_that_is_written_to_gives_no_batch(settings: Callable[..., Settings]) -> None:
    """While another process is at a run, what it has in flight would be asked twice: the lock is respected."""
    path, _ = exported(settings())
    with acquire(path, notify=lambda _: None), pytest.raises(RunLockedError):
        open_run(path).export_batch()


def test_a_streaming_run_is_exported_without_streaming_and_repeats_have_their_seeds(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """No request of a batch streams, each repeat has its own seed and id, and completions go to their own path."""
    path, requests = exported(settings(stream=True, seed=7, repeats=2, api_mode="completion", template="r1"))
    assert {request["url"] for request in requests} == {"/v1/completions"}
    assert [request["body"]["seed"] for request in requests] == [7, 8] * 6
    assert not any(key.startswith("stream") for request in requests for key in request["body"])
    assert len({request["custom_id"] for request in requests}) == 12
    reply = {"choices": [{"text": "so [[3]]", "finish_reason": "length"}]}
    results = [
        {"custom_id": request["custom_id"], "response": {"status_code": 200, "body": reply}} for request in requests
    ]
    run = open_run(path).import_batch([write_lines(tmp_path / "r.jsonl", results)])
    assert run.summary.complete
    assert {record["finish_reason"] for records in answers(path).values() for record in records} == {"length"}


def test_a_run_that_a_server_began_goes_on_as_a_batch(
    fault_server: StartFaultServer, demo_test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """What a server failed to answer is exported with the context length that it told, and its answers complete it."""
    server = fault_server(test_dir=demo_test_dir, max_model_len=9000, faults=["500:first=1"])
    done = call_bootcamp(
        *("eval", "--url", server.url, "--model-name", "demo", "--api-mode", "chat_completion", "--limit", "1"),
        *("--max-tokens", "auto", "--max-retries", "0", "--test-dir", demo_test_dir, "--include", "[a-c]*"),
    )
    assert done.returncode == 3, done.stderr
    [path] = (tmp_path / "output").iterdir()
    n_failed = len(lines_of(path / "failures.jsonl"))
    made = open_run(path).export_batch(url=server.url)
    requests = lines_of(*made.files)
    assert len(requests) == made.n_requests == n_failed > 0
    assert all(8000 < request["body"]["max_tokens"] < 9000 for request in requests)
    open_run(path).import_batch([write_lines(tmp_path / "r.jsonl", [result(request) for request in requests])])
    assert open_run(path).summary.complete
    assert all(8000 < record["max_tokens"] < 9000 for records in answers(path).values() for record in records)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12),
    st.dictionaries(st.integers(0, 3), st.integers(1, 2)),
)
def test_results_are_kept_by_sample_and_by_what_was_asked(found: list[tuple[int, int]], wanted: dict[int, int]) -> None:
    """A sample has the results with its stamp, or without one, in the order in which they stand; all are counted."""
    results = Results(paths=[Path(__file__)], read_as=[_state_of(Path(__file__))])
    for i, (place, stamp) in enumerate(found):
        results.add("a", place, path=0, offset=0, length=0, part=i, stamp=stamp)
    results.keep("a", [(place, wanted[place]) for place in wanted if results.holds("a", place)])
    fitting = {
        place: [i for i, (at, stamp) in enumerate(found) if at == place and stamp in (0, wanted.get(place, -1))]
        for place in wanted
    }
    kept = {place: parts for place, parts in fitting.items() if parts}
    assert {place: [part for _, part in results.lines("a", place)] for place in kept} == kept
    assert results.n_samples == len(kept)
    assert results.n_surplus == sum(len(parts) - 1 for parts in kept.values())
    assert results.n_foreign == sum(place not in wanted for place, _ in found)
    assert results.n_other_stamp + results.n_foreign + results.n_surplus + len(kept) == len(found)


def test_a_file_that_was_changed_meanwhile_gives_nothing(tmp_path: Path) -> None:
    """Where a result stood there may be that of another sample now."""
    file = tmp_path / "r.jsonl"
    file.write_bytes(b"one\n")
    results = Results(paths=[file], read_as=[_state_of(file)])
    results.add("a", 0, path=0, offset=0, length=3, part=0, stamp=0)
    assert list(results.lines("a", 0)) == [(b"one", 0)]
    file.write_bytes(b"other\n")
    with pytest.raises(DatasetError, match="was changed while it was imported"):
        list(results.lines("a", 0))


def test_an_import_that_is_killed_is_completed_by_the_same_import(
    settings: Callable[..., Settings], start_bootcamp: StartBootcamp, tmp_path: Path
) -> None:
    """Killed at some point after its first records, it leaves whole records, and the next one adds the others."""
    path, requests = exported(settings(repeats=200))
    file = write_lines(tmp_path / "r.jsonl", [result(request) for request in requests])
    process = start_bootcamp("batch", "import", file, "--run", path)
    while process.poll() is None and not any(each.stat().st_size for each in (path / "details").iterdir()):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert open_run(path).import_batch([file]).summary.complete
    assert all(
        [(record["row"], record["repeat"]) for record in records] == [(row, n) for row in range(3) for n in range(200)]
        for records in answers(path).values()
    )


def _state_of(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns
