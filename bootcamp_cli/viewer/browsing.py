"""One or two runs as the viewer looks at them: read in the background, filtered, searched, paired, audited on demand.

Methods that read or select block, so the server calls them in threads; each answers with what is known so far.
"""

import asyncio
import threading
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import msgspec

from bootcamp_cli.analysis.answer_parts import Piece, pieces
from bootcamp_cli.analysis.audit import Cause, Finding, audit_run
from bootcamp_cli.analysis.boards import Board, boards
from bootcamp_cli.analysis.samples import (
    Filter,
    Pairing,
    RunSamples,
    Samples,
    ShownSample,
    pair_runs,
)
from bootcamp_cli.errors import BootcampError
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.store.sample_index import StoppedError
from bootcamp_cli.text import visible, visible_lines
from bootcamp_cli.types import SampleKey, encode_exactly

MAX_PAGE = 500
"""How many samples of a list are given at once."""

SHOWN_CHARS = 100_000
"""Of longer texts only the two ends are shown, until all is asked for."""

_REFRESH_S = 2.0
_RESULTS_KEPT = 16

_T = TypeVar("_T")


@dataclass(slots=True, kw_only=True)
class Results:
    """The samples that fit a filter and contain a text, where there is one: those found so far, while it searches."""

    samples: Samples
    positions: list[int]
    found: list[int] | None = None
    n_looked_at: int = 0
    is_done: bool = True
    error: str | None = None
    made: float = field(default_factory=time.monotonic)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def shown(self) -> Sequence[int]:
        """The positions, as far as they are known."""
        return self.positions if self.found is None else self.found


@dataclass(slots=True, kw_only=True)
class Audited:
    """What is known of the causes of the answers that scored 0."""

    causes: dict[SampleKey, Cause] = field(default_factory=dict)
    n_done: int = 0
    n_all: int = 0
    is_started: bool = False
    is_done: bool = False
    error: str | None = None


