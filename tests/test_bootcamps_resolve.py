"""Where the verifier of a data source is found, without importing any."""

import subprocess
import sys
from pathlib import Path

import pytest

from bootcamp_cli.bootcamps.registry import CATALOG, ENTRY_POINT_GROUP, Resolver
from bootcamp_cli.bootcamps.upstream import Origin, read_names
from bootcamp_cli.errors import SettingsError
from bootcamp_cli.types import BootcampRef
from tests.bootcamps_upstream_package import build_package


def install(directory: Path, entries: dict[str, str], name: str = "thirdparty") -> None:
    """Write the metadata of an installed distribution with these entry points."""
    info = directory / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{key} = {value}" for key, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{ENTRY_POINT_GROUP}]", *lines, ""]))


def origins(names: list[str], resolver: Resolver) -> dict[str, str | None]:
    """The origin of each name, None where it is not known."""
    refs = {name: resolver.resolve(name) for name in names}
    return {name: ref.origin if ref else None for name, ref in refs.items()}


def test_order_of_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built-in before entry point before package; mode upstream asks the package first, builtin never."""
    build_package(tmp_path / "package", {"Sudoku": "pass", "Own": "pass", "Theirs": "pass"})
    install(tmp_path / "site", {"Sudoku": "own.mod:Sudoku", "Own": "own.mod:Own"})
    monkeypatch.syspath_prepend(tmp_path / "site")
    names = ["Sudoku", "Own", "Theirs", "Nobodys", "Base"]
    path = tmp_path / "package"
    assert origins(names, Resolver("auto", path)) == {
        "Sudoku": "builtin", "Own": "entry_point", "Theirs": "upstream", "Nobodys": None, "Base": None,
    }  # fmt: skip
    assert origins(names, Resolver("upstream", path)) == {
        "Sudoku": "upstream", "Own": "upstream", "Theirs": "upstream", "Nobodys": None, "Base": None,
    }  # fmt: skip
    assert origins(names, Resolver("builtin", path)) == {
        "Sudoku": "builtin", "Own": "entry_point", "Theirs": None, "Nobodys": None, "Base": None,
    }  # fmt: skip


def test_references_say_what_to_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference holds the module and, for third parties, the attribute, and the path that was given."""
    build_package(tmp_path, {"Theirs": "pass"})
    install(tmp_path / "site", {"Own": "own.mod:Own"})
    monkeypatch.syspath_prepend(tmp_path / "site")
    resolver = Resolver("auto", tmp_path)
    assert resolver.resolve("Theirs") == BootcampRef(
        data_source="Theirs",
        origin="upstream",
        target="internbootcamp.bootcamp.theirs.theirs:Theirsbootcamp",
        path=str(tmp_path),
    )
    assert resolver.resolve("Own") == BootcampRef(data_source="Own", origin="entry_point", target="own.mod:Own")
    sudoku = resolver.resolve("Sudoku")
    assert sudoku == BootcampRef(data_source="Sudoku", origin="builtin", target=CATALOG["Sudoku"].module)


def test_installed_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path the package is found on the module search path."""
    monkeypatch.syspath_prepend(build_package(tmp_path, {"Theirs": "pass"}))
    ref = Resolver("auto", None).resolve("Theirs")
    assert ref is not None
    assert (ref.origin, ref.path) == ("upstream", None)
    assert "internbootcamp" not in sys.modules


def test_path_may_be_the_package_itself(tmp_path: Path) -> None:
    """bootcamps_path may name the checkout or the package directory in it."""
    build_package(tmp_path, {"Theirs": "pass"})
    assert Resolver("auto", tmp_path / "internbootcamp").resolve("Theirs") is not None


def test_path_without_a_package_is_refused(tmp_path: Path) -> None:
    """A bootcamps_path that holds no package is a settings error that names it, unless it has no use."""
    with pytest.raises(SettingsError, match="no package internbootcamp in"):
        Resolver("auto", tmp_path)
    assert Resolver("builtin", tmp_path).resolve("Sudoku") is not None


def test_known_lists_every_name_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list holds built-in, installed and packaged bootcamps, sorted, each with the origin that wins."""
    build_package(tmp_path, {"Theirs": "pass", "Sudoku": "pass"})
    install(tmp_path / "site", {"Own": "own.mod:Own"})
    monkeypatch.syspath_prepend(tmp_path / "site")
    known = Resolver("auto", tmp_path).known()
    assert [ref.data_source for ref in known] == sorted({*CATALOG, "Own", "Theirs"})
    assert {ref.data_source: ref.origin for ref in known if ref.data_source in ("Own", "Theirs", "Sudoku")} == {
        "Own": "entry_point", "Theirs": "upstream", "Sudoku": "builtin",
    }  # fmt: skip
    assert [ref.origin for ref in Resolver("builtin", None).known() if ref.data_source == "Theirs"] == []


def test_resolving_imports_no_verifier() -> None:
    """Resolving every built-in bootcamp imports none of their modules."""
    code = (
        "import sys; from bootcamp_cli.bootcamps.registry import Resolver; Resolver('auto', None).known(); "
        "from bootcamp_cli.bootcamps.registry import CATALOG; "
        "print(sorted(set(sys.modules) & {entry.module for entry in CATALOG.values()}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_forms_of_imports_in_the_init(tmp_path: Path) -> None:
    """Several names, parentheses, aliases, absolute imports, submodules, conditions and star imports are understood."""
    (tmp_path / "kor").mkdir()
    (tmp_path / "kor" / "__init__.py").write_text("from .one import *\nfrom ..base import Deep\n_hidden = 1\n")
    (tmp_path / "kor" / "one.py").write_text("from . import two\nclass Starred: pass\ndef f(): class_ = 1\n")
    (tmp_path / "__init__.py").write_text(
        "from .a.a import A, B as C\n"
        "from .b import (\n    D,  # a comment\n    E,\n)\n"
        "from package.bootcamp.f import F\n"
        "from . import g\n"
        "try:\n    from .h import H\nexcept ImportError:\n    H = None\n"
        "if True:\n    from .i import I\n"
        "from .kor import *\n"
        "import os\n"
        "OWN: dict = {}\n"
        "from ....outside import Nothing\n"
    )
    at = "package.bootcamp"
    assert read_names(at, tmp_path) == {
        "A": Origin(module=f"{at}.a.a", attribute="A"),
        "C": Origin(module=f"{at}.a.a", attribute="B"),
        "D": Origin(module=f"{at}.b", attribute="D"),
        "E": Origin(module=f"{at}.b", attribute="E"),
        "F": Origin(module="package.bootcamp.f", attribute="F"),
        "g": Origin(module=f"{at}.g", attribute=None),
        "H": Origin(module=f"{at}.h", attribute="H"),
        "I": Origin(module=f"{at}.i", attribute="I"),
        "two": Origin(module=f"{at}.kor.two", attribute=None),
        "Starred": Origin(module=f"{at}.kor.one", attribute="Starred"),
        "f": Origin(module=f"{at}.kor.one", attribute="f"),
        "Deep": Origin(module=f"{at}.base", attribute="Deep"),
        "OWN": Origin(module=None, attribute="OWN"),
    }


@pytest.mark.parametrize("text", ["from . import (", "\0", "from .x import \ud7ff*"])
def test_unreadable_init_has_no_names(tmp_path: Path, text: str) -> None:
    """A damaged `__init__` is no reason to fail before anything of the package is asked for."""
    (tmp_path / "__init__.py").write_text(text)
    assert read_names("package", tmp_path) == {}
