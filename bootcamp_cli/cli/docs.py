"""`python -m bootcamp_cli.cli.docs [--check]`: write the parameter table of README.md from the declarations."""

import sys
from pathlib import Path

from bootcamp_cli.cli.generated import renewed, update
from bootcamp_cli.settings.table import parameter_table

README = Path(__file__).parents[2] / "README.md"


def with_table(readme: str) -> str:
    """The text with the table between its markers renewed.

    Raises:
        ValueError: the two markers do not stand there once each, in order.
    """
    return renewed(readme, "parameters", parameter_table())


if __name__ == "__main__":
    try:
        text = with_table(README.read_text("utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"docs: {error}")
    sys.exit(update({README: text}, check="--check" in sys.argv[1:]))
