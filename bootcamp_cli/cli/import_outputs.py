"""`bootcamp import`."""

from typing import Annotated

import typer

from bootcamp_cli.cli.options import ALL_SETTINGS, Call, HtmlOption, RunOption, command


def _column(name: str, what: str) -> typer.models.OptionInfo:
    return typer.Option(f"--{name}-column", metavar="NAME", help=what, rich_help_panel="Columns")  # type: ignore[no-any-return]


@command(
    settings=ALL_SETTINGS,
    example="bootcamp import outputs.jsonl --test-dir tests --model-name r1_32B --output-column response\n"
    "bootcamp import outputs.jsonl --run output/r1_32B_tests_20260101_120000",
)
def import_command(  # noqa: PLR0913, PLR0917 - the options of the command
    call: Call,
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="JSON Lines with an output, or a list, each")],
    run: RunOption = None,
    output: Annotated[str | None, _column("output", "text, or list of texts; by default output")] = None,
    file: Annotated[str | None, _column("file", "name of the test file; by default file")] = None,
    row: Annotated[str | None, _column("row", "number of the row, from 0; by default row")] = None,
    id_: Annotated[str | None, _column("id", "id of the row, where there is no row; by default id")] = None,
    prompt: Annotated[str | None, _column("prompt", "prompt, where there is neither; by default prompt")] = None,
    repeat: Annotated[str | None, _column("repeat", "number of the repeat, from 0; by default repeat")] = None,
    reasoning: Annotated[str | None, _column("reasoning", "text of the thinking; by default reasoning_content")] = None,
    finish_reason: Annotated[
        str | None, _column("finish-reason", "why an output ended; by default finish_reason")
    ] = None,
    tokens: Annotated[str | None, _column("tokens", "number of generated tokens; by default completion_tokens")] = None,
    model: Annotated[str | None, _column("model", "name of the model; by default model")] = None,
    html: HtmlOption = None,
) -> int:
    """Take outputs that were generated elsewhere as answers, and verify them, without any request.

    Without --run a run directory is made for --test-dir, as `bootcamp eval` makes it: the parameters that are given are
    taken for those of the outputs. A line tells its question by file and row, by id, or by prompt; where it has a
    prompt, this must be the question's. Several outputs to a question are its repeats, in their order: give --repeats.
    A column that is named must be in each line, those of the defaults need not; '' is no column.
    """
    from bootcamp_cli import api
    from bootcamp_cli.cli.process import run_shown
    from bootcamp_cli.cli.results import check_html, print_run, write_page

    columns = {
        "output": output,
        "file": file,
        "row": row,
        "id": id_,
        "prompt": prompt,
        "repeat": repeat,
        "reasoning": reasoning,
        "finish_reason": finish_reason,
        "tokens": tokens,
        "model": model,
    }
    check_html(html)
    opened = None if run is None else api.open_run(run)
    resolved = api.read_settings(call.sources) if opened is None else opened.settings_to_resume(call.sources)
    settings = call.learn(resolved)
    done = run_shown(
        call.console,
        lambda on_event, stop: api.import_outputs_async(opened, resolved, files, columns, on_event, stop=stop),
        n_connections=0,
    )
    write_page(done, html, call.console)
    return print_run(done, call.console, allow_unscored=settings.allow_unscored)
