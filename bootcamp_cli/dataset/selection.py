"""Which rows `include` and `exclude` select."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase


class FileSelection:
    """The rows of one test file that the patterns select.

    A row is selected where its file's name (with or without `.jsonl`) or its data source matches an `include` pattern,
    or there is none, and neither matches an `exclude` pattern. Patterns are shell globs that mind upper and lower case.
    """

    def __init__(self, file_name: str, *, include: Sequence[str], exclude: Sequence[str]) -> None:
        self.is_excluded = file_name_matches(file_name, exclude)
        self.is_included = not include or file_name_matches(file_name, include)
        self._include = include
        self._exclude = exclude
        self._known: dict[str, bool] = {}

    def selects(self, data_source: str) -> bool:
        """Whether rows of this data source are selected."""
        known = self._known.get(data_source)
        if known is None:
            wanted = self.is_included or _matches(data_source, self._include)
            known = wanted and not self.is_excluded and not _matches(data_source, self._exclude)
            self._known[data_source] = known
        return known

    @property
    def data_sources_seen(self) -> Iterable[str]:
        """Every data source asked about."""
        return self._known.keys()


def file_name_matches(file_name: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern matches the name of a test file, with or without `.jsonl`."""
    stem = file_name.removesuffix(".jsonl")
    return any(fnmatchcase(file_name, pattern) or fnmatchcase(stem, pattern) for pattern in patterns)


def idle_patterns(patterns: Iterable[str], *, file_names: Iterable[str], data_sources: Iterable[str]) -> list[str]:
    """The patterns that match no file name and no data source."""
    file_names, data_sources = list(file_names), list(data_sources)
    return [
        pattern
        for pattern in dict.fromkeys(patterns)
        if not any(file_name_matches(name, (pattern,)) for name in file_names)
        and not any(fnmatchcase(data_source, pattern) for data_source in data_sources)
    ]


def _matches(data_source: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(data_source, pattern) for pattern in patterns)