class Browsing:
    """The runs of a viewer; `run` reads them until it is cancelled."""

    def __init__(self, runs: Sequence[RunSamples], settings: Settings) -> None:
        self._settings = settings
        self.runs = [_RunView(run) for run in runs]
        self.pairing: Pairing | None = None
        self.pairing_error: str | None = None
        self._paired = (-1, -1)
        self._stopping = threading.Event()

    async def run(self) -> None:
        """Read the runs, again and again, pair them where there are two, and audit those of which it was asked for."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for view in self.runs:
                    tasks.create_task(self._keep_reading(view))
                    tasks.create_task(self._audit_when_asked(view))
                if len(self.runs) > 1:
                    tasks.create_task(self._keep_pairing())
        finally:
            self._stopping.set()
            for view in self.runs:
                view.stop()

    async def _keep_reading(self, view: "_RunView") -> None:
        while True:
            with suppress(StoppedError):
                await _in_background(lambda: view.read(self._stopping.is_set))
            await asyncio.sleep(_REFRESH_S)

    async def _keep_pairing(self) -> None:
        first, second = self.runs
        while True:
            if not first.samples.is_complete or not second.samples.is_complete:
                await asyncio.sleep(_REFRESH_S / 20)
                continue
            sizes = await asyncio.to_thread(lambda: (len(first.samples.current), len(second.samples.current)))
            if sizes != self._paired:
                try:
                    self.pairing = await _in_background(
                        lambda: pair_runs(first.samples.run_dir, second.samples.run_dir)
                    )
                    self.pairing_error = None
                except BootcampError as error:
                    self.pairing_error = str(error)
                self._paired = sizes
            await asyncio.sleep(_REFRESH_S)

    async def _audit_when_asked(self, view: "_RunView") -> None:
        while True:
            await view.wait_for_audit()
            audited = view.audited

            def on_finding(key: SampleKey, finding: Finding | None) -> None:
                audited.n_done += 1  # noqa: B023 - called while this is awaited
                if finding is not None:
                    audited.causes[key] = finding.cause  # noqa: B023 - as above

            try:
                await audit_run(view.samples.run_dir, self._settings, on_finding)
            except BootcampError as error:
                audited.error = str(error)
            audited.is_done = True

    # What the page asks for; all of it blocks

    def state(self) -> dict[str, Any]:
        """What is known of the runs."""
        return {
            "runs": [view.state() for view in self.runs],
            "pairing": None
            if len(self.runs) == 1
            else {
                "ready": self.pairing is not None,
                "error": self.pairing_error,
                "n": 0 if self.pairing is None else len(self.pairing.kinds),
            },
            "causes": {cause.value: cause.meaning for cause in Cause},
        }

    def page(self, run: int, wanted: Filter, text: str, *, start: int, n: int, at: SampleKey | None) -> dict[str, Any]:
        """Some of the samples that fit, and how far the search is; with `at` those around that sample."""
        view = self.runs[run]
        if wanted.cause is not None:
            view.ask_for_audit()
        if len(self.runs) < 2:  # a link of a page over two runs
            wanted = replace(wanted, pairs=None)
        results = view.results(wanted, text, self.pairing)
        shown = results.shown
        place = None
        if at is not None:
            position = results.samples.position(at)
            if position is not None:
                place = bisect_left(shown, position)
                place = place if place < len(shown) and shown[place] == position else None
            if place is not None:
                start = place - place % n
        positions = shown[start : start + n]
        audited = view.audited
        is_waiting = wanted.pairs is not None and self.pairing is None and self.pairing_error is None
        return {
            "n": len(shown),
            "start": start,
            "at": place,
            "items": _visible(self._items(run, results.samples, positions)),
            "done": results.is_done and not is_waiting and (wanted.cause is None or audited.is_done),
            "looked_at": results.n_looked_at,
            "of": len(results.positions),
            "audited": [audited.n_done, audited.n_all] if wanted.cause is not None else None,
            "pairing": is_waiting,
            "error": results.error or (audited.error if wanted.cause is not None else None) or self.pairing_error,
        }

    def _items(self, run: int, samples: Samples, positions: Sequence[int]) -> list[dict[str, Any]]:
        items = samples.listed(positions)
        if self.pairing is None or run != 0:
            return items
        other = self.runs[1].samples.current
        for item, position in zip(items, positions, strict=True):
            partner = samples.partner(position, self.pairing, other)
            item["other"] = None if partner is None else {"status": other.listed([partner])[0]["status"]}
        return items

    def sample(self, run: int, key: SampleKey, *, whole: bool) -> dict[str, Any] | None:
        """A sample as the page shows it, with that of the other run beside it; None where there is no such sample."""
        view = self.runs[run]
        samples = view.samples.current
        position = samples.position(key)
        if position is None:
            return None
        shown: dict[str, Any] = {"sample": self._shown(view, samples, position, whole=whole)}
        if len(self.runs) > 1 and run == 0 and self.pairing is not None:
            other = self.runs[1]
            others = other.samples.current
            partner = samples.partner(position, self.pairing, others)
            shown["other"] = None if partner is None else self._shown(other, others, partner, whole=whole)
        return shown

    def _shown(self, view: "_RunView", samples: Samples, position: int, *, whole: bool) -> dict[str, Any]:
        sample = samples.open(position, view.audited.causes)
        key = samples.key(position)
        answers = samples.repeats_of(key.file, key.row)
        return shown_object(sample, whole=whole) | {
            "ref": file_reference(key.file),
            "repeats": _visible(samples.listed(answers)) if 1 < len(answers) <= MAX_PAGE else [],
        }

    def record(self, run: int, key: SampleKey) -> bytes | None:
        """A sample as JSON, exactly; None where there is no such sample."""
        view = self.runs[run]
        samples = view.samples.current
        position = samples.position(key)
        return (
            None
            if position is None
            else encode_exactly(msgspec.structs.asdict(samples.open(position, view.audited.causes)))
        )


class _RunView:
    """A run with what was asked of it lately."""

    def __init__(self, samples: RunSamples) -> None:
        self.samples = samples
        self.audited = Audited()
        self._progress = (0, 0)
        self._error: str | None = None
        self._results: OrderedDict[tuple[Filter, str], Results] = OrderedDict()
        self._guard = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._asked = asyncio.Event()

    def read(self, stopped: Callable[[], bool]) -> None:
        """Read what is new; an error is kept for the page."""

        def on_progress(done: int, total: int) -> None:
            self._progress = (done, total)

        try:
            self.samples.refresh(on_progress, stopped)
            self._error = None
        except BootcampError as error:
            self._error = str(error)

    def state(self) -> dict[str, Any]:
        """What is known of the run."""
        is_complete = self.samples.is_complete  # before the samples, which may become more meanwhile
        samples, audited = self.samples.current, self.audited
        counts = samples.counts()
        return {
            "name": visible(self.samples.run_dir.path.resolve().name),
            "path": visible(str(self.samples.run_dir.path)),
            "n": len(samples),
            "n_planned": self.samples.n_planned,
            "complete": is_complete,
            "progress": self._progress,
            "error": None if self._error is None else visible(self._error),
            "repeated": samples.is_repeated,
            "status": counts["status"],
            "files": [
                {"ref": file_reference(name), "name": visible(name), "n": n} for name, n in counts["file"].items()
            ],
            "families": [{"ref": name, "name": visible(name), "n": n} for name, n in counts["family"].items()],
            "audit": {"started": audited.is_started, "done": audited.is_done, "n": [audited.n_done, audited.n_all]},
        }

    def results(self, wanted: Filter, text: str, pairing: Pairing | None) -> Results:
        """The samples that fit; a search is started, and ends the one before it."""
        samples = self.samples.current
        with self._guard:
            known = self._results.get((wanted, text))
            if known is not None and self._holds(known, wanted, text, samples):
                self._results.move_to_end((wanted, text))
                return known
        positions = samples.select(wanted, causes=dict(self.audited.causes), pairing=pairing)
        results = Results(samples=samples, positions=positions.tolist())
        if text:
            results.found, results.is_done = [], False
        with self._guard:
            if text:
                for other in self._results.values():
                    other.stopping.set()
            self._results[wanted, text] = results
            while len(self._results) > _RESULTS_KEPT:
                self._results.popitem(last=False)[1].stopping.set()
        if text:
            threading.Thread(target=_search, args=(results, text), daemon=True, name="bootcamp search").start()
        return results

    def _holds(self, known: Results, wanted: Filter, text: str, samples: Samples) -> bool:
        """Whether results may be given again: nothing is new, or the search for them has just begun or ended."""
        if known.stopping.is_set() or known.error is not None:
            return False
        if text and (not known.is_done or time.monotonic() - known.made < 10 * _REFRESH_S):
            return True
        return known.samples is samples and wanted.cause is None and wanted.pairs is None

    def ask_for_audit(self) -> None:
        """Have the causes found, once, when everything is read."""
        if not self.audited.is_started and self.samples.is_complete:
            self.audited = Audited(is_started=True, n_all=self.samples.current.n_scored)
            self._loop.call_soon_threadsafe(self._asked.set)

    async def wait_for_audit(self) -> None:
        """Wait until the causes are asked for."""
        await self._asked.wait()
        self._asked.clear()

    def stop(self) -> None:
        """End the searches."""
        with self._guard:
            for results in self._results.values():
                results.stopping.set()


def _search(results: Results, text: str) -> None:
    def on_progress(n: int) -> None:
        results.n_looked_at = n

    assert results.found is not None  # noqa: S101 - of a search
    try:
        for position in results.samples.search(results.positions, text, on_progress, results.stopping.is_set):
            results.found.append(position)
    except BootcampError as error:
        results.error = str(error)
    results.is_done = True


async def _in_background(work: Callable[[], _T]) -> _T:
    """Do what may take long in a thread that does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(set_: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            set_(value)

    def run() -> None:
        try:
            outcome: tuple[Callable[[Any], None], Any] = future.set_result, work()
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            outcome = future.set_exception, error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, daemon=True, name="bootcamp view").start()
    return await future


