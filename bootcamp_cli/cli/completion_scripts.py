"""`python -m bootcamp_cli.cli.completion_scripts [--check]`: write completions/ from the command line itself."""

import sys
from collections.abc import Mapping
from pathlib import Path

from bootcamp_cli.cli.completion_bash import bash_script
from bootcamp_cli.cli.completion_fish import fish_script
from bootcamp_cli.cli.completion_tree import command_tree
from bootcamp_cli.cli.completion_zsh import zsh_script
from bootcamp_cli.cli.generated import update

COMPLETIONS = Path(__file__).parents[2] / "completions"


def scripts() -> Mapping[str, str]:
    """The scripts by file name, as shells look for them."""
    nodes = command_tree()
    return {"bootcamp.bash": bash_script(nodes), "_bootcamp": zsh_script(nodes), "bootcamp.fish": fish_script(nodes)}


if __name__ == "__main__":
    sys.exit(update({COMPLETIONS / name: text for name, text in scripts().items()}, check="--check" in sys.argv[1:]))
