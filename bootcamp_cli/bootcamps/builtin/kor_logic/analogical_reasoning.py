"""KOR logic, analogies: by shared attributes (A) or by missing ones (B)."""

from bootcamp_cli.bootcamps.builtin.kor_logic.choice import LetterChoice

# upper case only, unlike most of the family: [[a]] is not seen
_CHOICE = LetterChoice(letters="AB")
extract_output, check, solve = _CHOICE.extract_output, _CHOICE.check, _CHOICE.solve
