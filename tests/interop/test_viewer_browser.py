"""The viewer in a real browser: no error, nothing against its policy, keys, links, two runs, hostile text as text."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, expect

from bootcamp_cli import Settings
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import encode_line
from bootcamp_cli.viewer.server import serve
from tests.run_directories import write_run
from tests.test_store_journal import a_failure, a_record

HOSTILE = '<script>window.broken = 1</script></script><img src=x onerror="window.broken = 2">=HYPERLINK(1)\x1b[2J\u202e'
SUDOKU = {"puzzle": [[1, 0, 0, 4], [0, 4, 1, 0], [2, 0, 4, 0], [0, 3, 0, 1]], "size": 4, "region_rows": 2}
ANSWER = [[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 2]]
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}


@contextmanager
def page_of(browser: Browser, *runs: Path, viewport: Any = DESKTOP, **context: Any) -> Iterator[Page]:
    """The page of a viewer of these runs, once its list is there; fails if the browser complained of anything."""
    complaints: list[str] = []
    asked_for: list[str] = []
    with start_blocking_portal() as portal:
        serving = serve([RunDir(run) for run in runs], Settings(verify_workers=1))
        with portal.wrap_async_context_manager(serving) as url:
            opened = browser.new_context(viewport=viewport, **context)
            page = opened.new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda asked: asked_for.append(asked.url))
            page.goto(url)
            page.wait_for_selector("#samples button")
            yield page
            assert page.evaluate("window.broken") is None
            assert [other for other in asked_for if not other.startswith(url.partition("?")[0])] == []
            opened.close()
    assert complaints == []


def a_run(path: Path, *, scores: tuple[float, ...] = (1.0, 0.0, 0.0), **changes: Any) -> Path:
    """A run with a sudoku in each row, and a failed sample."""
    write_run(path, {"Sudoku": [[score] for score in scores]}, planned={"Sudoku": len(scores) + 1})
    records = [
        replace(
            a_record(row),
            data_source="Sudoku",
            prompt=f"question {row}",
            output=f"<think>the thought of row {row}</think>\n\nIt is [answer]block {row}[/answer].",
            ground_truth=SUDOKU,
            extracted_output=ANSWER,
            score=score,
            **changes,
        )
        for row, score in enumerate(scores)
    ]
    (path / "details" / "Sudoku.jsonl").write_bytes(b"".join(map(encode_line, records)))
    failure = replace(a_failure(len(scores)), file="Sudoku.jsonl", data_source="Sudoku")
    (path / "failures.jsonl").write_bytes(encode_line(failure))
    return path


def test_a_sample_is_shown_with_its_parts(browser: Browser, tmp_path: Path) -> None:
    """Thinking is folded, the block marked, the board drawn, extracted beside ground truth; the token is gone."""
    with page_of(browser, a_run(tmp_path / "run")) as page:
        assert "token" not in page.url
        page.click("#samples li:nth-child(2) button")
        expect(page.locator("#sample h2")).to_have_text("Sudoku.jsonl:1")
        assert not page.get_by_text("the thought of row 1").is_visible()
        expect(page.locator("mark.answer")).to_have_text("[answer]block 1[/answer]")
        assert page.locator(".board td").count() == 16
        assert page.locator(".board td.wrong").count() == 3
        extracted, truth = (
            page.get_by_role("heading", name=name).bounding_box() for name in ("Extracted", "Ground truth")
        )
        assert extracted is not None
        assert truth is not None
        assert extracted["y"] == truth["y"]


def test_keys_go_through_the_samples(browser: Browser, tmp_path: Path) -> None:
    """The keys j and k go on and back, t unfolds thinking, / searches, Escape leaves; each sample has its address."""
    with page_of(browser, a_run(tmp_path / "run")) as page:
        title = page.locator("#sample h2")
        for key, row in (("j", 0), ("j", 1), ("ArrowRight", 2), ("k", 1)):
            page.keyboard.press(key)
            expect(title).to_have_text(f"Sudoku.jsonl:{row}")
        page.keyboard.press("t")
        expect(page.get_by_text("the thought of row 1")).to_be_visible()
        address = page.url
        page.keyboard.press("Escape")
        expect(title).to_have_count(0)
        page.goto(address)
        expect(title).to_have_text("Sudoku.jsonl:1")
        page.keyboard.press("/")
        page.keyboard.type("question 2")
        expect(page.locator("#samples li")).to_have_count(1)
        expect(page.locator("#samples li")).to_contain_text("Sudoku.jsonl:2")


def test_filters_narrow_the_list(browser: Browser, tmp_path: Path) -> None:
    """What became of a sample is chosen by a button, which tells how many there are; going back undoes it."""
    with page_of(browser, a_run(tmp_path / "run")) as page:
        page.get_by_role("button", name="wrong 2", exact=True).click()
        expect(page.locator("#samples li")).to_have_count(2)
        page.get_by_role("button", name="failed 1", exact=True).click()
        expect(page.locator("#samples li")).to_have_count(1)
        page.keyboard.press("j")
        expect(page.locator("#sample")).to_contain_text("No answer.")
        page.select_option("#cause", "no_answer_block")
        expect(page.locator("#found")).to_have_text("0 samples", timeout=30_000)
        page.goto(page.url.partition("#")[0])
        expect(page.locator("#samples li")).to_have_count(4)


def test_two_runs_stand_side_by_side(browser: Browser, tmp_path: Path) -> None:
    """Both answers are there, the prompt once, and "only B right" leaves the questions of which that is so."""
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b", scores=(1.0, 1.0, 0.0))
    with page_of(browser, a, b) as page:
        expect(page.locator("#reading")).to_contain_text("4 questions in both")
        page.select_option("#pairs", "only_b")
        expect(page.locator("#samples li")).to_have_count(1)
        page.keyboard.press("j")
        expect(page.locator("mark.answer")).to_have_count(2)
        assert page.get_by_text("question 1").count() == 1
        boxes = [page.locator(f".sides > section:nth-child({n}) > h2").first.bounding_box() for n in (1, 2)]
        assert boxes[0] is not None
        assert boxes[1] is not None
        assert boxes[0]["y"] == boxes[1]["y"]


def test_a_run_that_goes_on_refreshes_itself(browser: Browser, tmp_path: Path) -> None:
    """What is appended appears without reloading, and the sample that is open stays."""
    run = a_run(tmp_path / "run")
    with page_of(browser, run) as page:
        page.keyboard.press("j")
        with (run / "details" / "Sudoku.jsonl").open("ab") as file:
            file.write(encode_line(replace(a_record(3), data_source="Sudoku", prompt="new")))
        expect(page.get_by_role("button", name="right 2", exact=True)).to_be_visible(timeout=20_000)
        expect(page.locator("#sample h2")).to_have_text("Sudoku.jsonl:0")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_hostile_text_stays_text(browser: Browser, tmp_path: Path, viewport: Any) -> None:
    """Tags, entities and escapes in every text, in names, and 2 MB of them, run nothing and widen no page."""
    path = tmp_path / "<img src=x onerror=alert(1)>"
    (path / "details").mkdir(parents=True)
    records = [
        {
            "id": HOSTILE,
            "prompt": HOSTILE,
            "output": f"{HOSTILE}<think>{HOSTILE}</think>{HOSTILE} [[{HOSTILE}]]",
            "ground_truth": {HOSTILE: [[HOSTILE[:8], 1], [1, 2]]},
            "score": 0.0,
            "extracted_output": HOSTILE,
            "data_source": HOSTILE,
            "model": HOSTILE,
        },
        {"id": 1, "prompt": "p", "output": "<b>" * 700_000, "ground_truth": 1, "score": 0.0, "data_source": "x"},
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (path / "details" / "<b onclick=alert(1)>'\"&amp;.jsonl").write_text(lines, encoding="utf-8")
    with page_of(browser, path, viewport=viewport) as page:
        page.locator("#samples button").first.click()
        expect(page.locator("#sample .prompt pre")).to_contain_text("<script>window.broken = 1</script></script><img")
        assert page.locator("#sample img, #sample script, #sample b, h1 img").count() == 0
        assert "\x1b" not in page.locator("body").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.locator("#next").click()
        page.get_by_role("button", name="show all 2,100,000 characters").click()
        expect(page.locator("#sample .cut")).to_have_count(0, timeout=60_000)
        assert (
            page.evaluate("[...document.querySelectorAll('#sample pre')].map(pre => pre.textContent.length)")[1]
            == 2_100_000
        )


def test_a_sample_is_copied_as_json(browser: Browser, tmp_path: Path) -> None:
    """What is copied is the sample, as JSON reads it."""
    with page_of(browser, a_run(tmp_path / "run"), permissions=["clipboard-read", "clipboard-write"]) as page:
        page.keyboard.press("j")
        page.click("#copy")
        expect(page.locator("#copy")).to_have_text("Copied")
        copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
        assert (copied["row"], copied["ground_truth"]) == (0, SUDOKU)


def test_a_phone_shows_list_and_sample_in_turn(browser: Browser, tmp_path: Path) -> None:
    """On a narrow screen a sample takes the place of the list until one goes back."""
    with page_of(browser, a_run(tmp_path / "run"), viewport=PHONE) as page:
        page.locator("#samples button").first.click()
        expect(page.locator("#sample h2")).to_be_visible()
        expect(page.locator("#list")).to_be_hidden()
        page.get_by_role("button", name="Back to the list").click()
        expect(page.locator("#list")).to_be_visible()
