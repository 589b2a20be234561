"""Builds packages of the shape of `internbootcamp`: many classes, one per module, all named in one `__init__`.

Its modules import one another as the real one's do: nearly all by the top-level name `bootcamp`, which the package's
`__init__` makes by putting its own directory on the path, a few by other names; some use its helpers beside `bootcamp`.
"""

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

TOP_LEVEL = "from bootcamp import Basebootcamp\n"

OTHER_STYLES = (
    "from internbootcamp.bootcamp.base import Basebootcamp\n",
    "from bootcamp.base import Basebootcamp\n",
    "from internbootcamp.bootcamp import Basebootcamp\n",
    "from ..base import Basebootcamp\n",
    "from bootcamp import Basebootcamp\nfrom bootcamp_utils import same\n",
    "from bootcamp import Basebootcamp\nfrom libs.exact.compare import same\n",
    "import bootcamp\nBasebootcamp = bootcamp.Basebootcamp\n",
    "import bootcamp.base as base\nBasebootcamp = base.Basebootcamp\n",
)
_EVERY = 45
"""Of this many generated modules one has another style: 23 of 1,046 have in the real package."""

_INIT = """
import os
import sys

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
from .bootcamp import *
"""


def build_package(
    directory: Path,
    classes: dict[str, str],
    *,
    n_generated: int = 0,
    after_imports: str = "",
    module_head: str = "",
    heads: dict[str, str] | None = None,
) -> Path:
    """Write a package with `classes` (data source -> class body) and further generated ones; returns its parent.

    `after_imports` ends the `__init__` of the bootcamps, `module_head` follows the import of the base class in the
    module of each of `classes`; `heads` replaces that import for some of them.
    """
    root = directory / "internbootcamp"
    bootcamps = root / "bootcamp"
    bootcamps.mkdir(parents=True)
    (root / "__init__.py").write_text(_INIT)
    _write_helpers(root)
    (bootcamps / "base.py").write_text(_BASE)
    imports = ["from .base import Basebootcamp"]
    for number in range(n_generated):
        name = f"Gen{number:04}"
        ballast = f"BALLAST = b'x' * {BALLAST_BYTES}\n"
        other, first = divmod(number, _EVERY)
        head = TOP_LEVEL if first else OTHER_STYLES[other % len(OTHER_STYLES)]
        imports.append(_write_module(bootcamps, name, f"{head}{ballast}{_class(name, 'number = ' + str(number))}"))
    for name, body in classes.items():
        head = (heads or {}).get(name, TOP_LEVEL)
        imports.append(_write_module(bootcamps, name, head + module_head + _class(name, body)))
    (bootcamps / "__init__.py").write_text("\n".join([*imports, after_imports, ""]))
    return directory


def _write_helpers(root: Path) -> None:
    """Beside the bootcamps, a module and a package that only the package's own directory on the path makes findable."""
    (root / "bootcamp_utils.py").write_text("def same(one, other):\n    return one == other\n")
    exact = root / "libs" / "exact"
    exact.mkdir(parents=True)
    for folder in (root / "libs", exact):
        (folder / "__init__.py").write_text("")
    (exact / "compare.py").write_text("from bootcamp_utils import same\n")


def _class(name: str, body: str) -> str:
    lines = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
    return f"class {name}bootcamp(Basebootcamp):\n{lines}\n"


def _write_module(bootcamps: Path, name: str, text: str) -> str:
    folder = bootcamps / name.lower()
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / f"{name.lower()}.py").write_text(text)
    return f"from .{name.lower()}.{name.lower()} import {name}bootcamp"
