"""`python -m tests.chaos.fault_docs [--check]`: write the table of failures in README.md beside this file.

It comes from the declarations of the tests.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from bootcamp_cli.cli.docs import replace_generated, update
from tests.chaos.fault_facts import SAMPLE_FACTS, SampleFact
from tests.chaos.run_facts import LOSS_FACTS, RUN_FACTS, LossFact, RunFact

README = Path(__file__).parent / "README.md"

_ONE = """\
One request fails. A sample that is sent again fails after `max_retries` further attempts, any other at once; the others
continue. Its line in `failures.jsonl` has the kind below, and `bootcamp resume` sends it again.

| the server | sent again | outcome |
| --- | --- | --- |"""
_RUN = """
The whole run is affected. No answer is lost, and `bootcamp resume` continues.

| the server | sent again | effect | exit code |
| --- | --- | --- | --- |"""


def with_section(readme: str) -> str:
    """The text with the section between its markers updated.

    Raises:
        ValueError: the two markers are not there once each, in order.
    """
    return replace_generated(readme, "faults", section())


def section() -> str:
    """The section: what affects one request, then what affects the run."""
    return "\n".join((_ONE, *sorted(_sample_rows(), key=_is_answer), _RUN, *_run_rows()))


def _sample_rows() -> Iterator[str]:
    for fact in SAMPLE_FACTS:
        yield f"| {fact.does} | {_again(fact)} | {_outcome(fact)} |"


def _again(fact: SampleFact) -> str:
    if fact.hangs_up:
        return "the next one, if it was already on its way"
    if fact.is_limit:
        return "yes; it costs no retry"
    return "yes" if fact.retried else "no"


def _outcome(fact: SampleFact) -> str:
    outcome = "an answer" if fact.kind is None else f"`{fact.kind}`"
    return f"{outcome}; {fact.also}" if fact.also else outcome


def _is_answer(row: str) -> bool:
    return row.endswith("| an answer |")


def _run_rows() -> Iterator[str]:
    facts: tuple[RunFact | LossFact, ...] = (*RUN_FACTS, *LOSS_FACTS)
    for fact in facts:
        yield f"| {fact.does} | {fact.again} | {fact.effect} | {fact.exit_code} |"


if __name__ == "__main__":
    try:
        text = with_section(README.read_text("utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"fault_docs: {error}")
    sys.exit(update({README: text}, check="--check" in sys.argv[1:]))
