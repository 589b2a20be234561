"""`bootcamp bootcamps list`."""

from dataclasses import asdict

from bootcamp_cli.bootcamps.resolve import Resolver
from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.cli.sources import read_settings
from bootcamp_cli.errors import EXIT_OK


@command(settings=("bootcamps", "bootcamps_path"), example="bootcamp bootcamps list")
def list_command(call: Call) -> int:
    """List the data sources that can be verified: built-in, by entry point, and of the internbootcamp package."""
    settings = read_settings(call).settings
    known = Resolver(settings.bootcamps, settings.bootcamps_path).known()
    width = max((len(entry.data_source) for entry in known), default=0)
    text = "\n".join(f"{entry.data_source.ljust(width)}  {entry.origin}" for entry in known)
    call.console.result([asdict(entry) for entry in known], text=text)
    return EXIT_OK
