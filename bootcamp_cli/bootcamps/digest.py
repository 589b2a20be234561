"""Which version of a verifier's code scores a data source; nothing of the verifier is imported to find out.

Two runs whose verifiers have the same digest scored by the same code. The digest depends on the content of files only,
never on where they are, how the verifier is limited, or which other packages are installed beside it.
"""

import hashlib
import importlib.util
import re
from collections.abc import Iterable
from functools import cache
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

from bootcamp_cli.bootcamps.upstream import BOOTCAMPS, find_package
from bootcamp_cli.types import BootcampRef, VerifierVersion


def verifier_version(ref: BootcampRef) -> VerifierVersion:
    """Where the verifier of a data source comes from, and the digests of the code that can decide its scores.

    A fallback can decide a score only where the bootcamp declares rows `unscorable`; only then is its digest given, and
    apart from the bootcamp's own: installing the package later changes no score that was given before, so it must not
    look like another verifier (see `VerifierVersion.differs_from`).
    """
    fallback = ref.fallback if _may_have_unscorable_rows(ref) else None
    return VerifierVersion(
        origin=ref.origin,
        digest=verifier_digest(ref),
        fallback=None if fallback is None else verifier_digest(fallback),
    )


def verifier_digest(ref: BootcampRef) -> str | None:
    """The SHA-256, in hexadecimal, of the verifier's code; its fallback is left out. None where there is no file of it.

    Built in: of its module, of the modules below `bootcamp_cli/bootcamps` that this imports, directly or not, even if
    only within a function, and of the data files that they read. Entry point: of the file of its module, source or
    compiled. Package: of the file of its module; where only the package's `__init__` makes the class, of that.

    Files of third parties are read at each call, as they may be edited while a notebook is open.
    """
    match ref.origin:
        case "builtin" if ref.target.startswith(f"{_BUILTIN}."):
            return _builtin().digest(ref.target)
        case "builtin" | "entry_point":
            return _file_digest(_module_file(ref.target.partition("[")[0].partition(":")[0].strip()))
        case "upstream":
            return _file_digest(_upstream_file(ref))


def _may_have_unscorable_rows(ref: BootcampRef) -> bool:
    """Whether there may be rows that a bootcamp cannot verify: a built-in one says so by a function of that name."""
    return not ref.target.startswith(f"{_BUILTIN}.") or _builtin().mentions(ref.target, b"unscorable")


_BUILTIN = "bootcamp_cli.bootcamps"

_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+(?P<source>bootcamp_cli[\w.]*)[ \t]+import[ \t]*"
    rb"(?P<names>\((?:[^)#]|#[^\n]*)*\)|(?:[^#;\r\n\\]|\\\r?\n)*)"
    rb"|import[ \t]+(?P<modules>bootcamp_cli(?:[^#;\r\n\\]|\\\r?\n)*))",
    re.MULTILINE,
)
"""An import of the tool's own modules, wherever it stands. Parsing the files would take 20 times as long."""

_COMMENT = re.compile(rb"#[^\r\n]*")
_NAME = re.compile(rb"([\w.]+)(?:\s+as\s+\w+)?")
_DATA = re.compile(rb"""\bfiles\("([\w.]+)"\)\.joinpath\("([^"\\]+)"\)""")
"""How built-in bootcamps name the data files that they read."""


