"""Text from elsewhere neither acts on a terminal nor runs in a spreadsheet."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.reports.table import as_text, display_width, is_formula
from bootcamp_cli.text import visible

ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""Also with controls and lone surrogates."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Sudokubootcamp", "Sudokubootcamp"),
        ("数独é", "数独é"),
        ("a\u3000b\xa0", r"a\u3000b\xa0"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\nb\r\tc\x00", r"a\nb\r\tc\x00"),
        ("\u202etxt\u2066", r"\u202etxt\u2066"),
        ("\x9b1m\u2028\ud800\ufffe", r"\x9b1m\u2028\ud800\ufffe"),
    ],
)
def test_hidden_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    """Controls, bidi overrides, separators, surrogates and noncharacters become escapes; all else stays."""
    assert visible(text) == shown


@given(ANY_TEXT)
def test_visible_text_holds_nothing_hidden(text: str) -> None:
    """What comes out is one line of UTF-8 without controls or invisible formats, and does not change a second time."""
    shown = visible(text)
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert shown.encode().decode() == shown == visible(shown)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1"])
def test_formulas_are_recognised(text: str) -> None:
    """What Excel, LibreOffice or Google Sheets may run is seen as a formula."""
    assert is_formula(text)
    assert as_text(text) == f"'{text}"


@given(ANY_TEXT)
def test_guarded_text_is_no_formula_and_can_be_had_back(text: str) -> None:
    """A guarded text never starts a formula, and without its leading apostrophe it is the text again."""
    guarded = as_text(text)
    assert not is_formula(guarded)
    assert guarded.removeprefix("'") == text


def test_display_width_counts_terminal_cells() -> None:
    """A wide character takes two cells, a combining one none."""
    assert [display_width(text) for text in ("abc", "数独", "e\u0301", "")] == [3, 4, 1, 0]
