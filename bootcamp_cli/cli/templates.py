"""`bootcamp templates list` and `show`."""

from typing import TYPE_CHECKING, Annotated

import typer

from bootcamp_cli.cli.console import aligned
from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.errors import EXIT_OK

if TYPE_CHECKING:
    from bootcamp_cli.templates.template import Template

_EXAMPLE_PROMPT = "What is 2 + 2?"
_SHORT = 40


@command(settings=(), example="bootcamp templates list")
def list_command(call: Call) -> int:
    """List the built-in templates and those of your settings files: system prompt, stop words, origin."""
    from bootcamp_cli import api

    resolved = api.read_settings(call.sources)
    call.learn(resolved)
    templates = api.list_templates(resolved)
    rows = [("name", "system prompt", "stop words", "origin")]
    rows += [(t.name, _shortened(t.system_prompt or "-"), " ".join(t.stop) or "-", t.origin) for t in templates]
    call.console.result([_data(template) for template in templates], text=aligned(rows))
    return EXIT_OK


@command(settings=(), example="bootcamp templates show r1")
def show_command(
    call: Call, name: Annotated[str, typer.Argument(metavar="TEMPLATE", help="name of the template")]
) -> int:
    """Show an example prompt as the template renders it."""
    from bootcamp_cli import api

    resolved = api.read_settings(call.sources)
    call.learn(resolved)
    template = api.find_template(resolved, name, "templates show")
    rendered = template.render(_EXAMPLE_PROMPT)
    call.console.result(_data(template) | {"example": {"prompt": _EXAMPLE_PROMPT, "rendered": rendered}}, text=rendered)
    return EXIT_OK


def _data(template: "Template") -> dict[str, object]:
    return {
        "name": template.name,
        "text": template.text,
        "stop": list(template.stop),
        "system_prompt": template.system_prompt,
        "bos": template.bos or None,
        "origin": template.origin,
    }


def _shortened(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"
