"""KOR puzzle, arrow maze: no maze in spite of its name, but the rows of the resolution questions of KOR logic."""

from bootcamp_cli.bootcamps.builtin.kor_logic.resolution import check, extract_output, solve

__all__ = ["check", "extract_output", "solve"]
