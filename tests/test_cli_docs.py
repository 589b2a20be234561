"""The generated part of README.md."""

import pytest

from bootcamp_cli.cli.docs import README, parameter_table, renewed, with_generated_parts

BEGIN = "<!-- parameters:begin -->"
END = "<!-- parameters:end -->"


def test_the_table_is_renewed_between_its_markers() -> None:
    """What stands between the markers is replaced, the rest stays, and a second time changes nothing."""
    text = renewed(f"before\n{BEGIN}\nold\n{END}\nafter\n", "parameters", parameter_table())
    assert text == f"before\n{BEGIN}\n\n{parameter_table().strip()}\n\n{END}\nafter\n"
    assert renewed(text, "parameters", parameter_table()) == text


@pytest.mark.parametrize("readme", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{END}{END}", f"{BEGIN}{BEGIN}{END}"])
def test_missing_markers_are_an_error(readme: str) -> None:
    """Without the two markers, once each and in order, nothing is guessed."""
    with pytest.raises(ValueError, match="around the generated part"):
        renewed(readme, "parameters", parameter_table())


def test_the_committed_readme_is_up_to_date() -> None:
    """README.md has the parameters and report forms that the declarations give."""
    text = README.read_text("utf-8")
    assert with_generated_parts(text) == text, "run python -m bootcamp_cli.cli.docs"
