"""The version digest of a verifier's code: what it covers, and that nothing is imported to find it."""

import ast
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import bootcamp_cli.bootcamps
from bootcamp_cli.bootcamps.digest import BuiltinSources, verifier_digest, verifier_version
from bootcamp_cli.bootcamps.registry import CATALOG, Resolver, load_builtin
from bootcamp_cli.types import BootcampRef, VerifierVersion
from tests.bootcamps_upstream_package import build_package

PACKAGE = "bootcamp_cli.bootcamps"
DIRECTORY = Path(bootcamp_cli.bootcamps.__file__).parent
SOURCES = BuiltinSources(DIRECTORY)
SUDOKU = CATALOG["Sudoku"].module


def modules() -> Iterator[str]:
    """Every module that a built-in bootcamp is or may import."""
    for folder in ("builtin", "extraction"):
        for path in sorted((DIRECTORY / folder).rglob("*.py")):
            parts = path.relative_to(DIRECTORY).with_suffix("").parts
            yield ".".join((PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def copied(directory: Path, changes: dict[str, str] | None = None) -> BuiltinSources:
    """The sources at another place, with text added to some of them."""
    for path in DIRECTORY.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            copy = directory / path.relative_to(DIRECTORY)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    for name, text in (changes or {}).items():
        with (directory / name).open("a") as file:
            file.write(text)
    return BuiltinSources(directory)


def changed_by(directory: Path, name: str) -> set[str]:
    """The data sources whose digest changes when a comment is added to a file."""
    sources = copied(directory, {name: "\n# more\n"})
    return {source for source, entry in CATALOG.items() if sources.digest(entry.module) != SOURCES.digest(entry.module)}


def entry_point(target: str) -> str | None:
    """The digest of an entry point."""
    return verifier_digest(BootcampRef(data_source="Own", origin="entry_point", target=target))


def sha256(path: Path) -> str:
    """The digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_public_data_source_has_its_own_digest() -> None:
    """Each of the 80 built-in bootcamps has a digest, of 64 hexadecimal digits and unlike all others."""
    refs = [ref for name in CATALOG if (ref := Resolver("builtin", None).resolve(name))]
    digests = {verifier_digest(ref) for ref in refs}
    assert len(digests) == len(CATALOG) == 80
    assert all(digest and len(digest) == 64 and int(digest, 16) for digest in digests)


def test_what_is_covered_is_what_is_imported() -> None:
    """For every module, what the digest covers is what a fresh interpreter imports, within functions included."""
    asked = {module: sorted(imports_within(module)) for module in modules()}
    child = subprocess.run(
        [sys.executable, "-c", IMPORTING, json.dumps(asked)], capture_output=True, text=True, check=True
    )
    imported = json.loads(child.stdout)
    assert {module: sorted(SOURCES.imported(module)) for module in modules()} == imported


IMPORTING = """
import importlib, json, sys

def loaded():
    return sorted(name for name in sys.modules if name.startswith("bootcamp_cli.bootcamps"))

asked, imported = json.loads(sys.argv[1]), {}
for module in asked:
    for name in loaded():
        del sys.modules[name]
    importlib.import_module(module)
    done = set()
    while owed := set(loaded()) - done:
        for name in owed:
            for statement in asked.get(name, ()):
                exec(statement)
        done |= owed
    imported[module] = loaded()
print(json.dumps(imported))
"""


def imports_within(module: str) -> Iterator[str]:
    """The import statements within a module's functions, as the parser sees them."""
    path = DIRECTORY.joinpath(*module.removeprefix(PACKAGE).removeprefix(".").split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_name(f"{path.name}.py")
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    yield ast.unparse(inner)


@pytest.mark.parametrize(
    "source",
    [
        "from bootcamp_cli.bootcamps.extraction import blocks, values",
        "from bootcamp_cli.bootcamps.extraction import (\n    blocks,  # one, two)\n    values as v,\n)",
        "import bootcamp_cli.bootcamps.extraction.blocks, bootcamp_cli.bootcamps.extraction.values as v",
        "from bootcamp_cli.bootcamps.extraction import blocks, \\\n    values",
        """if True:
            from bootcamp_cli.bootcamps.extraction.blocks import last_block as b # noqa
            import bootcamp_cli.bootcamps.extraction.values; x = 1
        """,
    ],
)
def test_ways_to_import(tmp_path: Path, source: str) -> None:
    """Modules are found however they are imported: as names, in parentheses, renamed, several at once, indented."""
    sources = copied(tmp_path / "bootcamps", {"builtin/text/own.py": source})
    imported = sources.imported(f"{PACKAGE}.builtin.text.own")
    assert {f"{PACKAGE}.extraction.blocks", f"{PACKAGE}.extraction.values"} <= imported


def test_data_files_are_covered(tmp_path: Path) -> None:
    """Every data file beside the built-in bootcamps decides the digest of the one that reads it, and of no other."""
    data = [
        path for path in (DIRECTORY / "builtin").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    assert [path.name for path in data] == ["arc_answers.json"]
    assert changed_by(tmp_path / "bootcamps", "builtin/grids/arc_answers.json") == {"Arc"}


def test_nothing_else_is_read_unseen() -> None:
    """No built-in bootcamp reads a file or imports a module in a way that the digest would not see."""
    for module in modules():
        path = DIRECTORY.joinpath(*module.removeprefix(PACKAGE).removeprefix(".").split("."))
        if path.is_dir():
            continue
        text = path.with_name(f"{path.name}.py").read_text()
        assert not any(word in text for word in ("import_module", "__import__", "open(", "__file__", "read_bytes"))
        assert text.count("read_text(") == text.count(".joinpath(") == len(SOURCES.data(module))
        levels = [node.level for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
        assert not any(levels), f"{module} has a relative import"


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("builtin/grids/sudoku.py", {"Sudoku"}),
        ("builtin/kor_operation/symbolic.py", {"KorOperationUnicode25a0", "KorOperationUnicode25c6"}),
        ("builtin/text/edit_distance.py", {"Cipher"}),
        ("registry.py", set()),
        ("scoring.py", set()),
        ("ceilings.json", set()),
    ],
)
def test_a_change_reaches_who_imports_it(tmp_path: Path, name: str, changed: set[str]) -> None:
    """A changed module changes the digests of those that import it, directly, or only in a function, and no other."""
    assert changed_by(tmp_path / "bootcamps", name) == changed


def test_a_change_of_a_helper_reaches_far(tmp_path: Path) -> None:
    """A helper of many changes the digest of each that imports it, also through another module."""
    changed = changed_by(tmp_path / "bootcamps", "extraction/blocks.py")
    blocks = f"{PACKAGE}.extraction.blocks"
    importing = {name for name, entry in CATALOG.items() if blocks in SOURCES.imported(entry.module)}
    assert changed == importing
    assert 60 < len(changed) < 80


def test_the_place_does_not_matter(tmp_path: Path) -> None:
    """The same sources have the same digests wherever they are, in a zip file as well."""
    digests = {name: SOURCES.digest(entry.module) for name, entry in CATALOG.items()}
    sources = copied(tmp_path / "other place" / "bootcamps")
    assert {name: sources.digest(entry.module) for name, entry in CATALOG.items()} == digests
    archive = tmp_path / "tool.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in (tmp_path / "other place" / "bootcamps").rglob("*"):
            file.write(path, path.relative_to(tmp_path / "other place"))
    zipped = BuiltinSources(zipfile.Path(archive, "bootcamps/"))
    assert {name: zipped.digest(entry.module) for name, entry in CATALOG.items()} == digests


def test_line_ends_count(tmp_path: Path) -> None:
    """The content counts byte for byte, and so does which part of it is in which file."""
    sources = copied(tmp_path / "bootcamps")
    path = tmp_path / "bootcamps" / "builtin" / "grids" / "sudoku.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert sources.digest(SUDOKU) != SOURCES.digest(SUDOKU)
    assert sources.imported(SUDOKU) == SOURCES.imported(SUDOKU)


def test_no_source_no_digest(tmp_path: Path) -> None:
    """A module without a source file, as where only compiled ones are installed, has no digest."""
    assert BuiltinSources(tmp_path).digest(SUDOKU) is None


def test_nothing_is_imported() -> None:
    """The digests of all built-in bootcamps import none of them."""
    program = (
        "import sys\n"
        "from bootcamp_cli.bootcamps.digest import verifier_version\n"
        "from bootcamp_cli.bootcamps.registry import CATALOG, Resolver\n"
        "assert all(verifier_version(Resolver('builtin', None).resolve(name)).digest for name in CATALOG)\n"
        "print([name for name in sys.modules if name.startswith('bootcamp_cli.bootcamps.builtin')])\n"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert child.stdout == "[]\n"


def test_a_class_of_the_package(tmp_path: Path) -> None:
    """For the upstream package it is the digest of the file of its module, wherever the package is."""
    build_package(tmp_path / "a", {"Theirs": "pass", "Others": "pass"})
    build_package(tmp_path / "b", {"Theirs": "pass", "Others": "number = 2"})
    versions = {
        (place, name): verifier_version(ref)
        for place in "ab"
        for name in ("Theirs", "Others")
        if (ref := Resolver("upstream", tmp_path / place).resolve(name))
    }
    module = tmp_path / "a" / "internbootcamp" / "bootcamp" / "theirs" / "theirs.py"
    assert versions["a", "Theirs"] == VerifierVersion(origin="upstream", digest=sha256(module))
    assert versions["a", "Theirs"] == versions["b", "Theirs"]
    assert versions["a", "Others"].differs_from(versions["b", "Others"])


def test_a_class_that_the_init_makes(tmp_path: Path) -> None:
    """A class that only running the package's `__init__` yields has the digest of that `__init__`."""
    build_package(tmp_path, {}, after_imports="class Madebootcamp(Basebootcamp): pass")
    init = tmp_path / "internbootcamp" / "bootcamp" / "__init__.py"
    made = BootcampRef(data_source="Made", origin="upstream", target="Madebootcamp", path=str(tmp_path))
    assert Resolver("upstream", tmp_path).resolve("Made") == made
    assert verifier_digest(made) == sha256(init)


def test_a_package_that_is_gone(tmp_path: Path) -> None:
    """A package or module that is not there has no digest."""
    gone = BootcampRef(data_source="X", origin="upstream", target="internbootcamp.bootcamp.x:X", path=str(tmp_path))
    assert verifier_digest(gone) is None
    build_package(tmp_path / "there", {})
    there = BootcampRef(data_source="X", origin="upstream", target=gone.target, path=str(tmp_path / "there"))
    assert verifier_digest(there) is None


def test_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point has the digest of its module's file; neither it nor its packages are imported."""
    files = {
        "own_single.py": tmp_path / "own_single.py",
        "own_package.part.mod": tmp_path / "own_package" / "part" / "mod.py",
        "own_package.part": tmp_path / "own_package" / "part" / "__init__.py",
        "own_space.inner.mod": tmp_path / "own_space" / "inner" / "mod.py",
        "own_compiled.mod": tmp_path / "own_compiled" / "mod.abi3.so",
    }
    for path in (*files.values(), tmp_path / "own_package" / "__init__.py"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"raise RuntimeError({path.name!r})")
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    assert entry_point("own_single:Own") == sha256(files["own_single.py"])
    assert entry_point("own_package.part.mod : Own.inner [extra]") == sha256(files["own_package.part.mod"])
    assert entry_point("own_package.part") == sha256(files["own_package.part"])
    assert entry_point("own_space.inner.mod:Own") == sha256(files["own_space.inner.mod"])
    assert entry_point("own_compiled.mod:Own") == sha256(files["own_compiled.mod"])
    assert set(sys.modules) == before


def test_a_namespace_with_several_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of a namespace package is found in whichever of its directories it is."""
    for place, name in (("one", "first"), ("two", "second")):
        path = tmp_path / place / "own_wide" / "deep" / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text(f"NAME = {name!r}")
        monkeypatch.syspath_prepend(tmp_path / place)
    assert entry_point("own_wide.deep.first:x") == sha256(tmp_path / "one" / "own_wide" / "deep" / "first.py")
    assert entry_point("own_wide.deep.second:x") == sha256(tmp_path / "two" / "own_wide" / "deep" / "second.py")


@pytest.mark.parametrize(
    "target",
    ["own_absent:x", "own_absent.deep:x", "sys:x", "json.absent:x", "json.decoder.absent:x", ":x", "a..b:x", ""],
)
def test_entry_points_without_a_file(target: str) -> None:
    """What is not installed, is part of the interpreter or is not a module's name has no digest."""
    assert entry_point(target) is None


def test_a_namespace_or_a_zip_has_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A namespace package and a module within a zip file have no file of their own, and no digest."""
    (tmp_path / "own_bare" / "below").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        archive.writestr("own_zipped.py", "x = 1")
        archive.writestr("own_zipped_package/__init__.py", "")
        archive.writestr("own_zipped_package/mod.py", "x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "own.zip")
    for target in ("own_bare:x", "own_bare.below:x", "own_zipped:x", "own_zipped_package.mod:x"):
        assert entry_point(target) is None


def test_an_edited_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that is edited while the process lives has another digest at once."""
    path = tmp_path / "own_edited.py"
    path.write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    before = entry_point("own_edited:x")
    path.write_text("x = 2")
    assert entry_point("own_edited:x") == sha256(path) != before


def test_a_fallback_counts_where_it_decides(tmp_path: Path) -> None:
    """The package's digest stands beside the built-in one only where a built-in bootcamp has rows it cannot verify."""
    build_package(tmp_path, {"Arc": "pass", "Sudoku": "pass"})
    resolver = Resolver("auto", tmp_path)
    arc, sudoku = resolver.resolve("Arc"), resolver.resolve("Sudoku")
    assert arc is not None
    assert sudoku is not None
    assert arc.fallback is not None
    assert sudoku.fallback is not None
    assert verifier_version(arc).fallback == verifier_digest(arc.fallback) is not None
    assert verifier_version(sudoku).fallback is None
    assert verifier_version(arc).digest == SOURCES.digest(CATALOG["Arc"].module)


def test_who_has_unscorable_rows_is_known_without_importing() -> None:
    """A built-in bootcamp's source mentions `unscorable` exactly where the imported module has such a function."""
    for name, entry in CATALOG.items():
        assert SOURCES.mentions(entry.module, b"unscorable") == hasattr(load_builtin(name), "unscorable")


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        (VerifierVersion(origin="builtin", digest="a", fallback="x"), False),
        (VerifierVersion(origin="builtin", digest="b", fallback="x"), True),
        (VerifierVersion(origin="upstream", digest="a", fallback="x"), True),
        (VerifierVersion(origin="builtin", fallback="x"), False),
        (VerifierVersion(origin="builtin", digest="a"), False),
        (VerifierVersion(origin="builtin", digest="a", fallback="y"), True),
        (VerifierVersion(origin="upstream"), True),
    ],
)
def test_versions_differ(other: VerifierVersion, differs: bool) -> None:  # noqa: FBT001 - the expected result
    """Versions differ by origin or by a digest that both have; one that either lacks counts as equal, both ways."""
    version = VerifierVersion(origin="builtin", digest="a", fallback="x")
    assert version.differs_from(other) == other.differs_from(version) == differs
