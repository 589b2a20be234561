"""What reports tell of the endpoints of a run: figures by endpoint, which one differs, and no more for one alone."""

import json
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bootcamp_cli import open_run
from bootcamp_cli.analysis.contents import read_run
from bootcamp_cli.analysis.endpoints import Endpoints, endpoints_of
from bootcamp_cli.store.atomic import no_check
from bootcamp_cli.store.endpoints import EndpointTraffic, merge_endpoints, read_endpoints, write_endpoints
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import Record, encode_line
from tests.conftest import RunBootcamp
from tests.html_pages import Page
from tests.run_directories import write_run

A, B, ODD = "http://a:8000/v1", "http://b:8000/v1", "http://odd:8000/v1"


def fleet_run(path: Path, endpoints: tuple[str | None, ...] = (A, B, ODD), n: int = 300) -> Path:
    """A run of two bootcamps on these endpoints, of which ODD loses 40 points and is slow."""
    draw = random.Random(1)  # noqa: S311 - a simulation
    write_run(path, {name: [[1.0]] * n for name in ("Sudoku", "Maze")})
    for file in (path / "details").iterdir():
        lines = []
        for line in file.read_bytes().splitlines():
            record = msgspec.json.decode(line, type=Record)
            endpoint = draw.choice(endpoints)
            is_right = draw.random() < (0.3 if endpoint == ODD else 0.7)
            lines.append(
                encode_line(
                    replace(
                        record,
                        endpoint=endpoint,
                        score=float(is_right),
                        output_len=100,
                        output_len_estimated=False,
                        latency_s=4.0 if endpoint == ODD else 2.0,
                    )
                )
            )
        file.write_bytes(b"".join(lines))
    return path


def summed(path: Path) -> Endpoints:
    """The endpoints of a run directory."""
    return endpoints_of(read_run(RunDir(path)).shown)


def test_the_figures_by_endpoint_are_those_of_its_records(tmp_path: Path) -> None:
    """Answers, score, latency and speed of each endpoint come from its records, and add up to the run's."""
    run = fleet_run(tmp_path / "run")
    rows = {row.endpoint: row for row in summed(run).rows}
    records = [
        msgspec.json.decode(line, type=Record)
        for file in (run / "details").iterdir()
        for line in file.read_bytes().splitlines()
    ]
    assert sorted(rows) == [A, B, ODD]
    for endpoint, row in rows.items():
        own = [record for record in records if record.endpoint == endpoint]
        assert (row.n, row.n_scored, row.n_truncated) == (len(own), len(own), 0)
        assert row.avg_score == pytest.approx(sum(record.score or 0 for record in own) / len(own))
        assert row.interval is not None
        assert row.avg_score is not None
        assert row.interval.low < row.avg_score < row.interval.high
        assert row.tokens_per_second == pytest.approx(25 if endpoint == ODD else 50)
        assert row.avg_len == 100


