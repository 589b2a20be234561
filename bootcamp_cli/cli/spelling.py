"""One spelling of a command line: dashed names, and boolean options without a value.

typer knows neither an option with two spellings of its words nor a boolean option with an optional value, so the words
are rewritten before it reads them.
"""

from collections.abc import Container, Mapping, Sequence

from bootcamp_cli.errors import SettingsError

TRUE_WORDS = frozenset({"true", "yes", "1", "on"})
FALSE_WORDS = frozenset({"false", "no", "0", "off"})


def canonical_words(words: Sequence[str], *, booleans: Mapping[str, str], valued: Container[str]) -> list[str]:
    """The same command line with every option in its dashed spelling and every boolean option bare or negated.

    `booleans` maps a boolean option to its negation (`--resume` to `--no-resume`), `valued` holds the options that
    take a value: the word behind one of these is copied as it is, whatever it looks like. The word behind a boolean
    option is its value only where it is one of `TRUE_WORDS` or `FALSE_WORDS`. Words behind `--` are left alone.

    Raises:
        SettingsError: a boolean option is given something else behind `=`.
    """
    result: list[str] = []
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        if word == "--":
            return [*result, word, *reversed(waiting)]
        if not word.startswith("--"):
            result.append(word)
            continue
        name, value = _split(word)
        if name in booleans:
            if value is None and waiting and _is_boolean(waiting[-1]):
                value = waiting.pop()
            result.append(name if _truth(name, value) else booleans[name])
            continue
        result.append(name if value is None else f"{name}={value}")
        if value is None and name in valued and waiting:
            result.append(waiting.pop())
    return result


def is_on(flag: str, words: Sequence[str]) -> bool:
    """Whether a bare command line, one that may be wrong elsewhere, asks for a boolean option (`--json`)."""
    options = words[: words.index("--")] if "--" in words else words
    try:
        spelled = canonical_words(options, booleans={flag: _negation(flag)}, valued=())
    except SettingsError:
        return False
    asked = [word for word in spelled if word in (flag, _negation(flag))]
    return asked[-1:] == [flag]


def _negation(flag: str) -> str:
    return f"--no-{flag[2:]}"


def _split(word: str) -> tuple[str, str | None]:
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace("_", "-"), value if equals else None


def _is_boolean(word: str) -> bool:
    return word.lower() in TRUE_WORDS or word.lower() in FALSE_WORDS


def _truth(name: str, value: str | None) -> bool:
    if value is None or value.lower() in TRUE_WORDS:
        return True
    if value.lower() in FALSE_WORDS:
        return False
    raise SettingsError(f"{name}: must be true or false, got {value!r}")
