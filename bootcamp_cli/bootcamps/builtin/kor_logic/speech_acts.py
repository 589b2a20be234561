"""KOR logic, speech acts: the category of a sentence, or its direction and psychological state."""

from bootcamp_cli.bootcamps.builtin.kor_logic.choice import LetterChoice

# both kinds of question have the options A to D; [[E]] does not replace an earlier answer
_CHOICE = LetterChoice(letters="A-Da-d")
extract_output, check, solve = _CHOICE.extract_output, _CHOICE.check, _CHOICE.solve