def shown_object(sample: ShownSample, *, whole: bool = True) -> dict[str, Any]:
    """A sample as JSON for people: control characters as escapes, values as text, the answer in parts, with boards."""
    parts = pieces(sample)
    drawn = boards(sample.data_source, sample.ground_truth, sample.extracted_output)
    plain = {
        name: visible(value) if isinstance(value, str) else value
        for name, value in msgspec.structs.asdict(sample).items()
        if name not in ("prompt", "output", "reasoning_content", "ground_truth", "extracted_output", "id")
    }
    return plain | {
        "id": visible(str(sample.id)),
        "prompt": _shortened(sample.prompt, whole=whole),
        "parts": [_part(part, whole=whole) for part in _trimmed(parts)],
        "ground_truth": _shortened(value_text(sample.ground_truth), whole=whole),
        "extracted_output": None
        if sample.extracted_output is None
        else _shortened(value_text(sample.extracted_output), whole=whole),
        "boards": [_board(board) for board in drawn],
    }


def value_text(value: Any) -> str:
    """A JSON value as text: a string as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return encode_exactly(value).decode("utf-8", "replace")
    except RecursionError:
        return "(nested too deeply to be shown)"


def _trimmed(parts: list[Piece]) -> list[Piece]:
    """The parts without the blank lines that thinking leaves at the beginning of what follows it."""
    first = next((i for i, part in enumerate(parts) if not part.thinking), None)
    if first is None:
        return parts
    return [
        *parts[:first],
        msgspec.structs.replace(parts[first], text=parts[first].text.lstrip("\n")),
        *parts[first + 1 :],
    ]


def _part(part: Piece, *, whole: bool) -> dict[str, Any]:
    return {"thinking": part.thinking, "answer": part.answer} | _shortened(part.text, whole=whole)


def _shortened(text: str, *, whole: bool) -> dict[str, Any]:
    """A text with its length; a long one as its two ends."""
    if whole or len(text) <= SHOWN_CHARS:
        return {"text": visible_lines(text), "n": len(text)}
    half = SHOWN_CHARS // 2
    return {"text": visible_lines(text[:half]), "rest": visible_lines(text[-half:]), "n": len(text)}


def _board(board: Board) -> dict[str, Any]:
    return {
        "title": visible(board.title),
        "box": board.box,
        "rows": [[{"text": visible(cell.text), "marks": cell.marks} for cell in row] for row in board.rows],
    }


def _visible(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a list shows of samples; the file also as `file_reference`."""
    return [
        {
            **item,
            "data_source": visible(item["data_source"]),
            "file": visible(item["file"]),
            "ref": file_reference(item["file"]),
        }
        for item in items
    ]


def file_reference(name: str) -> str:
    """The name of a file in ASCII, by which the page asks for it: names may hold anything, also what is no text."""
    return quote(name, safe="", errors="surrogateescape")


def referenced_file(reference: str) -> str:
    """The name that a reference stands for."""
    return unquote(reference, errors="surrogateescape")
