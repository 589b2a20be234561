"""KOR logic, cause and effect: name one of five methods of causal inference by its letter."""

from bootcamp_cli.bootcamps.builtin.kor_logic.choice import LetterChoice

# the one bootcamp of letters that lets whitespace stand around them; the numbers of the prompt do not count
_CHOICE = LetterChoice(letters="A-Ea-e", key="method", padded=True)
extract_output, check, solve = _CHOICE.extract_output, _CHOICE.check, _CHOICE.solve
