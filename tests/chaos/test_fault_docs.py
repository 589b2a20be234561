"""The table of failures in the README.md of this folder."""

import pytest

from tests.chaos.fault_docs import README, section, with_section
from tests.chaos.fault_facts import SAMPLE_FACTS
from tests.chaos.run_facts import RUN_FACTS
from tests.fault_server.faults import parse_fault
from tests.fault_server.menu import FAULTS

BEGIN = "<!-- faults:begin -->"
END = "<!-- faults:end -->"


def test_the_committed_table_is_up_to_date() -> None:
    """The README.md of this folder has the table that the facts give."""
    text = README.read_text("utf-8")
    assert with_section(text) == text, "run python -m tests.chaos.fault_docs"


@pytest.mark.parametrize("readme", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{END}{END}", f"{BEGIN}{BEGIN}{END}"])
def test_missing_markers_are_an_error(readme: str) -> None:
    """Without the two markers, once each and in order, nothing is guessed."""
    with pytest.raises(ValueError, match="around the generated part"):
        with_section(readme)


def test_every_fact_has_a_row_of_its_own() -> None:
    """No two facts read alike, and none breaks the table."""
    rows = [line for line in section().splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    assert len({row.split(" | ")[0] for row in rows[1:]}) == len(rows) - 1
    assert {row.count("|") for row in rows} == {4, 5}


def test_every_fault_of_the_server_is_in_the_table() -> None:
    """The fault server has no fault, but for the mere delay, of which no fact tells what the tool makes of it."""
    told = {parse_fault(spec).name for fact in RUN_FACTS for spec in fact.faults}
    told |= {parse_fault(fact.fault).name for fact in SAMPLE_FACTS}
    assert set(FAULTS) - told == {"slow"}
