"""One class out of the package `internbootcamp`, without importing the thousand others. Runs inside a worker.

`internbootcamp` and `internbootcamp.bootcamp` are put into `sys.modules` as stand-ins: their submodules import as
usual, their `__init__` does not run, and a name asked of them is looked up in the text of that `__init__` and imported
then. Where a bootcamp cannot be imported so, the stand-ins go and the whole package is imported (9 s, 365 MB).
"""

import importlib
import inspect
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from bootcamp_cli.bootcamps.scoring import ScoreVerifier, described
from bootcamp_cli.bootcamps.upstream_index import BOOTCAMPS, PACKAGE, Origin, find_package, read_names
from bootcamp_cli.records import BootcampRef

_PENALTIES = {"short_penalty": False, "format_penalty": False}


def load_upstream(ref: BootcampRef) -> ScoreVerifier:
    """Import the class of `ref` and wrap it.

    Raises:
        ImportError: neither alone nor with the whole package; the message holds both reasons.
    """
    module, _, attribute = ref.target.rpartition(":")
    if ref.path is not None:
        _put_in_front(ref.path)
    alone = "its module is not known"
    if module and not _is_whole():
        try:
            _install_stand_ins(ref.path)
            return reference_verifier(getattr(importlib.import_module(module), attribute))
        except Exception as error:  # noqa: BLE001 - the boundary: whatever stops it, the whole package is next
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
    """Whether the real package is imported already: its classes are there for the asking."""
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
    """A package whose `__init__` has not run: a name is imported when it is asked for."""

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
