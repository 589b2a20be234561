"""Untrusted text as it may be printed: control characters are shown and not obeyed."""


def printable(text: str) -> str:
    r"""Text with everything unprintable as an escape: `a\x1b[2J`, `two\nlines`, a file name's stray byte as `\xff`.

    Names from files and rows may hold line feeds, terminal escapes, directional overrides and (by surrogateescape)
    bytes that are no UTF-8. The result is one line and can be encoded.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    stray_byte = ord(char) - 0xDC00
    if 0x80 <= stray_byte <= 0xFF:
        return f"\\x{stray_byte:02x}"
    return char.encode("unicode_escape").decode("ascii")
