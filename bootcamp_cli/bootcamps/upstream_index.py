"""The names of an `internbootcamp` package, read from its text: nothing of it is imported."""

import ast
import importlib.util
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "internbootcamp"
BOOTCAMPS = f"{PACKAGE}.bootcamp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a name of a package's `__init__` comes from: `attribute` of `module`, or the module itself (None).

    `module` is None for what the `__init__` makes itself: only running it gives that name.
    """

    module: str | None
    attribute: str | None


def find_package(path: str | None) -> Path | None:
    """The directory of the package `internbootcamp`: below `path`, `path` itself, or installed; None where it is not.

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
        """What the file binds at its top level, also inside `if` and `try`."""
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
