"""The line in which a chaos test says how much it tried; `pytest -rP` or `-s` shows it."""

import sys


def tell(figure: str) -> None:
    """Print the line."""
    sys.stdout.write(f"{figure}\n")
