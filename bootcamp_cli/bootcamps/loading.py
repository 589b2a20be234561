"""A reference to a bootcamp -> its verifier, imported. Runs inside a worker, and in tests and the demo."""

import functools
from importlib import import_module
from typing import Any

from bootcamp_cli.bootcamps.scoring import CheckVerifier, Verifier
from bootcamp_cli.bootcamps.upstream import load_upstream, reference_verifier
from bootcamp_cli.records import BootcampRef


def load(ref: BootcampRef) -> Verifier:
    """Import the bootcamp and nothing beside what it imports itself.

    Raises:
        Exception: whatever the import raises; TypeError where the object has not the functions of a bootcamp.
    """
    match ref.origin:
        case "builtin":
            return as_verifier(import_module(ref.target), ref.target)
        case "entry_point":
            return as_verifier(_entry_point(ref.target), ref.target)
        case "upstream":
            return load_upstream(ref)


def as_verifier(bootcamp: Any, target: str) -> Verifier:
    """Wrap a module, class or instance that has `extract_output` and either `check` or `verify_score`."""
    extract_output = getattr(bootcamp, "extract_output", None)
    check = getattr(bootcamp, "check", None)
    if callable(extract_output) and callable(check):
        unscorable = getattr(bootcamp, "unscorable", None)
        return CheckVerifier(extract_output=extract_output, check=check, unscorable=unscorable)
    if callable(extract_output) and callable(getattr(bootcamp, "verify_score", None)):
        return reference_verifier(bootcamp)
    raise TypeError(f"{target} has not extract_output and one of check and verify_score")


def _entry_point(target: str) -> Any:
    """The object `module:attribute.attribute`; importlib.metadata would do the same, at some cost to every start."""
    module, _, attributes = target.partition("[")[0].replace(" ", "").partition(":")
    return functools.reduce(getattr, attributes.split(".") if attributes else [], import_module(module))
