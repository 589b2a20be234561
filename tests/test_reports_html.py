"""Pages: what stands in them stays text, every number is the summary's, and the same run gives the same bytes."""

import base64
import json
import re
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bootcamp_cli import compare, open_run
from bootcamp_cli.analysis.contents import read_run
from bootcamp_cli.analysis.excerpts import KEPT, CutText, ExcerptChooser, find_excerpts
from bootcamp_cli.api import write_comparison_page
from bootcamp_cli.cli.command import with_pages
from bootcamp_cli.errors import UsageError
from bootcamp_cli.reports.columns import digits_borne
from bootcamp_cli.reports.html import document as document_module
from bootcamp_cli.reports.html.document import MAX_TEXT_BYTES, label
from bootcamp_cli.reports.html.run_page import AuditPart, run_page
from bootcamp_cli.store.lock import acquire
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.store.timeline import read_timeline
from bootcamp_cli.text import score_text, shortened
from bootcamp_cli.types import encode_line
from tests.conftest import RunBootcamp
from tests.html_pages import HOSTILE, Page, strings, write_hostile_run
from tests.run_directories import write_run, write_run_of_run_eval
from tests.test_store_journal import a_record

ANY_TEXT = st.text(st.characters(exclude_categories=()))


def page_of(run_dir: Path, **options: Any) -> Page:
    """The page of a run directory, without an audit, which would start processes."""
    return Page(page_bytes(run_dir, **options))


def page_bytes(run_dir: Path, **options: Any) -> bytes:
    """The file of `page_of`."""
    chooser = ExcerptChooser()
    contents = read_run(RunDir(run_dir), observer=chooser, **options)
    return run_page(
        contents,
        name=run_dir.name,
        chooser=chooser,
        audited=AuditPart(why_not="no"),
        parameters={"a": 1},
        timeline=read_timeline(RunDir(run_dir)),
    )


