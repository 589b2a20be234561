"""One class from the package `internbootcamp`, without importing the thousand others. Runs inside a worker.

`internbootcamp` and `internbootcamp.bootcamp` are put into `sys.modules` as stand-ins: their submodules are imported as
usual, but their `__init__` does not run; a name requested from them is looked up in the text of that `__init__` and
imported then. Where a bootcamp cannot be imported this way, the stand-ins are removed and the whole package is imported
(9 s, 365 MB). The names in the text are read without importing anything.
"""

import ast
import importlib
import importlib.util
import inspect
import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from bootcamp_cli.bootcamps.scoring import ScoreVerifier, described
from bootcamp_cli.types import BootcampRef

_PENALTIES = {"short_penalty": False, "format_penalty": False}


def load_upstream(ref: BootcampRef) -> ScoreVerifier:
    """Import the class of `ref` and wrap it.

    Raises:
        ImportError: it can be imported neither alone nor with the whole package; the message gives both reasons.
    """
    module, _, attribute = ref.target.rpartition(":")
    if ref.path is not None:
        _put_in_front(ref.path)
    alone = "its module is not known"
    if module and not _is_whole():
        try:
            _install_stand_ins(ref.path)
            return reference_verifier(getattr(importlib.import_module(module), attribute))
        except Exception as error:  # noqa: BLE001 - the boundary: whatever goes wrong, the whole package is tried next
            alone = described(error)
    return reference_verifier(_from_whole_package(ref, alone))


def reference_verifier(bootcamp: Any) -> ScoreVerifier:
    """Wrap a class of the reference's protocol: no penalties for short or unformatted outputs, as the reference asks.

    The keyword arguments are passed only where the signature takes them.
    """
    verify_score = bootcamp.verify_score
    options = _accepted(verify_score)
    return ScoreVerifier(
        extract_output=bootcamp.extract_output,
        verify_score=lambda output, ground_truth: verify_score(output, ground_truth, **options),
    )


def _accepted(function: Any) -> dict[str, bool]:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return dict(_PENALTIES)
    return {name: value for name, value in _PENALTIES.items() if name in parameters}


def _put_in_front(path: str) -> None:
    package = find_package(path)
    parent = str(package.parent) if package else path
    if parent not in sys.path:
        sys.path.insert(0, parent)


def _is_whole() -> bool:
    """Whether the real package is already imported, with all of its classes."""
    present = sys.modules.get(BOOTCAMPS)
    return present is not None and not isinstance(present, _StandIn)


def _from_whole_package(ref: BootcampRef, alone: str) -> Any:
    if not _is_whole():
        for name in [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]:
            del sys.modules[name]
        importlib.invalidate_caches()
    try:
        return getattr(importlib.import_module(BOOTCAMPS), ref.name)
    except Exception as error:
        raise ImportError(f"cannot import {ref.name}: {alone}; with the whole package: {described(error)}") from error


def _install_stand_ins(path: str | None) -> None:
    if BOOTCAMPS in sys.modules:
        return
    package = find_package(path)
    if package is None:
        raise ImportError(f"no package {PACKAGE} in {path or 'the module search path'}")
    top = _StandIn(PACKAGE, package)
    bootcamps = _StandIn(BOOTCAMPS, package / "bootcamp")
    sys.modules[PACKAGE] = top
    sys.modules[BOOTCAMPS] = bootcamps
    vars(top)["bootcamp"] = bootcamps


class _StandIn(ModuleType):
    """A package whose `__init__` has not run: a name is imported when it is requested."""

    def __init__(self, name: str, directory: Path) -> None:
        super().__init__(name, "Stand-in: its __init__ has not run.")
        init = directory / "__init__.py"
        self.__path__ = [str(directory)]
        self.__package__ = name
        self.__file__ = str(init)
        self.__spec__ = ModuleSpec(name, None, origin=str(init), is_package=True)
        self.__spec__.submodule_search_locations = self.__path__
        self._names: dict[str, Origin] = read_names(name, directory)

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            raise ImportError(f"a star import from {self.__name__} needs the whole package")
        origin = self._names.get(name)
        if origin is None or origin.module is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} before its __init__ has run")
        module = importlib.import_module(origin.module)
        value = module if origin.attribute is None else getattr(module, origin.attribute)
        vars(self)[name] = value
        return value


