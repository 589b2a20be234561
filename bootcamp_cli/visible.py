"""Text from elsewhere as it may be shown: what would act on a terminal or hide in a line is shown and not obeyed."""


def visible(text: str) -> str:
    r"""The text with each character that is obeyed or not seen as an escape: ESC as `\x1b`, a newline as `\n`.

    Names and messages from files, rows and servers may hold line ends, terminal escapes, directional overrides, lone
    surrogates, and (by surrogateescape) bytes that are no UTF-8, which come out as `\xff`. The result is one line, can
    be encoded as UTF-8 and stand in XML. It is for reading, not for reading back.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    stray_byte = ord(char) - 0xDC00
    if 0x80 <= stray_byte <= 0xFF:
        return f"\\x{stray_byte:02x}"
    return char.encode("unicode_escape").decode("ascii")