def assert_nothing_runs(page: Page) -> None:
    """No element and no attribute but those of the templates; every script and style is in the policy."""
    own = {"b", "img", "iframe", "object", "embed", "form", "base"}
    assert not own & {tag for tag, _ in page.elements}
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "src", "srcdoc")], tag
        if tag == "a":
            assert (attributes["href"] or "").startswith("#")
    directives = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
    for kind, found in (("script-src", page.scripts), ("style-src", page.styles)):
        digests = {f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'" for text in found}
        assert digests == set(directives[kind].split())
    assert directives["default-src"] == "'none'"
    assert "unsafe" not in page.policy


def assert_charts_are_text(page: Page) -> None:
    """Charts are of kinds that the policy allows, and no text in them has markup but our line breaks."""
    for chart in page.charts.values():
        assert {trace["type"] for trace in chart["traces"]} <= {"bar", "scatter", "histogram", "box"}
        for text in strings(chart):
            bare = text.replace("<br>", "")
            assert "<" not in bare
            assert re.sub(r"&(amp|lt|gt);", "", bare).count("&") == 0
            assert bare.isprintable()


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    """Markup, script ends, entities and terminal escapes in every place of a run are shown as they are."""
    page = page_of(write_hostile_run(tmp_path / "run", scores=(1.0, 0.0, 0.0, 0.5, 0.0, 0.0, 1.0, 0.0)))
    assert_nothing_runs(page)
    assert_charts_are_text(page)
    assert len(page.scripts) == 2
    assert HOSTILE[0] in page.text
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text
    shown = [text for text in HOSTILE if text.isprintable() and text in page.text]
    assert len(shown) >= 6
    assert any("&lt;b&gt;" in text for text in strings(page.charts))


def test_a_comparison_of_hostile_runs_stays_text(tmp_path: Path) -> None:
    """Flips are shown with both answers, and what they hold stays text."""
    before = write_hostile_run(tmp_path / "before", scores=(1.0, 1.0, 0.0, 1.0))
    after = write_hostile_run(tmp_path / "after", scores=(0.0, 0.0, 1.0, 1.0))
    write_comparison_page(compare(before, after), tmp_path / "x.html")
    page = Page((tmp_path / "x.html").read_bytes())
    assert_nothing_runs(page)
    assert_charts_are_text(page)
    assert "Got worse: 2 questions" in page.text
    assert "Got better: 1 question" in page.text
    assert page.text.count("Before: score 1") == 2
    assert HOSTILE[1] in page.text


def test_answers_of_two_megabytes_are_cut(tmp_path: Path) -> None:
    """Of long texts beginning and end are kept with the number of characters between, so that a page stays small."""
    run_dir = write_run(tmp_path / "run", {"Sudoku": [[0.0]]})
    text = "<" * 1_000_000 + "é" * 1_000_000
    record = replace(
        a_record(0, output=text), id=0, data_source="Sudoku", prompt=text, score=0.0, reasoning_content=text
    )
    (run_dir / "details" / "Sudoku.jsonl").write_bytes(encode_line(record))
    content = page_bytes(run_dir)
    page = Page(content)
    assert page.text.count("1,992,000 characters left out") == 3
    assert "<<<<" in page.text
    assert len(content) - sum(map(len, page.scripts)) < 2 * MAX_TEXT_BYTES


def test_the_texts_of_many_samples_fit(tmp_path: Path) -> None:
    """Where there are many samples their texts are cut further: the page of a large test set is below 8 MB."""
    text = "&" * 9000
    names = [f"Bootcamp{n}" for n in range(60)]
    run_dir = write_run(tmp_path / "run", {name: [[0.0]] * 5 for name in names})
    for name in names:
        records = (
            replace(a_record(row, output=text), id=row, data_source=name, prompt=text, score=0.0) for row in range(5)
        )
        (run_dir / "details" / f"{name}.jsonl").write_bytes(b"".join(map(encode_line, records)))
    assert len(page_bytes(run_dir)) < 8_000_000


def test_the_same_run_gives_the_same_page_in_any_order_of_its_records(tmp_path: Path) -> None:
    """Nothing tells when a page was made, and which samples are shown does not depend on the order of the answers."""
    run_dir = write_run(tmp_path / "run", {"Sudoku": [[score, score] for score in [1.0, 0.0, 0.5] * 20]})
    first = page_bytes(run_dir)
    details = run_dir / "details" / "Sudoku.jsonl"
    details.write_bytes(b"".join(reversed(details.read_bytes().splitlines(keepends=True))))
    assert page_bytes(run_dir) == first


def test_a_few_samples_of_each_outcome_are_chosen(tmp_path: Path) -> None:
    """No more than the declared number of each kind are kept, from all over the file; wrong ones come first."""
    scores = [[1.0], [0.0]] * 100
    run_dir = write_run(tmp_path / "run", {"Sudoku": scores})
    chooser = ExcerptChooser()
    [group] = read_run(RunDir(run_dir), observer=chooser).summary.groups
    chosen = chooser.of(group)
    assert Counter(each.outcome for each in chosen) == {name: KEPT[name] for name in ("wrong", "correct")}
    assert chosen[0].outcome == "wrong"
    assert max(each.key.row for each in chosen) > 100
    assert min(each.key.row for each in chosen) < 100


def test_a_verdict_takes_the_place_of_an_answer_that_waited_for_it(tmp_path: Path) -> None:
    """An answer recorded twice, first without its verdict, is one sample."""
    run_dir = write_run(tmp_path / "run", {"Sudoku": [[None], [None]]}, failure="pending")
    details = run_dir / "details" / "Sudoku.jsonl"
    written = details.read_text("utf-8").splitlines()
    scored = {**json.loads(written[0]), "score": 1.0}
    del scored["failure"], scored["failure_message"]
    details.write_text("\n".join([*written, json.dumps(scored)]) + "\n", encoding="utf-8")
    chooser = ExcerptChooser()
    [group] = read_run(RunDir(run_dir), observer=chooser).summary.groups
    assert [(each.key.row, each.outcome) for each in chooser.of(group)] == [(1, "without_verdict"), (0, "correct")]
    found = find_excerpts(RunDir(run_dir), [("Sudoku.jsonl", 0)])
    assert [each.score for each in found["Sudoku.jsonl", 0]] == [1.0]


@given(ANY_TEXT, st.integers(min_value=1, max_value=40), st.integers(min_value=1, max_value=40))
def test_a_cut_text_tells_how_much_is_missing(text: str, once: int, again: int) -> None:
    """However often a text is cut, beginning and end are its own, and what is left out is counted."""
    cut = CutText(head=text).cut(once).cut(again)
    assert len(cut) <= min(once, again) or cut.head == text
    assert len(cut) + cut.n_left_out == len(text)
    assert text.startswith(cut.head)
    assert text.endswith(cut.tail)


@given(ANY_TEXT)
def test_a_label_is_read_as_the_text_that_it_stands_for(text: str) -> None:
    """What plotly gets has no markup, and reads as the text, cut to one line."""
    assert "<" not in label(text)
    assert unescape(label(text)) == unescape(label(text).replace("&lt;", "<"))
    assert label(text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == shortened(text, 44)


def test_the_numbers_are_those_of_the_summary(tmp_path: Path) -> None:
    """Headline, tables and charts show what the summary says."""
    run_dir = write_run(tmp_path / "run", {"Maze": [[1.0, 0.0], [0.0, 0.0]], "Sudoku": [[1.0, 1.0], [0.5, 0.0]]})
    summary = open_run(run_dir).summary
    page = page_of(run_dir)
    assert summary.avg_score is not None
    assert summary.interval is not None
    digits = digits_borne(summary.interval)
    low, high = (score_text(end, digits) for end in (summary.interval.low, summary.interval.high))
    assert score_text(summary.avg_score, digits) in page.text
    assert f"95 % interval {low} to {high}" in page.text
    bars = page.charts["scores"]["traces"][0]
    assert sorted(bars["x"]) == sorted(group.avg_score or 0.0 for group in summary.groups)
    lengths = page.charts["lengths"]["traces"]
    assert {trace["name"]: sum(trace["y"]) for trace in lengths} == {"right": 3, "wrong": 5}
    passes = {trace["name"][:6]: trace["y"] for trace in page.charts["passes"]["traces"]}
    assert passes["pass@k"] == [each.pass_at.mean for each in summary.passes if each.pass_at]


def test_what_is_right_is_asked_for(tmp_path: Path) -> None:
    """The threshold decides which samples and lengths are shown as right."""
    run_dir = write_run(tmp_path / "run", {"Sudoku": [[0.5], [0.0]]})
    page = page_of(run_dir, right_at=0.5)
    assert {trace["name"] for trace in page.charts["lengths"]["traces"]} == {"right", "wrong"}
    assert {trace["name"] for trace in page_of(run_dir).charts["lengths"]["traces"]} == {"wrong"}


def test_a_run_without_any_answer_has_a_page(tmp_path: Path) -> None:
    """Where every sample failed, kinds and messages stand in place of scores."""
    run_dir = write_run(tmp_path / "run", {"Sudoku": []}, planned={"Sudoku": 2}, complete=False)
    failure = {"file": "Sudoku.jsonl", "row": 0, "kind": "timeout", "last_error": "no <b>answer</b>", "retries": ["x"]}
    (run_dir / "failures.jsonl").write_text(json.dumps(failure) + "\n", encoding="utf-8")
    page = page_of(run_dir)
    assert_nothing_runs(page)
    assert "no <b>answer</b>" in page.text
    assert list(page.charts) == ["kinds"]
    assert "latency: no record holds how long its answer took" in page.text


def test_throughput_and_latency_stand_over_time(tmp_path: Path) -> None:
    """Tokens a second and mean latencies stand at their times; a pause breaks the line."""
    run_dir = write_run(tmp_path / "run", {"Sudoku": [[1.0]]})
    lines = [
        {"start": 1_767_225_600 + start, "seconds": 10, "answers": 2, "tokens": 50 * start + 10, "latency_s": 3.0}
        for start in (0, 10, 60)
    ]
    (run_dir / "timeline.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    charts = page_of(run_dir).charts
    [throughput], [latency] = charts["throughput"]["traces"], charts["latency_over_time"]["traces"]
    times = ["2026-01-01 00:00:00", "2026-01-01 00:00:10", "2026-01-01 00:00:20", "2026-01-01 00:01:00"]
    assert throughput["x"] == latency["x"] == times
    assert throughput["y"] == [1.0, 51.0, None, 301.0]
    assert latency["y"] == [1.5, 1.5, None, 1.5]


def test_a_time_that_no_calendar_has_keeps_no_page_from_being_made(tmp_path: Path) -> None:
    """Whatever time stands in a timeline, the charts over time are drawn."""
    run_dir = write_run(tmp_path / "run", {"Sudoku": [[1.0]]})
    (run_dir / "timeline.jsonl").write_text(json.dumps({"start": 10 << 50, "seconds": 10, "answers": 2}) + "\n")
    [latency] = page_of(run_dir).charts["latency_over_time"]["traces"]
    assert (latency["x"], latency["y"]) == (["1970-01-01 00:00:00"], [0.0])


def test_a_run_with_nothing_at_all_has_a_page_without_charts(tmp_path: Path) -> None:
    """Without anything to draw plotly.js is left out."""
    run_dir = write_run(tmp_path / "run", {"Sudoku": []}, planned={"Sudoku": 2}, complete=False)
    content = page_bytes(run_dir)
    assert_nothing_runs(Page(content))
    assert len(content) < 100_000


def test_a_run_of_run_eval_has_a_page_without_secrets(tmp_path: Path) -> None:
    """A directory of the reference script is shown; a key or password that it wrote down is not."""
    run_dir = write_run_of_run_eval(
        tmp_path / "run", {"Sudoku": [[1.0], [0.0]]}, api_key="sk-planted-key", url="http://user:planted@host/v1"
    )
    page = page_of(run_dir)
    assert_nothing_runs(page)
    assert "planted" not in page.text
    assert "http://***@host/v1" in page.text
    assert "another program: there is no manifest.json" in page.text
    assert "Sudokubootcamp" in page.text


@pytest.mark.parametrize(
    "args",
    [
        {"url": "http://[user:planted@host/v1"},
        {"url": ["http://user:planted@a/v1", "http://b/v1"]},
        {"test_dir": ["s3://bucket", "https://user:planted@host/x.jsonl?sig=planted"]},
        {"serve": "vllm serve m --api-key planted"},
        {"serve": "vllm serve 'm --api-key planted"},
        {"endpoints": [{"url": "http://user:planted@a/v1", "api_key": "planted", "headers": {"X": "planted"}}]},
        {"endpoints": "planted", "headers": {"X": "planted"}},
        {"sys_prompt": {"token": "planted"}},
    ],
)
def test_a_page_masks_what_any_program_wrote_down(tmp_path: Path, args: dict[str, Any]) -> None:
    """Whatever form a parameter has in a directory of another program, the page is made and shows no secret of it."""
    run_dir = write_run_of_run_eval(tmp_path / "run", {"Sudoku": [[1.0]]}, **args)
    assert "planted" not in page_of(run_dir).text


def test_halves_of_repeats_are_compared_with_their_own_answers(tmp_path: Path) -> None:
    """In a comparison of a run with itself, before is an even and after an odd repeat."""
    run_dir = write_run(tmp_path / "run", {"Sudoku": [[1.0, 0.0, 1.0, 0.0]]})
    write_comparison_page(compare(run_dir, aa=True), tmp_path / "x.html")
    page = Page((tmp_path / "x.html").read_bytes())
    assert re.search(r"Before: score 1\s*right", page.text)
    assert re.search(r"After: score 0\s*wrong", page.text)


def test_report_writes_the_page_beside_the_other_reports(call_bootcamp: RunBootcamp, tmp_path: Path) -> None:
    """`report --html` takes the run directory that follows it for what it is; the page has the audit."""
    run_dir = write_run(tmp_path / "run", {"Sudoku": [[1.0], [0.0]]})
    done = call_bootcamp("report", "--html", run_dir)
    assert done.returncode == 0
    assert f"page: {run_dir / 'report.html'}" in done.stderr
    page = Page((run_dir / "report.html").read_bytes())
    assert "1 of 2 scored answers scored 0" in page.text
    assert (run_dir / "meta.jsonl").exists()
    assert "plotly" not in sys.modules
    elsewhere = tmp_path / "Other Page.HTML"
    assert call_bootcamp("report", run_dir, "--html", elsewhere, "--json").returncode == 0
    assert elsewhere.read_bytes() == (run_dir / "report.html").read_bytes()


def test_only_the_page_is_written_while_a_run_writes(call_bootcamp: RunBootcamp, tmp_path: Path) -> None:
    """A page of a live run is written to its directory, and nothing else there changes."""
    run_dir = write_run(tmp_path / "run", {"Sudoku": [[1.0]]}, planned={"Sudoku": 3}, complete=False)
    with acquire(run_dir):
        before = {path.name for path in run_dir.iterdir()}
        done = call_bootcamp("report", run_dir, "--html")
        assert {path.name for path in run_dir.iterdir()} - before == {"report.html"}
    assert "writing nothing but the page" in done.stderr
    assert "this run is not complete" in Page((run_dir / "report.html").read_bytes()).text


def test_a_page_that_cannot_be_written_to_the_run_is_written_here(call_bootcamp: RunBootcamp, tmp_path: Path) -> None:
    """Where the run directory does not take the page, it is written to the current directory, which is said."""
    run_dir = write_run(tmp_path / "run", {"Sudoku": [[1.0]]})
    (run_dir / "report.html" / "in the way").mkdir(parents=True)
    here = tmp_path / "here"
    here.mkdir()
    done = call_bootcamp("report", run_dir, "--html", cwd=here)
    assert done.returncode == 0
    assert "the page is run_report.html" in done.stderr
    assert "1.0000" in Page((here / "run_report.html").read_bytes()).text


@pytest.mark.parametrize("value", ["page.txt", "no/such/directory/page.html", "details"])
def test_a_place_that_is_none_is_refused_before_anything_is_written(
    call_bootcamp: RunBootcamp, tmp_path: Path, value: str
) -> None:
    """A wrong name or a missing directory is exit code 2, in one line."""
    run_dir = write_run(tmp_path / "run", {"Sudoku": [[1.0]]})
    done = call_bootcamp("report", run_dir, f"--html={value}")
    assert done.returncode == 2
    assert done.stderr.startswith("bootcamp: error: --html: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (run_dir / "meta.jsonl").exists()


def test_a_missing_package_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """Without the extra `html` the command ends with exit code 2 before anything is done."""
    monkeypatch.setattr(document_module, "find_spec", lambda _: None)
    run_dir = write_run(tmp_path / "run", {"Sudoku": [[1.0]]})
    for words in (["report", run_dir, "--html"], ["eval", "--html"], ["compare", run_dir, run_dir, "--html"]):
        done = call_bootcamp(*words)
        assert done.returncode == 2
        assert "pip install 'bootcamp-cli[html]'" in done.stderr
    with pytest.raises(UsageError, match="jinja2 is not installed"):
        open_run(run_dir).write_page()
    assert not (run_dir / "meta.jsonl").exists()


def test_compare_writes_a_page(call_bootcamp: RunBootcamp, tmp_path: Path) -> None:
    """`compare --html` writes comparison.html or the named file; three runs have a curve."""
    runs = [write_run(tmp_path / f"run{n}", {"Sudoku": [[1.0], [float(n > 0)], [float(n > 1)]]}) for n in range(3)]
    assert call_bootcamp("compare", "--html", *runs).returncode == 0
    page = Page((tmp_path / "comparison.html").read_bytes())
    assert_nothing_runs(page)
    assert_charts_are_text(page)
    assert {"curve", "steps", "families-1", "bootcamps-2"} <= set(page.charts)
    assert call_bootcamp("compare", *runs[:2], "--html", tmp_path / "two.html").returncode == 0
    assert "curve" not in Page((tmp_path / "two.html").read_bytes()).charts


def test_eval_writes_a_page_at_its_end(
    fault_server: Any, demo_test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """`eval --html` leaves report.html in the run directory."""
    server = fault_server(test_dir=demo_test_dir)
    words = ["--url", server.url, "--model-name", "demo", "--test-dir", demo_test_dir, "--include", "maze.jsonl"]
    done = call_bootcamp("eval", *words, "--html")
    [page] = (tmp_path / "output").glob("*/report.html")
    assert f"page: {page}" in done.stderr
    assert "Mazebootcamp" in Page(page.read_bytes()).text


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (["--html"], ["--html="]),
        (["--html", "run"], ["--html=", "run"]),
        (["--html", "a.html", "run"], ["--html=a.html", "run"]),
        (["--html=run", "x"], ["--html=run", "x"]),
        (["--format", "--html", "--html", "B.HTM"], ["--format", "--html", "--html=B.HTM"]),
        (["--", "--html"], ["--", "--html"]),
    ],
)
def test_the_word_after_html_is_its_value_only_if_it_names_a_page(words: list[str], read: list[str]) -> None:
    """So `--html RUN_DIR` needs no `=`."""
    assert with_pages(words, {"--html"}, {"--html", "--format"}) == read


def test_help_loads_neither_templates_nor_charts() -> None:
    """`bootcamp report --help` imports no jinja2 and no plotly."""
    code = "import sys; from bootcamp_cli.__main__ import main; main(['report', '--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"jinja2", "plotly", "markupsafe"} & set(done.stdout.split())
