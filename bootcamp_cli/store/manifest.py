"""What a manifest that was read back must look like: it stands in a file that people can edit."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bootcamp_cli.errors import RunDirectoryError

_HINT = "restore it from a copy"

Check = Callable[[Any], bool]


def check_manifest(manifest: Mapping[str, Any], path: Path) -> None:
    """Hold the parts that are there to their form; what else stands in it is of no concern.

    Raises:
        RunDirectoryError: a part is of the wrong form; the message names it.
    """
    for key, is_fine in _PARTS.items():
        if key in manifest and not is_fine(manifest[key]):
            raise RunDirectoryError(f"{path}: {key} is not what was written", hint=_HINT)


def files_of(manifest: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    """The test files of the run, as they were when it started.

    Raises:
        RunDirectoryError: the manifest does not tell them.
    """
    if "files" not in manifest:
        raise RunDirectoryError(f"{path}: files is missing", hint=_HINT)
    files: list[dict[str, Any]] = manifest["files"]
    return files


def identity_of(manifest: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Everything that decided the answers when the run started.

    Raises:
        RunDirectoryError: the manifest does not tell it.
    """
    if "identity" not in manifest:
        raise RunDirectoryError(f"{path}: identity is missing", hint=_HINT)
    identity: dict[str, Any] = manifest["identity"]
    return identity


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_optional_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_list(value: Any, is_fine: Check) -> bool:
    return isinstance(value, list) and all(map(is_fine, value))


def _has(value: Any, parts: Mapping[str, Check]) -> bool:
    return isinstance(value, dict) and all(key in value and is_fine(value[key]) for key, is_fine in parts.items())


def _is_data_source(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and _is_text(value[0]) and _is_count(value[1])


_FILE: Mapping[str, Check] = {
    "name": _is_text,
    "digest": _is_text,
    "size_bytes": _is_count,
    "n_rows": _is_count,
    "id_rule": _is_text,
    "data_sources": lambda value: _is_list(value, _is_data_source),
}
_TEMPLATE: Mapping[str, Check] = {
    "name": _is_text,
    "text": _is_text,
    "stop": lambda value: _is_list(value, _is_text),
    "system_prompt": _is_optional_text,
}
_PARTS: Mapping[str, Check] = {
    "files": lambda value: _is_list(value, lambda file: _has(file, _FILE)),
    "template": lambda value: _has(value, _TEMPLATE),
    "sys_prompt": _is_optional_text,
    "identity": lambda value: isinstance(value, dict),
    "test_dir": _is_optional_text,
}
