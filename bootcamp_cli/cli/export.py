"""`bootcamp export`."""

from typing import Annotated

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.errors import UsageError
from bootcamp_cli.exports.formats import EXPORTS, FileExport, export_format


@command(
    example="bootcamp export output/r1_32B_tests_20260101_120000 --format csv\n"
    "bootcamp export output/r1_32B_tests_20260101_120000 --format inspect --out logs",
)
def export_command(
    call: Call,
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="the run directory, or one of run_eval.py")],
    format_: Annotated[
        str,
        typer.Option("--format", metavar="|".join(EXPORTS), help="form of what is written", rich_help_panel="Output"),
    ],
    out: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="file, which is replaced, or directory to write to; `-` is stdout, for csv and jsonl",
            rich_help_panel="Output",
        ),
    ] = ".",
) -> int:
    """Write the samples of a run in the form of another tool.

    csv, jsonl and parquet have a line per sample: its place, score, failure, lengths, texts. inspect is a log for
    `inspect view` and the reader of inspect_ai, lm-eval a directory MODEL with the results and samples files of
    lm-evaluation-harness. The run directory is only read, also while a run writes to it.
    """
    import sys

    from bootcamp_cli import api
    from bootcamp_cli.cli.console import silence
    from bootcamp_cli.errors import EXIT_OK

    form = export_format(format_)
    to_stdout = out == "-"
    if to_stdout and not (isinstance(form, FileExport) and form.is_text):
        raise UsageError(f"--out -: {format_} is not text", hint="name a file or a directory")
    if to_stdout and call.console.json:
        raise UsageError("--out -: stdout has the samples, not the JSON of --json", hint="leave one of them out")
    run = api.open_run(run_dir)
    try:
        exported = run.export(format_, sys.stdout.buffer if to_stdout else out, call.console.on_event)
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
        return EXIT_OK
    if not to_stdout:
        files = [str(path) for path in exported.files]
        data = {"run_dir": str(run.path), "format": format_, "files": files, "n_samples": exported.n_samples}
        call.console.result(data, text="\n".join(files))
    return EXIT_OK
