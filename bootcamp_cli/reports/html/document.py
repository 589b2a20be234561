"""One HTML file that opens without a network: templates with everything escaped, charts, and a strict policy.

Scripts and styles stand in the file, and the Content-Security-Policy names each by its hash, so that nothing else
runs: no script in an output, no `style` attribute, nothing from anywhere. Charts are drawn by plotly.js, which is read
as text from the installed package `plotly`; that package is never imported.

Plotly renders some markup in labels (`<b>`, `<a href>`): every text that it gets comes from `label`. It injects style
elements at run time, unless those of their names are there: then it puts its rules into them, which it may.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootcamp_cli.errors import UsageError
from bootcamp_cli.text import shortened, visible_lines

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from bootcamp_cli.analysis.excerpts import CutText, Excerpt

_ASSETS = Path(__file__).parent / "assets"
_PLOTLY_STYLE = "/* for plotly.js */"

Trace = dict[str, Any]


OUTCOMES: Mapping[str, str] = {
    "correct": "right",
    "wrong": "wrong",
    "truncated": "truncated",
    "empty": "empty",
    "filtered": "filtered",
    "without_verdict": "without a verdict",
}
"""What became of an answer, in words."""

MAX_BARS = 150
"""How many bootcamps the charts of bootcamps show."""

ROW_PX = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart: plotly's traces and layout, with the theme left to the page.

    Only bar, scatter, histogram and box: others do not work under the policy. Colours are names of the page's CSS
    variables. Every text is from `label`. `about` says below the title what is seen.
    """

    name: str
    title: str
    about: str
    height: int
    traces: Sequence[Trace]
    layout: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A score with its interval as a drawing, in percent of its width."""

    width: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell of a table: its text, what it is sorted by if that is a number, and its place in the page to go to."""

    text: str
    value: float | None = None
    is_number: bool = False
    bar: Bar | None = None
    target: str = ""
    mood: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HtmlTable:
    """A table; `total` is its last row, which sorting and filtering leave alone."""

    caption: str
    titles: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    total: Sequence[Cell] = ()
    can_be_sorted: bool = False


def plain_table(caption: str, rows: Sequence[Sequence[str]], *, numbers: range) -> HtmlTable:
    """A table of texts, the first row its titles; `numbers` are the columns of numbers."""
    titles, *body = [[Cell(text=text, is_number=at in numbers) for at, text in enumerate(row)] for row in rows]
    return HtmlTable(caption=caption, titles=titles, rows=body)


