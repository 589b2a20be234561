"""`python -m bootcamp_cli.cli.docs [--check]`: update the generated parts of README.md from the declarations.

These are the table of the parameters and the names of the report forms.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from bootcamp_cli.reports.forms import TEXT_FORMS
from bootcamp_cli.settings.convert import default_text
from bootcamp_cli.settings.model import Kind, Parameter, parameters

README = Path(__file__).parents[2] / "README.md"


def with_generated_parts(readme: str) -> str:
    """The text with everything between the markers updated.

    Raises:
        ValueError: a pair of markers is not there once each, in order.
    """
    formats = ", ".join(f"`{name}`" for name in TEXT_FORMS)
    return replace_generated(
        replace_generated(readme, "parameters", parameter_table()), "formats", formats, inline=True
    )


def replace_generated(readme: str, name: str, content: str, *, inline: bool = False) -> str:
    """The text with what stands between `<!-- name:begin -->` and `<!-- name:end -->` replaced.

    The content is a separate block unless `inline` is set.

    Raises:
        ValueError: the two markers are not there once each, in order.
    """
    first, last = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, begin, rest = readme.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end or first in rest or last in before + after:
        raise ValueError(f"README.md needs {first} and after it {last}, once each, around the generated part")
    space = "" if inline else "\n\n"
    return f"{before}{first}{space}{content.strip()}{space}{last}{after}"


_TYPES: dict[Kind, str] = {
    "text": "text",
    "url": "URL",
    "command": "command",
    "secret": "secret text",
    "prompt": "text or @FILE",
    "path": "path",
    "data": "path or URL",
    "integer": "integer",
    "number": "number",
    "duration": "duration",
    "switch": "true or false",
    "choice": "",
    "words": "texts, repeatable",
    "globs": "globs, repeatable",
    "json": "JSON object",
    "headers": "JSON object of texts",
    "shard": "I/N",
    "endpoints": "JSON list of objects",
}


def parameter_table() -> str:
    """The table in Markdown: a row per parameter, named as in TOML, in the order of `--help`."""
    rows = [("parameter", "type", "default", "meaning"), ("---", "---", "---", "---")]
    rows += [(f"`{p.name}`", type_text(p), default_text(p), p.param.help) for p in parameters()]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def type_text(parameter: Parameter) -> str:
    """Type and bounds in words: `integer >= 1`."""
    param = parameter.param
    if param.kind == "choice":
        return ", ".join(parameter.choices)
    bounds = []
    if param.minimum is not None:
        bounds.append(f">= {param.minimum:g}")
    if param.above is not None:
        bounds.append(f"> {param.above:g}")
    if param.maximum is not None:
        bounds.append(f"<= {param.maximum:g}")
    text = f"{_TYPES[param.kind]} {', '.join(bounds)}".rstrip() + (", repeatable" if param.several else "")
    return f"{text} or {param.word}" if param.word else text


def update(contents: Mapping[Path, str], *, check: bool) -> int:
    """Write the files that differ; with `check` only name them, and return 1 if there are any."""
    stale = {path: text for path, text in contents.items() if not path.is_file() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        print(f"{path}: {'out of date' if check else 'written'}", file=sys.stderr)  # noqa: T201 - a build command
    return 1 if check and stale else 0


if __name__ == "__main__":
    try:
        text = with_generated_parts(README.read_text("utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"docs: {error}")
    sys.exit(update({README: text}, check="--check" in sys.argv[1:]))
