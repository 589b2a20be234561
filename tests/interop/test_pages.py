"""Pages in a real browser: no violation of their policy, no error, nothing of what they show runs."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from bootcamp_cli import compare, open_run
from bootcamp_cli.api import write_comparison_page
from tests.html_pages import write_hostile_run
from tests.run_directories import write_run

_PATIENCE_MS = 60_000


@contextmanager
def opened(browser: Browser, path: Path, *, width: int = 1280, **options: Any) -> Iterator[Page]:
    """The page of a file once its charts are drawn; at the end no error, violation, request or dialog may have been."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on(
        "request",
        lambda request: None if request.url.startswith(("file:", "data:")) else complaints.append(request.url),
    )
    page.add_init_script(
        "addEventListener('securitypolicyviolation', (event) => console.error('policy', event.violatedDirective))"
    )
    page.goto(path.as_uri())
    if options.get("java_script_enabled", True):
        page.wait_for_selector("html[data-ready]", state="attached", timeout=_PATIENCE_MS)
    yield page
    assert complaints == []
    context.close()


def made(write: Callable[[], Path]) -> Path:
    """A page, made in another thread: in this one runs the loop of the browser's driver."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(write).result()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with hostile texts everywhere."""
    folder = tmp_path_factory.mktemp("hostile")
    scores = (1.0, 0.0, 0.0, 0.5, 0.0, 0.0, 1.0, 0.0)
    return made(lambda: open_run(write_hostile_run(folder / "run", scores=scores)).write_page())


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with repeats, three bootcamps and two families."""
    folder = tmp_path_factory.mktemp("usual")
    scores = {
        "Maze": [[1.0, 0.0], [1.0, 1.0]],
        "Sudoku": [[0.0, 0.0], [0.0, 1.0]],
        "Cipher": [[0.5, 0.5], [1.0, 1.0]],
    }
    return made(lambda: open_run(write_run(folder / "run", scores)).write_page())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_texts_run_nothing_and_break_no_layout(
    browser: Browser, hostile: Path, width: int, scheme: str
) -> None:
    """No script, picture or link of an output comes to life, also in charts, and nothing is wider than the window."""
    with opened(browser, hostile, width=width, color_scheme=scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert page.title() != "owned"
        assert page.locator("main img, main iframe, main b, svg a, .chart a").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        labels = page.locator("#figure-scores .ytick text").all_text_contents()
        assert any(label.startswith("<b>") for label in labels)
        assert "<img src=x onerror" in page.locator("main").inner_text()


def test_every_chart_is_drawn(browser: Browser, usual: Path) -> None:
    """Each chart has its marks, in the colours of the theme."""
    with opened(browser, usual, color_scheme="dark") as page:
        names = page.evaluate("[...document.querySelectorAll('[data-chart]')].map((each) => each.dataset.chart)")
        assert {"scores", "length-and-score", "lengths", "passes", "latency", "latencies", "causes"} <= set(names)
        for name in names:
            marks = f"[data-chart={name}] :is(.bars path, .points path, .scatterlayer path, .boxes path, path.box)"
            assert page.locator(marks).count() > 0, name
        assert (
            page.locator("#figure-scores .bars path").first.evaluate("each => each.style.fill") == "rgb(106, 168, 234)"
        )
        page.emulate_media(color_scheme="light")
        page.wait_for_selector("#figure-scores .bars path[style*='rgb(47, 111, 183)']", timeout=_PATIENCE_MS)


def test_what_a_chart_says_under_the_mouse_is_text(browser: Browser, hostile: Path) -> None:
    """A hostile name is shown as it is where the mouse is over its bar; nothing is evaluated for it."""
    with opened(browser, hostile) as page:
        bars = page.locator("#figure-scores .bars path")
        hover = page.locator("#figure-scores .hoverlayer .hovertext")
        for at in range(bars.count()):
            bars.nth(at).scroll_into_view_if_needed()
            box = bars.nth(at).bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            hover.wait_for(timeout=_PATIENCE_MS)
            if "alert" in (hover.text_content() or ""):
                break
        assert "<b>é<∕b>&<script>alert(1)<∕script>bootcamp" in (hover.text_content() or "")
        assert page.locator(".hoverlayer a").count() == 0


def bootcamps(page: Page) -> list[str]:
    """The names in the table of bootcamps that are shown, in their order."""
    return [str(name) for name in page.locator("#table-bootcamps tbody tr:visible th").all_inner_texts()]


def test_tables_are_sorted_by_mouse_and_by_keyboard(browser: Browser, usual: Path) -> None:
    """A button in the head sorts numbers from the largest, names from A, and the other way round when used again."""
    with opened(browser, usual) as page:
        head = page.locator("#table-bootcamps thead th", has_text="score")
        head.get_by_role("button").click()
        assert bootcamps(page) == ["Cipherbootcamp", "Mazebootcamp", "Sudokubootcamp"]
        assert head.get_attribute("aria-sort") == "descending"
        page.keyboard.press("Enter")
        assert bootcamps(page)[0] == "Sudokubootcamp"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "low95"
        total = page.locator("#table-bootcamps tfoot").inner_text()
        assert "Total Average" in total


def test_a_filter_leaves_what_matches(browser: Browser, usual: Path) -> None:
    """Rows that do not have all words are hidden, and their number is said."""
    with opened(browser, usual) as page:
        page.get_by_label("Filter").fill("SUDO")
        assert bootcamps(page) == ["Sudokubootcamp"]
        assert "1 of 3 rows" in page.locator(".filter output").inner_text()
        page.get_by_label("Filter").fill("")
        assert len(bootcamps(page)) == 3


def test_a_bootcamp_leads_to_its_samples(browser: Browser, usual: Path) -> None:
    """The name in the table opens the fold with its samples, which opens by the keyboard as well."""
    with opened(browser, usual) as page:
        page.get_by_role("link", name="Sudokubootcamp").click()
        fold = page.locator("details.fold", has_text="Sudokubootcamp")
        expect(fold).to_have_attribute("open", "")
        expect(fold.locator("article").first).to_be_visible()
        fold.locator("summary").first.focus()
        page.keyboard.press("Enter")
        expect(fold).not_to_have_attribute("open", "")


def test_without_scripts_tables_and_folds_can_be_read(browser: Browser, usual: Path) -> None:
    """Where scripts do not run there are the numbers, the samples, and a word about the charts."""
    with opened(browser, usual, java_script_enabled=False) as page:
        assert len(bootcamps(page)) == 3
        assert page.get_by_text("The charts need JavaScript").is_visible()
        assert not page.locator(".filter").first.is_visible()
        page.locator("details.fold summary").first.click()
        assert page.locator("details.fold article").first.is_visible()


def test_a_comparison_is_shown_side_by_side(browser: Browser, tmp_path: Path) -> None:
    """Both answers of a question that flipped stand beside each other on a wide window, and below on a narrow one."""

    def write() -> Path:
        before = write_hostile_run(tmp_path / "before", scores=(1.0, 1.0, 0.0, 1.0))
        after = write_hostile_run(tmp_path / "after", scores=(0.0, 0.0, 1.0, 1.0), seed=3)
        write_comparison_page(compare(before, after), tmp_path / "comparison.html")
        return tmp_path / "comparison.html"

    path = made(write)
    for width, is_beside in ((1280, True), (390, False)):
        with opened(browser, path, width=width) as page:
            page.locator("details.fold > summary").first.click()
            first, second = (page.locator("details.fold section").nth(at).bounding_box() for at in (0, 1))
            assert first is not None
            assert second is not None
            assert (first["y"] == second["y"]) == is_beside
            assert page.locator("[data-chart=families-1] .points path").count() > 0
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_page_prints_in_light_colours(browser: Browser, usual: Path) -> None:
    """A dark page is printed as PDF without an error, its charts on white."""
    with opened(browser, usual, color_scheme="dark") as page:
        assert page.pdf(format="A4").startswith(b"%PDF")
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        page.emulate_media(media="screen")
        for event, color in (("beforeprint", "rgb(47, 111, 183)"), ("afterprint", "rgb(106, 168, 234)")):
            page.evaluate(f"dispatchEvent(new Event('{event}'))")
            page.wait_for_selector(f"#figure-scores .bars path[style*='{color}']", timeout=_PATIENCE_MS)
