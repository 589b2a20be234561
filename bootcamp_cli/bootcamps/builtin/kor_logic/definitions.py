"""KOR logic, definitions: name the type of a definition by its letter."""

from bootcamp_cli.bootcamps.builtin.kor_logic.choice import LetterChoice

# all six letters, although most questions have two or three options
_CHOICE = LetterChoice(letters="A-Fa-f")
extract_output, check, solve = _CHOICE.extract_output, _CHOICE.check, _CHOICE.solve