def error_bars(above: Sequence[float], below: Sequence[float], *, color: str, thickness: float = 1.2) -> dict[str, Any]:
    """The lines of intervals that reach so far above and below their values."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, distance) for distance in above],
        "arrayminus": [max(0.0, distance) for distance in below],
        "color": color,
        "thickness": thickness,
        "width": 3,
    }


def name_axis(names: Sequence[str], *, room: float = 0.6) -> dict[str, Any]:
    """Names at whole numbers, with room before and after them.

    Plotly would merge equal ones, and take `1e5` or `2026-01-01` for a number or a date.
    """
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [label(name) for name in names],
        "range": [-room, len(names) - 1 + room],
        "zeroline": False,
        "showgrid": False,
    }


def require_html() -> None:
    """Check that pages can be made, before anything else is done.

    Raises:
        UsageError: a package that they need is not installed.
    """
    for package in ("jinja2", "plotly"):
        if find_spec(package) is None:
            raise UsageError(f"--html: the package {package} is not installed", hint="pip install 'bootcamp-cli[html]'")


def document(template: str, *, charts: Sequence[Chart], **content: Any) -> bytes:
    """The file that a template makes of its content.

    Raises:
        UsageError: a package that it needs is not installed.
    """
    from markupsafe import Markup  # noqa: PLC0415 - an extra

    require_html()
    scripts = [_text("page.js")]
    if charts:
        scripts.insert(0, _plotly())
    styles = {"page": _text("page.css")}
    if charts:
        styles |= dict.fromkeys(_style_ids(), _PLOTLY_STYLE)
    policy = (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles.values())}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    page = (
        _environment()
        .get_template(template)
        .render(
            content,
            charts=charts,
            policy=policy,
            styles={name: Markup(style) for name, style in styles.items()},  # noqa: S704 - the files of this package
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - as above, and plotly's
            chart_data=Markup(_json({chart.name: _specification(chart) for chart in charts})),  # noqa: S704 - escaped there
        )
    )
    return page.encode(errors="backslashreplace")


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - an extra

    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(_ASSETS),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible_lines
    environment.filters["count"] = lambda n: f"{n:,}"
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(text: str) -> "Markup":
    """A text, escaped, with places where a long name may be broken: `Sudoku|bootcamp`, `Kor|Logic`, `no_|answer`."""
    from markupsafe import Markup, escape  # noqa: PLC0415 - an extra

    return Markup(_BREAKS.sub("<wbr>", str(escape(text))))  # noqa: S704 - escaped; no entity has such a place


_BREAKS = re.compile(r"(?<=[a-z0-9])(?=[A-Z]|bootcamp\b)|(?<=_)(?=[a-z])")


@cache
def _text(name: str) -> str:
    return (_ASSETS / name).read_text("utf-8")


@cache
def _plotly() -> str:
    """plotly.js, in a form that no script element is ended by, and that HTML reads as it is written."""
    found = find_spec("plotly")
    places = list(found.submodule_search_locations or ()) if found else []
    for place in places:
        path = Path(place) / "package_data" / "plotly.min.js"
        if path.is_file():
            text = path.read_text("utf-8").replace("\r\n", "\n").replace("\r", "\n")
            return re.sub(r"</(?=script)", r"<\\/", text.replace("<!--", r"<\!--"), flags=re.IGNORECASE)
    raise UsageError(
        "--html: the package plotly has no plotly.min.js", hint="pip install --upgrade 'bootcamp-cli[html]'"
    )


def _style_ids() -> list[str]:
    """The style elements that plotly.js would make: where one is there, it puts its rules into it or leaves it alone.

    The second kind, named by a digest, is that of maps.
    """
    return ["plotly.js-style-global", *sorted(set(_STYLE_ID.findall(_plotly())))]


_STYLE_ID = re.compile(r'getElementById\("([0-9a-f]{40,})"\)')


def _hashes(texts: "Sequence[str] | Any") -> str:
    digests = (sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def _specification(chart: Chart) -> dict[str, Any]:
    return {"traces": list(chart.traces), "layout": dict(chart.layout), "height": chart.height}


def _json(value: Any) -> str:
    """JSON that ends no script element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


_MAX_LABEL = 44


def label(text: str, max_chars: int = _MAX_LABEL) -> str:
    """A text for plotly, which shows it as it is: one line, no markup and no entity."""
    line = shortened(text, max_chars)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


MAX_TEXT_BYTES = 1_800_000
"""How much the texts of all samples of a page may take, as they stand in it."""

_CUTS = (8000, 6000, 4000, 3000, 2000, 1500, 1000, 700, 500, 300, 200, 100)


def fitting(groups: Sequence[Sequence["Excerpt"]], max_bytes: int = MAX_TEXT_BYTES) -> list[list["Excerpt"]]:
    """The samples with their texts cut alike, so far that all of them fit into the page."""
    from bootcamp_cli.analysis.excerpts import TEXTS  # noqa: PLC0415 - with its readers

    cut: list[list[Excerpt]] = []
    for most in _CUTS:
        cut = [[excerpt.cut(most) for excerpt in group] for group in groups]
        texts = (getattr(excerpt, name) for group in cut for excerpt in group for name in TEXTS)
        if sum(map(_size, texts)) <= max_bytes:
            return cut
    return cut


def _size(text: "CutText") -> int:
    from markupsafe import escape  # noqa: PLC0415 - an extra

    return sum(len(escape(visible_lines(part)).encode(errors="backslashreplace")) for part in (text.head, text.tail))
