"""`bootcamp bootcamps list` and `verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootcamp_cli.cli.console import aligned
from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.errors import EXIT_OK
from bootcamp_cli.text import score_text

if TYPE_CHECKING:
    from bootcamp_cli.verification.golden import Agreement, Difference

_EXIT_DIFFERENT = 1
_SHOWN = 100


@command(settings=("bootcamps", "bootcamps_path"), example="bootcamp bootcamps list")
def list_command(call: Call) -> int:
    """List the data sources that can be verified, with their origin and, for the public ones, the highest scores.

    The ceiling is the highest average score that any outputs can reach on the public test file of the data source under
    the reference's rules; next to it is the ceiling for outputs in the format that the prompts ask for.
    """
    from bootcamp_cli import api

    data = []
    rows = [("data source", "family", "origin", "ceiling", "in the requested format")]
    for known in api.list_bootcamps(call.learn(api.read_settings(call.sources))):
        ref, limit = known.ref, known.ceiling
        data.append(
            {
                "data_source": ref.data_source,
                "family": known.family,
                "origin": ref.origin,
                "target": ref.target,
                "ceiling": limit.any_output if limit else None,
                "ceiling_in_asked_format": limit.asked_format if limit else None,
                "reasons": list(limit.reasons) if limit else [],
            }
        )
        shown = (score_text(limit.any_output), score_text(limit.asked_format)) if limit else ("-", "-")
        rows.append((ref.data_source, known.family or "-", ref.origin, *shown))
    call.console.result(data, text=aligned(rows))
    return EXIT_OK


@command(
    settings=("bootcamps", "bootcamps_path", "verify_timeout", "verify_memory", "verify_workers"),
    example="bootcamp bootcamps verify golden eval_data",
)
def verify_command(
    call: Call,
    golden_dir: Annotated[str, typer.Argument(metavar="GOLDEN_DIR", help="outputs with known verdicts")],
    eval_dir: Annotated[str, typer.Argument(metavar="EVAL_DIR", help="the test dir with their ground truths")],
) -> int:
    """Check the bootcamps against golden cases: outputs with known verdicts.

    GOLDEN_DIR has DATA_SOURCE.jsonl files of objects with file, row (0-based line of EVAL_DIR/file), output, score and
    extracted. Score and extracted output must be equal; the exit code is 1 if one is not, or if a bootcamp is missing.
    """
    from bootcamp_cli import api

    settings = call.learn(api.read_settings(call.sources))
    agreements = api.verify_bootcamps(Path(golden_dir), Path(eval_dir), settings)
    call.console.result([_data(agreement) for agreement in agreements], text=_text(agreements))
    return EXIT_OK if all(a.n_agreeing == a.n_cases for a in agreements) else _EXIT_DIFFERENT


def _data(agreement: "Agreement") -> dict[str, object]:
    return {
        "data_source": agreement.data_source,
        "origin": agreement.origin,
        "n_cases": agreement.n_cases,
        "n_agreeing": agreement.n_agreeing,
        "differences": [
            {
                "file": difference.case.file,
                "row": difference.case.row,
                "kind": difference.case.kind,
                "line": difference.case.line,
                "expected": {"score": difference.case.score, "extracted": difference.case.extracted},
                "found": {
                    "score": difference.verdict.score,
                    "extracted": difference.verdict.extracted,
                    "failure": difference.verdict.failure,
                    "error": difference.verdict.error,
                },
            }
            for difference in agreement.differences
        ],
    }


def _text(agreements: "list[Agreement]") -> str:
    width = max(len(agreement.data_source) for agreement in agreements)
    lines = [
        f"{agreement.data_source.ljust(width)}  {agreement.n_agreeing:5} of {agreement.n_cases:5} agree"
        + ("" if agreement.origin else "  (no bootcamp)")
        for agreement in agreements
    ]
    n_agreeing = sum(agreement.n_agreeing for agreement in agreements)
    n_cases = sum(agreement.n_cases for agreement in agreements)
    share = n_agreeing / n_cases if n_cases else 1.0
    lines.append(f"{'total'.ljust(width)}  {n_agreeing:5} of {n_cases:5} agree ({share:.2%})")
    different = [(a.data_source, difference) for a in agreements for difference in a.differences]
    lines += [_line(data_source, difference) for data_source, difference in different[:_SHOWN]]
    if len(different) > _SHOWN:
        lines.append(f"and {len(different) - _SHOWN} more; --json shows all")
    return "\n".join(lines)


def _line(data_source: str, difference: "Difference") -> str:
    case, verdict = difference.case, difference.verdict
    found = verdict.failure or f"{verdict.score} {_short(verdict.extracted)}"
    return f"{data_source}:{case.line}: expected {case.score} {_short(case.extracted)}, found {found}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
