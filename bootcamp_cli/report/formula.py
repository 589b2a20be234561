"""Text that a spreadsheet would run as a formula, and how it is kept from that."""

_STARTERS = frozenset("=+-@\t\r\n＝＋－＠")
"""First characters that Excel, LibreOffice or Google Sheets take for the start of a formula."""


def is_formula(text: str) -> bool:
    """Whether a spreadsheet may take the text for a formula, also behind leading blanks."""
    return text[:1] in _STARTERS or text.lstrip()[:1] in _STARTERS if text else False


def as_text(text: str) -> str:
    """The text as a CSV cell that no spreadsheet runs: an apostrophe goes in front of what could be a formula.

    One goes in front of an apostrophe as well, so that dropping a leading one always gives the text back.
    """
    return f"'{text}" if is_formula(text) or text.startswith("'") else text
