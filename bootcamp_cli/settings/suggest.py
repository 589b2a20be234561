"""The name that was probably meant."""

from collections.abc import Iterable


def suggestion(name: str, known: Iterable[str]) -> str | None:
    """`did you mean X?`, or None where nothing is near; `-` and `_`, upper and lower case are the same."""
    import difflib  # noqa: PLC0415 - only a wrong name needs it

    by_plain = {_plain(entry): entry for entry in known}
    found = difflib.get_close_matches(_plain(name), by_plain, n=1, cutoff=0.6)
    return f"did you mean {by_plain[found[0]]}?" if found else None


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").strip("_")