class BuiltinSources:
    """The files below one directory `bootcamp_cli/bootcamps`, each read once."""

    def __init__(self, directory: Traversable) -> None:
        self._directory = directory
        self._read: dict[str, _Source | None] = {}

    def digest(self, module: str) -> str | None:
        """The digest of a module with everything that it imports and reads; None where it has no source.

        It is over the names and contents of the files, each with its length, in the order of the names.
        """
        sources = self._closure(module)
        if module not in sources:
            return None
        data = {place for source in sources.values() for place in source.data}
        parts = [(name, source.content) for name, source in sources.items()]
        parts += [(f"{package}/{file}", self._content(f"{_path(package)}/{file}") or b"") for package, file in data]
        digest = hashlib.sha256()
        for name, content in sorted(parts):
            label = name.encode()
            digest.update(b"%d %b %d " % (len(label), label, len(content)))
            digest.update(content)
        return digest.hexdigest()

    def imported(self, module: str) -> frozenset[str]:
        """The module and all modules below `bootcamp_cli.bootcamps` that are imported with it, packages included."""
        return frozenset(self._closure(module))

    def data(self, module: str) -> frozenset[tuple[str, str]]:
        """Package and name of each data file that the module itself reads."""
        source = self._source(module)
        return frozenset() if source is None else source.data

    def mentions(self, module: str, word: bytes) -> bool:
        """Whether a word stands in the module's source."""
        source = self._source(module)
        return source is not None and word in source.content

    def _closure(self, module: str) -> "dict[str, _Source]":
        found: dict[str, _Source] = {}
        owed = [module]
        while owed:
            name = owed.pop()
            if name in found or not f"{name}.".startswith(f"{_BUILTIN}."):
                continue
            if (source := self._source(name)) is not None:
                found[name] = source
                owed += (name.rpartition(".")[0], *source.imports)
        return found

    def _source(self, module: str) -> "_Source | None":
        if module not in self._read:
            path = _path(module)
            content = self._content(f"{path}.py") if path else None
            if content is None:
                content = self._content(f"{path}/__init__.py")
            self._read[module] = None if content is None else _source_of(content)
        return self._read[module]

    def _content(self, path: str) -> bytes | None:
        try:
            return (self._directory / path.removeprefix("/")).read_bytes()
        except OSError:
            return None


def _path(module: str) -> str:
    """Where a module is below the directory, without suffix: `bootcamp_cli.bootcamps.a.b` -> `a/b`."""
    return module.removeprefix(_BUILTIN).removeprefix(".").replace(".", "/")


class _Source(NamedTuple):
    """A module: its content, names of what it may import, package and name of each data file that it reads."""

    content: bytes
    imports: frozenset[str]
    data: frozenset[tuple[str, str]]


def _source_of(content: bytes) -> _Source:
    imports: set[str] = set()
    for statement in _IMPORT.finditer(content):
        if statement["modules"] is not None:
            imports.update(_names(statement["modules"]))
        else:  # of `from package import name` only the files tell whether the name is a module
            source = statement["source"].decode()
            imports.update((source, *(f"{source}.{name}" for name in _names(statement["names"]))))
    data = frozenset((package.decode(), file.decode()) for package, file in _DATA.findall(content))
    return _Source(content, frozenset(imports), data)


def _names(listed: bytes) -> Iterable[str]:
    """The names in `(a, b as c)`, without what they are called."""
    return (name.decode() for name in _NAME.findall(_COMMENT.sub(b"", listed)))


@cache
def _builtin() -> BuiltinSources:
    """The sources of this installation, which do not change while it runs."""
    return BuiltinSources(files(_BUILTIN))


def _upstream_file(ref: BootcampRef) -> Path | None:
    """The file of a class of the package: of its module or, where nothing tells that, the `__init__` that makes it."""
    package = _package(ref.path)
    if package is None:
        return None
    module = ref.target.rpartition(":")[0] or BOOTCAMPS
    stem = package.parent.joinpath(*module.split("."))
    return next((file for file in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py") if file.is_file()), None)


_package = cache(find_package)
"""Where the package is; looking for an installed one takes 0.1 ms, a thousand times where it verifies a thousand."""


def _module_file(module: str) -> Path | None:
    """The file of a module, found without importing it or its packages; None where it has none (built in, zipped).

    Only the finders of the top-level name are asked; below, the directories are walked.
    """
    top, *parts = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    name = top
    for part in parts:
        name = f"{name}.{part}"
        places = [*(spec.submodule_search_locations or [])] if spec is not None else []
        found = [below for place in places if (below := FileFinder(place, *_LOADERS).find_spec(name)) is not None]
        spec = next((below for below in found if below.loader is not None), None)
        if spec is None and found:  # a namespace, which may have several places
            spec = found[0]
            spec.submodule_search_locations = [
                place for below in found for place in below.submodule_search_locations or ()
            ]
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


_LOADERS = (
    (ExtensionFileLoader, EXTENSION_SUFFIXES),
    (SourceFileLoader, SOURCE_SUFFIXES),
    (SourcelessFileLoader, BYTECODE_SUFFIXES),
)


def _file_digest(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
