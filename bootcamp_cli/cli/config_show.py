"""`bootcamp config show`: every parameter, its value and where that came from."""

from bootcamp_cli.cli.console import aligned
from bootcamp_cli.cli.options import ALL_SETTINGS, Call, command
from bootcamp_cli.errors import EXIT_OK
from bootcamp_cli.settings.convert import shown_value, stored_value
from bootcamp_cli.settings.model import parameters

_WIDEST = 48
"""Width of the column of values, in characters; longer ones push their source to the right."""


@command(settings=ALL_SETTINGS, example="bootcamp config show --max-tokens 1024")
def show_command(call: Call) -> int:
    """Show the value of every parameter and its source.

    The source is a flag, a variable, a settings file or the default, in this order. Secrets are masked.
    """
    from bootcamp_cli import api

    resolved = api.read_settings(call.sources)
    call.learn(resolved)
    rows = [
        (parameter, getattr(resolved.settings, parameter.name), resolved.origins[parameter.name])
        for parameter in parameters()
    ]
    data = {
        parameter.name: {"value": stored_value(parameter, value), "source": origin.kind, "place": origin.text}
        for parameter, value, origin in rows
    }
    lines = [(parameter.name, shown_value(parameter, value), origin.text) for parameter, value, origin in rows]
    call.console.result(data, text=aligned([("parameter", "value", "source"), *lines], widest=_WIDEST))
    return EXIT_OK
