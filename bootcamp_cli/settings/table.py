"""The parameter table of the README, from the declarations."""

from bootcamp_cli.settings.masking import shown_value
from bootcamp_cli.settings.model import parameters
from bootcamp_cli.settings.param import Kind, Parameter

_TYPES: dict[Kind, str] = {
    "text": "text",
    "url": "URL",
    "secret": "secret text",
    "prompt": "text or @FILE",
    "path": "path",
    "integer": "integer",
    "number": "number",
    "duration": "duration",
    "switch": "true or false",
    "choice": "",
    "words": "texts, repeatable",
    "globs": "globs, repeatable",
    "json": "JSON object",
    "headers": "JSON object of texts",
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
    return f"{_TYPES[param.kind]} {', '.join(bounds)}".rstrip()


def default_text(parameter: Parameter) -> str:
    """The default in words, as help and README show it."""
    return parameter.param.default_text or shown_value(parameter, parameter.default)
