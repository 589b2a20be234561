"""KOR logic, cooperative principle: strength (A), minimisation (B) or markedness (C)."""

from bootcamp_cli.bootcamps.builtin.kor_logic.choice import LetterChoice

# the empty [[ ]] at the end of the prompt may be echoed: it holds no letter
_CHOICE = LetterChoice(letters="A-Ca-c", key="correct")
extract_output, check, solve = _CHOICE.extract_output, _CHOICE.check, _CHOICE.solve
