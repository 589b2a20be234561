"""Pages taken apart, and run directories with hostile texts in every place."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bootcamp_cli.types import encode_line
from tests.run_directories import write_run
from tests.test_store_journal import a_record

HOSTILE = (
    "<script>document.title='owned'</script>",
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<b>bold</b>",
    '<a href="https://example.org/">link</a>',
    "&lt;b&gt; &amp; %{x}",
    "\x1b[31mred\x1b[0m\u202e",
    "\"><svg onload=alert(1)> ' {{ 7 * 7 }} {% raw %}",
)
"""Texts that must stay texts."""

NAME = "<b>é</b>&<script>alert(1)</script>"
"""A hostile name that a file may have, once its slashes are gone."""


class Page(HTMLParser):
    """A page taken apart: elements with their attributes, texts, scripts and styles."""

    def __init__(self, content: bytes) -> None:
        """Take the page apart."""
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self._data: dict[str, str] = {}
        self._open = ""
        self._kind = ""
        self.feed(content.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element."""
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag in ("script", "style"):
            self._open, self._kind = tag, attributes.get("type") or tag
            self._data[self._kind] = ""

    def handle_endtag(self, tag: str) -> None:
        """Take what stood in a script or style."""
        if tag == self._open:
            target = {"script": self.scripts, "style": self.styles}.get(self._kind)
            if target is not None:
                target.append(self._data[self._kind])
            self._open = ""

    def handle_data(self, data: str) -> None:
        """Take a text."""
        if self._open:
            self._data[self._kind] += data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All that is read."""
        return "".join(self.texts)

    @property
    def charts(self) -> dict[str, Any]:
        """The specifications of the charts."""
        found: dict[str, Any] = json.loads(self._data["application/json"])
        return found

    @property
    def policy(self) -> str:
        """The Content-Security-Policy."""
        return next(a["content"] or "" for tag, a in self.elements if tag == "meta" and "http-equiv" in a)


def strings(value: Any) -> list[str]:
    """Every string in a JSON value, keys left out."""
    if isinstance(value, str):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for child in children for text in strings(child)]


def write_hostile_run(path: Path, *, scores: tuple[float, ...] = (1.0, 0.0, 0.0, 0.5), seed: int = 0) -> Path:
    """A run directory with hostile texts in names, prompts, outputs, thinking, ground truths and arguments."""
    data_source = NAME.replace("/", "\u2215")
    write_run(path, {data_source: [[score] for score in scores], "Sudoku": [[1.0]]}, complete=False)
    lines = []
    for row, score in enumerate(scores):
        text = HOSTILE[(row + seed) % len(HOSTILE)]
        record = replace(
            a_record(row, output=f"<think>{text}</think>{text}"),
            id=row,
            data_source=data_source,
            prompt=text,
            ground_truth={text: text},
            extracted_output=[text],
            finish_reason="length" if row == 1 else "stop",
            score=score,
            retries=(text,),
        )
        lines.append(encode_line(record))
    (path / "details" / f"{data_source}.jsonl").write_bytes(b"".join(lines))
    args = {"model_name": HOSTILE[0], "test_dir": f"/x/{NAME.replace('/', '_')}", HOSTILE[2]: HOSTILE[1]}
    (path / "eval_args.json").write_text(json.dumps(args), encoding="utf-8")
    return path