PACKAGE = "internbootcamp"
BOOTCAMPS = f"{PACKAGE}.bootcamp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a name of a package's `__init__` comes from: `attribute` of `module`, or the module itself (None).

    `module` is None for what the `__init__` defines itself: only running it yields that name.
    """

    module: str | None
    attribute: str | None


def find_package(path: str | None) -> Path | None:
    """The directory of the package `internbootcamp`: below `path`, `path` itself, or installed; None if not found.

    An installed one is found by its top-level name, which imports nothing.
    """
    if path is not None:
        given = Path(path).absolute()
        candidates = [given / PACKAGE, *([given] if given.name == PACKAGE else [])]
    else:
        try:
            spec = importlib.util.find_spec(PACKAGE)
        except ValueError:
            return None
        candidates = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    return next((place for place in candidates if (place / "bootcamp" / "__init__.py").is_file()), None)


def read_names(module: str, directory: Path) -> dict[str, Origin]:
    """The names that the `__init__.py` of package `module` in `directory` binds, and where each comes from.

    Star imports are followed within the package's own tree. A file that cannot be read or parsed has no names.
    """
    return _Reader(directory, module).names(directory / "__init__.py", module, is_package=True)


class _Reader:
    """Reads the files of one package tree, each at most once."""

    def __init__(self, directory: Path, module: str) -> None:
        self._directory = directory
        self._module = module
        self._seen: set[Path] = set()

    def names(self, file: Path, module: str, *, is_package: bool) -> dict[str, Origin]:
        """What the file binds at its top level, including inside `if` and `try`."""
        if file in self._seen:
            return {}
        self._seen.add(file)
        try:
            tree = ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return {}
        own = module if module != self._module else None
        found: dict[str, Origin] = {}
        for node in _statements(tree.body):
            match node:
                case ast.ImportFrom():
                    found |= self._imported(node, module, is_package=is_package)
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                    found[name] = Origin(module=own, attribute=name)
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    found[name] = Origin(module=own, attribute=name)
                case _:
                    pass
        return found

    def _imported(self, node: ast.ImportFrom, module: str, *, is_package: bool) -> dict[str, Origin]:
        source = _absolute(node, module, is_package=is_package)
        if source is None:
            return {}
        found: dict[str, Origin] = {}
        for alias in node.names:
            if alias.name == "*":
                names = self._of_module(source)
                found |= {name: origin for name, origin in names.items() if not name.startswith("_")}
            elif node.module is None:  # from . import name: a submodule, as far as text can tell
                found[alias.asname or alias.name] = Origin(module=f"{source}.{alias.name}", attribute=None)
            else:
                found[alias.asname or alias.name] = Origin(module=source, attribute=alias.name)
        return found

    def _of_module(self, name: str) -> dict[str, Origin]:
        if not name.startswith(f"{self._module}."):
            return {}
        stem = self._directory.joinpath(*name.removeprefix(f"{self._module}.").split("."))
        if (stem / "__init__.py").is_file():
            return self.names(stem / "__init__.py", name, is_package=True)
        return self.names(stem.with_name(f"{stem.name}.py"), name, is_package=False)


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements that run at import, in order: those of `if`, `try` and `with` blocks included."""
    found: list[ast.stmt] = []
    for node in body:
        found.append(node)
        match node:
            case ast.If(body=first, orelse=second):
                found += _statements([*first, *second])
            case ast.Try(body=first, handlers=handlers, orelse=second, finalbody=last):
                handled = [statement for handler in handlers for statement in handler.body]
                found += _statements([*handled, *first, *second, *last])
            case ast.With(body=first):
                found += _statements(first)
            case _:
                pass
    return found


def _absolute(node: ast.ImportFrom, module: str, *, is_package: bool) -> str | None:
    """The absolute name of the module that `from ... import` names; None where it points out of the package."""
    if node.level == 0:
        return node.module
    parts = module.split(".")
    up = node.level - 1 if is_package else node.level
    if up >= len(parts):
        return None
    return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])