def test_the_odd_one_is_named_in_every_report(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Terminal, Markdown, JSON and page name the endpoint that loses 40 points; meta.jsonl has nothing of it."""
    run = fleet_run(tmp_path / "run")
    table = call_bootcamp("report", str(run)).stdout
    assert f"endpoint {ODD} differs: average score 0.3" in table
    assert call_bootcamp("report", str(run), "--format", "markdown").stdout.count("differs: average score") == 1
    found = json.loads(call_bootcamp("report", str(run), "--json").stdout)
    assert [(each["endpoint"], each["measure"]) for each in found["drift"]] == [(ODD, "score")]
    assert [each["endpoint"] for each in found["endpoints"]] == [A, B, ODD]
    assert found["endpoints"][2]["compared"]["score"]["difference"] < -0.3
    page = open_run(run).write_page(tmp_path / "page.html")
    text = Page(page.read_bytes()).text
    assert f"endpoint {ODD} differs" in text
    assert not (run / "meta.jsonl").exists() or ODD not in (run / "meta.jsonl").read_text()


def test_one_endpoint_is_in_json_only(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """A run on one server has no table of endpoints, but its figures as JSON; one without names has none."""
    run = fleet_run(tmp_path / "run", (A,), n=20)
    assert "endpoint" not in call_bootcamp("report", str(run)).stdout
    [row] = json.loads(call_bootcamp("report", str(run), "--json").stdout)["endpoints"]
    assert (row["endpoint"], row["n_answered"], row["tokens_per_second"], row["compared"]) == (A, 40, 50.0, {})
    unnamed = fleet_run(tmp_path / "unnamed", (None,), n=5)
    assert json.loads(call_bootcamp("report", str(unnamed), "--json").stdout)["endpoints"] == []


def test_endpoints_that_records_name_are_data(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """What a record calls its endpoint is shown without terminal control, markup, or credentials."""
    hostile = "http://u:pa55-of-u@x/v1?\x1b[2J<script>alert(1)</script>|`", "http://[broken", "x" * 5000
    run = fleet_run(tmp_path / "run", (A, *hostile), n=60)
    shown = [
        call_bootcamp("report", str(run), *form).stdout for form in ([], ["--format", "markdown"], ["--format", "json"])
    ]
    page = open_run(run).write_page(tmp_path / "page.html").read_text("utf-8")
    for text in (*shown, page):
        assert [part for part in ("\x1b", "pa55-of-u", "x" * 200) if part in text] == []
    assert "<script>alert(1)" not in page
    assert "<script>" not in shown[1]


def test_requests_and_failures_stand_beside_the_answers(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """What endpoints.json counts is shown by endpoint, also of one that gave no answer."""
    run = fleet_run(tmp_path / "run", (A, B), n=20)
    traffic = EndpointTraffic(n_requests=123, n_answered=20, failures={"timeout": 103}, n_away=2, away_s=61.0)
    write_endpoints(RunDir(run), {A: traffic, "http://dead/v1": EndpointTraffic(failures={"connection": 7})}, no_check)
    table = call_bootcamp("report", str(run)).stdout
    assert "failed requests at all endpoints: 7 connection, 103 timeout" in table
    assert "123" in table
    found = json.loads(call_bootcamp("report", str(run), "--json").stdout)
    rows = {each["endpoint"]: each for each in found["endpoints"]}
    assert rows[A]["requests"]["failures"] == {"timeout": 103}
    assert rows["http://dead/v1"]["n_answered"] == 0
    assert rows[B]["requests"] is None


@given(st.one_of(st.binary(max_size=60), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)))
def test_what_cannot_be_read_of_the_traffic_is_left_out(
    tmp_path_factory: pytest.TempPathFactory, content: bytes | str
) -> None:
    """Whatever stands in endpoints.json, reading it gives what is right in it, and no error."""
    run_dir = RunDir(tmp_path_factory.mktemp("run"))
    run_dir.endpoints.write_bytes(content.encode() if isinstance(content, str) else content)
    assert isinstance(read_endpoints(run_dir), dict)


def test_traffic_is_added_up_where_runs_are_merged(tmp_path: Path) -> None:
    """The traffic of shards is the sum of each endpoint's, and wrong entries of one shard spoil no other."""
    shards = [RunDir(tmp_path / name) for name in ("1", "2", "out")]
    for each in shards:
        each.path.mkdir()
    one = EndpointTraffic(n_requests=3, n_answered=1, failures={"timeout": 2}, n_away=1, away_s=2.5)
    write_endpoints(shards[0], {A: one}, no_check)
    parts = {A: msgspec.to_builtins(one), B: {"n_requests": -1}, "http://u:p@c/v1": {"n_requests": 4}}
    shards[1].endpoints.write_text(json.dumps(parts))
    merge_endpoints(shards[:2], shards[2])
    assert read_endpoints(shards[2]) == {
        A: EndpointTraffic(n_requests=6, n_answered=2, failures={"timeout": 4}, n_away=2, away_s=5.0),
        "http://***@c/v1": EndpointTraffic(n_requests=4),
    }
