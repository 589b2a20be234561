"""One class from the package `internbootcamp`, without importing the thousand others. Runs inside a worker.

`internbootcamp` and `internbootcamp.bootcamp` are put into `sys.modules` as stand-ins: their submodules are imported as
usual, but their `__init__` does not run; a name requested from them is looked up in the text of that `__init__` and
imported then. The package's modules call the second one `bootcamp` as well, and its neighbours `libs` and the like, as
if the package's own directory were on the search path: that directory is put behind everything else on it, and
`bootcamp` with all below it is the same modules under another name, so that there is one base class, not two.

Where a bootcamp cannot be imported this way, the stand-ins are removed and the whole package is imported (28 s,
663 MB), unless it lacks a requirement that the whole package would lack too. The names in the text are read without
importing anything.
"""

import ast
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from bootcamp_cli.bootcamps.scoring import ScoreVerifier, described, own_family
from bootcamp_cli.bootcamps.time_limits import own_time_limit
from bootcamp_cli.types import BootcampRef

_PENALTIES = {"short_penalty": False, "format_penalty": False}


def load_upstream(ref: BootcampRef) -> ScoreVerifier:
    """Import the class of `ref` and wrap it.

    Raises:
        MemoryError: the worker has no room for it.
        ModuleNotFoundError: a requirement of the package is not installed.
        ImportError: it can be imported neither alone nor with the whole package; the message gives both reasons.
    """
    module, _, attribute = ref.target.rpartition(":")
    if ref.path is not None:
        _put_in_front(ref.path)
    package = find_package(ref.path)
    if package is None:
        raise ImportError(f"no package {PACKAGE} in {ref.path or 'the module search path'}")
    _serve_top_level_names(package)
    alone = "its module is not known"
    if module and not is_whole():
        try:
            _install_stand_ins(package)
            return reference_verifier(getattr(importlib.import_module(module), attribute))
        except ModuleNotFoundError as error:
            if _is_missing_requirement(error, package):
                raise
            alone = described(error)
        except MemoryError:
            raise
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
        time_limit_s=own_time_limit(bootcamp),
        family=own_family(bootcamp),
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


def is_whole() -> bool:
    """Whether the real package is already imported, with all of its classes."""
    present = sys.modules.get(BOOTCAMPS)
    return present is not None and not isinstance(present, _StandIn)


def _is_missing_requirement(error: ModuleNotFoundError, package: Path) -> bool:
    """Whether a module is not installed: not where something in the package's own tree might be meant by its name."""
    name = (error.name or "").partition(".")[0]
    return bool(name) and name not in {PACKAGE, _ALIAS, *_modules_anywhere(package)}


@cache
def _modules_anywhere(package: Path) -> frozenset[str]:
    """The names of all modules and packages in the tree: its `__init__` may put any of its directories on the path."""
    return frozenset(path.stem for path in package.rglob("*") if path.suffix == ".py" or path.is_dir())


def _from_whole_package(ref: BootcampRef, alone: str) -> Any:
    reason = _import_whole()
    try:
        if reason is None:
            return getattr(sys.modules[BOOTCAMPS], ref.name)
    except Exception as error:  # noqa: BLE001 - whatever a lookup in a third-party module raises
        reason = described(error)
    raise ImportError(f"cannot import {ref.name}: {alone}; with the whole package: {reason}")


@cache
def _import_whole() -> str | None:
    """Import the whole package in the place of the stand-ins; gives the reason if that fails. It is tried only once."""
    _forget_package()
    try:
        importlib.import_module(BOOTCAMPS)
    except MemoryError:
        _forget_package()
        raise
    except Exception as error:  # noqa: BLE001 - the boundary: a thousand modules may do anything
        _forget_package()
        return described(error)
    return None


def start_afresh(path: str | None) -> None:
    """Forget what was imported of the package, helpers included, so that a later import runs it again.

    Bootcamps that are loaded already keep their modules.
    """
    if (package := find_package(path)) is None:
        return
    root = f"{package}/"
    for name, module in list(sys.modules.items()):
        places = [vars(module).get("__file__"), *vars(module).get("__path__", ())]
        if any(str(place).startswith(root) for place in places):
            del sys.modules[name]
    _forget_package()
    _install_stand_ins(package)


def _forget_package() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in {PACKAGE, _ALIAS}]:
        del sys.modules[name]
    importlib.invalidate_caches()


def _serve_top_level_names(package: Path) -> None:
    """Let the package's modules find each other by the names that its own directory on the path would give them."""
    if str(package) not in sys.path:
        sys.path.append(str(package))
    if not any(isinstance(finder, _AliasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AliasFinder())


class _AliasFinder:
    """Finds `bootcamp` and everything below it: the modules of `internbootcamp.bootcamp` under another name.

    Otherwise `bootcamp.base` would be another module than `internbootcamp.bootcamp.base`, with another base class.
    """

    @staticmethod
    def find_spec(
        name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of an alias; its module is imported here, where a circular import finds it already begun."""
        top, dot, rest = name.partition(".")
        if top != _ALIAS:
            return None
        real = f"{BOOTCAMPS}{dot}{rest}"
        try:
            return ModuleSpec(name, _AliasLoader(importlib.import_module(real)))
        except ModuleNotFoundError as error:
            if error.name == real:
                return None
            raise


class _AliasLoader(Loader):
    """Gives a module that is already imported."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    @staticmethod
    def create_module(_spec: ModuleSpec) -> None:
        """The usual empty module, which is replaced: Python would write the alias's spec into the real one."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the real module in the place of the empty one."""
        sys.modules[module.__name__] = self._module


def _install_stand_ins(package: Path) -> None:
    if BOOTCAMPS in sys.modules:
        return
    _forget_package()
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
        self._names: dict[str, Origin] = _read_once(name, directory)

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
_ALIAS = "bootcamp"


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


_read_once = cache(read_names)


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
        top, dot, rest = (node.module or "").partition(".")
        return f"{BOOTCAMPS}{dot}{rest}" if top == _ALIAS else node.module
    parts = module.split(".")
    up = node.level - 1 if is_package else node.level
    if up >= len(parts):
        return None
    return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])
