"""Builds packages of the shape of `internbootcamp`: many classes, one per module, all named in one `__init__`."""

from pathlib import Path

BALLAST_BYTES = 64 * 1024

_BASE = """
import re

class Basebootcamp:
    @staticmethod
    def extract_output(output):
        found = re.findall(r"<(.*?)>", output)
        return found[-1] if found else None

    @classmethod
    def _verify_correction(cls, solution, identity):
        return solution == identity

    @classmethod
    def verify_score(cls, model_output, ground_truth, format_score=0, short_penalty=True, short_threshold=100,
                     format_penalty=True):
        score = float(cls._verify_correction(cls.extract_output(model_output), ground_truth))
        if short_penalty and len(model_output) < short_threshold:
            score /= 2
        if format_penalty and "</think>" not in model_output:
            score = 0.0
        return score
"""

_HEAD = "from internbootcamp.bootcamp.base import Basebootcamp\n"


def build_package(
    directory: Path, classes: dict[str, str], *, n_generated: int = 0, after_imports: str = "", module_head: str = ""
) -> Path:
    """Write a package with `classes` (data source -> class body) and further generated ones; returns its parent.

    `after_imports` ends the `__init__` of the bootcamps, `module_head` starts the module of each of `classes`.
    """
    root = directory / "internbootcamp"
    bootcamps = root / "bootcamp"
    bootcamps.mkdir(parents=True)
    (root / "__init__.py").write_text("from .bootcamp import *\n")
    (bootcamps / "base.py").write_text(_BASE)
    imports = ["from .base import Basebootcamp"]
    for number in range(n_generated):
        name = f"Gen{number:04}"
        ballast = f"BALLAST = b'x' * {BALLAST_BYTES}\n"
        imports.append(_write_module(bootcamps, name, f"{ballast}{_class(name, 'number = ' + str(number))}"))
    for name, body in classes.items():
        imports.append(_write_module(bootcamps, name, module_head + _class(name, body)))
    (bootcamps / "__init__.py").write_text("\n".join([*imports, after_imports, ""]))
    return directory


def _class(name: str, body: str) -> str:
    lines = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
    return f"class {name}bootcamp(Basebootcamp):\n{lines}\n"


def _write_module(bootcamps: Path, name: str, text: str) -> str:
    folder = bootcamps / name.lower()
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / f"{name.lower()}.py").write_text(_HEAD + text)
    return f"from .{name.lower()}.{name.lower()} import {name}bootcamp"
