"""Classes of a package of the shape of `internbootcamp` verify one by one, without the rest of the package."""

import importlib.util
import sys
import textwrap
from pathlib import Path
from typing import Any

import anyio
import pytest

from bootcamp_cli.bootcamps.registry import Resolver
from bootcamp_cli.bootcamps.time_limits import own_time_limit
from bootcamp_cli.types import BootcampRef, Verdict
from bootcamp_cli.verification.pool import VerifierPool
from tests.bootcamps_builder import in_pool, is_running, until, verify_all
from tests.bootcamps_upstream_package import BALLAST_BYTES, OTHER_STYLES, TOP_LEVEL, build_package

N_GENERATED = 1000
LONG = "some thoughts </think> " * 10


def scoring(*lines: str) -> str:
    """A class body whose verify_score has these lines."""
    body = "".join(f"\n    {line}" for line in lines)
    return f"@classmethod\ndef verify_score(cls, model_output, ground_truth, short_penalty=True):{body}"


def extracting(*lines: str) -> str:
    """A class body whose extract_output has these lines, and which scores 1.0."""
    body = "".join(f"\n    {line}" for line in lines)
    return f"@staticmethod\ndef extract_output(output):{body}\n{scoring('return 1.0')}"


WORKER_STATE = extracting(
    "import gc, sys",
    "modules = [module for name, module in list(sys.modules.items()) if name.startswith('internbootcamp')]",
    "ballast = sum(len(vars(module).get('BALLAST', b'')) for module in modules)",
    "try: resident = int(open('/proc/self/statm').read().split()[1]) * 4096",
    "except OSError: resident = None",
    "return [len(modules), ballast, resident]",
)

CLASSES = {
    "State": WORKER_STATE,
    "Plain": "pass",
    "Mutating": scoring("return float(ground_truth.pop() == 'last' and len(ground_truth) == 2)"),
    "Printing": scoring("print('x' * 2_000_000, flush=True)", "return 1.0"),
    "Hanging": scoring("while True: pass"),
    "Exiting": scoring("import os", "os._exit(4)"),
    "Quitting": scoring("raise SystemExit"),
    "Recursing": scoring("def down(n): return down(n + 1)", "return down(0)"),
    "Allocating": scoring("return len(bytearray(2 ** 48))"),
    "Forking": scoring("import os, time", "child = os.fork()", "if child == 0: time.sleep(1000)",
                       "open(ground_truth, 'w').write(str(child))", "return 1.0"),
    "Raising": scoring("raise KeyError(ground_truth)"),
    "Nan": scoring("return float('nan')"),
    "Nothing": scoring("return None"),
    "Text": scoring("return '1.0'"),
    "NumberLike": scoring("class Number:", "    def __float__(self): return 0.5", "return Number()"),
    "Unextractable": "@staticmethod\ndef extract_output(output):\n    raise ValueError\n" + scoring("return 1.0"),
    "Lazy": scoring("from internbootcamp.bootcamp import Plainbootcamp, Gen0007bootcamp", "import internbootcamp",
                    "return float(internbootcamp.Gen0008bootcamp.number + Gen0007bootcamp.number == 15)"),
}  # fmt: skip

WHOLE_CLASSES = {"Whole": WORKER_STATE}
WHOLE_HEAD = "from internbootcamp.bootcamp import REGISTRY\nassert len(REGISTRY) > 1000\n"
REGISTRY = "globals()['REGISTRY'] = [name for name in dir() if name.endswith('bootcamp')]"


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of a thousand generated classes and the special ones."""
    directory = tmp_path_factory.mktemp("upstream")
    build_package(directory, CLASSES, n_generated=N_GENERATED, after_imports=REGISTRY)
    whole = directory / "internbootcamp" / "bootcamp" / "whole.py"
    body = "".join(f"    {line}\n" for line in WORKER_STATE.splitlines())
    whole.write_text(
        f"from internbootcamp.bootcamp.base import Basebootcamp\n{WHOLE_HEAD}class Wholebootcamp(Basebootcamp):\n{body}"
    )
    init = directory / "internbootcamp" / "bootcamp" / "__init__.py"
    init.write_text(init.read_text() + "from .whole import (\n    Wholebootcamp,\n)\n")
    return directory


def found(package: Path, data_source: str) -> BootcampRef:
    """The reference that the resolver gives for a class of the package."""
    ref = Resolver("auto", package).resolve(data_source)
    assert ref is not None
    assert ref.origin == "upstream"
    return ref


def verify(package: Path, *samples: tuple[str, str, Any], **options: Any) -> list[Verdict]:
    """The verdicts of (data source, output, ground truth), in one worker."""
    return verify_all([(found(package, name), output, truth) for name, output, truth in samples], **options)


def test_one_class_is_imported_without_the_rest(package: Path) -> None:
    """One bootcamp costs its own modules and their memory; only a class that needs the whole package imports it all."""
    alone = verify(package, ("State", "x", None))[0].extracted
    whole = verify(package, ("Whole", "x", None))[0].extracted
    n_modules, ballast, resident = alone
    assert n_modules <= 5
    assert ballast == 0
    assert whole[0] > 2 * N_GENERATED
    assert whole[1] == N_GENERATED * BALLAST_BYTES
    if resident is not None:
        assert whole[2] - resident > 0.9 * N_GENERATED * BALLAST_BYTES


def test_every_class_loads_alone(package: Path) -> None:
    """A thousand classes load one after another in workers, without the whole package and its memory."""
    names = [f"Gen{number:04}" for number in range(N_GENERATED)]
    resolver = Resolver("auto", package)
    refs = [ref for name in ("State", *names, "Plain") if (ref := resolver.resolve(name))]

    async def work(pool: VerifierPool) -> list[Any]:
        async with anyio.create_task_group() as tasks:
            for ref in refs[1:]:
                tasks.start_soon(pool.load, ref)
        state = await pool.verify(refs[0], "x", None)
        return [[await pool.load(ref) for ref in refs], state.extracted]

    failures, (n_modules, ballast, _) = in_pool(work)
    assert failures == [None] * len(refs)
    assert n_modules < 2 * len(refs) + 10
    assert ballast == N_GENERATED * BALLAST_BYTES


def test_further_names_are_resolved_when_asked(package: Path) -> None:
    """A class that imports others from the package while it verifies gets them, one by one."""
    lazy, state = verify(package, ("Lazy", "x", None), ("State", "x", None))
    assert lazy.score == 1.0
    assert state.extracted[:2] == [state.extracted[0], 2 * BALLAST_BYTES]
    assert state.extracted[0] < 20


def test_whole_package_serves_after_the_fallback(package: Path) -> None:
    """Once the whole package is imported, bootcamps met before and after it are verified in the same worker."""
    samples = [
        ("Plain", f"{LONG}<7>", "7"),
        ("Whole", "x", None),
        ("Gen0001", f"{LONG}<7>", "7"),
        ("Plain", "<8>", "7"),
    ]
    assert [verdict.score for verdict in verify(package, *samples)] == [1.0, 1.0, 1.0, 0.0]


def test_no_penalties(package: Path) -> None:
    """A short output without a closed thought scores in full, as the reference calls it; the extraction is recorded."""
    assert verify(package, ("Plain", "<7>", "7"), ("Plain", "7", "7")) == [
        Verdict(score=1.0, extracted="7"),
        Verdict(score=0.0, extracted=None),
    ]


def test_classes_that_misbehave(package: Path, tmp_path: Path) -> None:
    """Whatever a class does, it gets its own kind of failure, and the samples after it are verified."""
    note = tmp_path / "note"
    truth: dict[str, Any] = {"Mutating": ["a", "b", "last"], "Forking": str(note)}
    expected: dict[str, float | str] = {
        "Mutating": 1.0, "Printing": 1.0, "Forking": 1.0, "NumberLike": 0.5, "Unextractable": 1.0,
        "Hanging": "verifier_timeout",
        "Exiting": "verifier_crash", "Quitting": "verifier_crash", "Allocating": "verifier_crash",
        "Recursing": "verifier_error", "Raising": "verifier_error",
        "Nan": "verifier_error", "Nothing": "verifier_error", "Text": "verifier_error",
    }  # fmt: skip

    refs = {name: found(package, name) for name in (*expected, "Plain")}

    async def work(pool: VerifierPool) -> dict[str, float | str | None]:
        seen: dict[str, float | str | None] = {}
        for name in expected:
            verdict = await pool.verify(refs[name], "<1>", truth.get(name))
            assert (verdict.score is None) == (verdict.failure is not None) == (verdict.error is not None)
            seen[name] = verdict.failure or verdict.score
            plain = await pool.verify(refs["Plain"], "<1>", "1")
            assert plain.score == 1.0, name
        return seen

    assert in_pool(work, timeout_s=1) == expected
    assert truth["Mutating"] == ["a", "b", "last"]
    anyio.run(until, lambda: not is_running(int(note.read_text())))


def test_errors_say_what_was_raised(package: Path) -> None:
    """An exception out of verify_score is named in the failure's text."""
    verdict = verify(package, ("Raising", "<1>", "truth"))[0]
    assert verdict == Verdict(
        score=None, extracted="1", failure="verifier_error", error="verify_score raised KeyError: 'truth'"
    )


def test_class_that_cannot_be_imported(tmp_path: Path) -> None:
    """A missing dependency is a verifier_error with the reason; the other classes of the package still work."""
    build_package(tmp_path, {"Broken": "pass"}, n_generated=1, module_head="import no_such_dependency\n")
    broken, again, fine = verify(tmp_path, ("Broken", "<1>", "1"), ("Broken", "<2>", "2"), ("Gen0000", "<1>", "1"))
    assert broken.failure == again.failure == "verifier_error"
    assert "No module named 'no_such_dependency'" in str(broken.error)
    assert fine.score == 1.0


def test_missing_requirement_does_not_import_the_whole(tmp_path: Path) -> None:
    """Where a requirement is missing, the whole package would lack it too, and is not imported for it."""
    build_package(
        tmp_path,
        {"Broken": "pass", "State": WORKER_STATE},
        n_generated=30,
        module_head="try: sys\nexcept NameError: import sys, no_such_dependency\n",
        heads={"State": f"import sys\n{TOP_LEVEL}"},
    )
    broken, state = verify(tmp_path, ("Broken", "<1>", "1"), ("State", "x", None))
    assert broken.error is not None
    assert broken.error.endswith("ModuleNotFoundError: No module named 'no_such_dependency'")
    assert state.extracted[1] == 0


STYLES = (TOP_LEVEL, *OTHER_STYLES)
NAMES = extracting(
    "import sys",
    "seen = [name for name in sys.modules if name.partition('.')[0] in ('internbootcamp', 'bootcamp')]",
    "tops = {id(sys.modules[name]) for name in seen if name.endswith('base')}",
    "import bootcamp.base, internbootcamp.bootcamp",
    "same = bootcamp is internbootcamp.bootcamp and bootcamp.base is internbootcamp.bootcamp.base",
    "return [same, len(tops), Basebootcamp is bootcamp.Basebootcamp, len(seen), sys.path[-1]]",
)


@pytest.mark.parametrize("style", range(len(STYLES)))
def test_every_way_of_importing_the_base_class(tmp_path: Path, style: int) -> None:
    """Whichever way a module names the base class, it is one class of one module, and its own modules suffice."""
    name = f"Style{style}"
    build_package(tmp_path, {name: NAMES}, n_generated=30, heads={name: STYLES[style]})
    first, second = verify(tmp_path, (name, "x", None), (name, "x", None))
    is_one, n_bases, is_base, n_modules, last_on_path = second.extracted
    assert (is_one, n_bases, is_base) == (True, 1, True)
    assert n_modules < 12
    assert last_on_path == str(tmp_path / "internbootcamp")
    assert first.score == second.score == 1.0


def test_every_style_in_the_whole_package(tmp_path: Path) -> None:
    """Where the whole package has to be imported, it is imported once, under both names."""
    styles = {f"Style{number}": NAMES for number in range(len(STYLES))}
    heads = {f"Style{number}": style for number, style in enumerate(STYLES)}
    made = "class Madebootcamp(Basebootcamp): pass"
    build_package(tmp_path, styles, heads=heads, after_imports=made)
    samples = [("Made", "<1>", "1"), *((name, "x", None) for name in styles)]
    assert [verdict.score for verdict in verify(tmp_path, *samples)] == [1.0] * len(samples)
    assert [verdict.extracted[:3] for verdict in verify(tmp_path, *samples)[1:]] == [[True, 1, True]] * len(styles)


def test_names_that_the_init_gives_by_the_top_level(tmp_path: Path) -> None:
    """An `__init__` that says `from bootcamp.x import X` names the same modules as one that says `from .x`."""
    build_package(tmp_path, {"Plain": "pass"})
    init = tmp_path / "internbootcamp" / "bootcamp" / "__init__.py"
    init.write_text(init.read_text().replace("from .plain", "from bootcamp.plain"))
    assert found(tmp_path, "Plain").target == "internbootcamp.bootcamp.plain.plain:Plainbootcamp"
    assert verify(tmp_path, ("Plain", "<1>", "1"))[0].score == 1.0


PROCESS_STATE = extracting(
    "import decimal, sys, threading, warnings",
    "context = decimal.getcontext()",
    "state = [sys.getrecursionlimit(), context.prec, str(decimal.Decimal(1) / 3), decimal.Context().prec,",
    "         sys.get_int_max_str_digits(), threading.stack_size(), len(warnings.filters)]",
    "sys.setrecursionlimit(5000)",
    "context.prec = 99",
    "warnings.simplefilter('error', UserWarning)",
    "return state",
)
CHANGES = (
    "import decimal, sys, threading, warnings\nsys.setrecursionlimit(20000)\ndecimal.getcontext().prec = 50\n"
    "decimal.DefaultContext.prec = 40\nsys.set_int_max_str_digits(0)\nthreading.stack_size(65536)\n"
    "warnings.simplefilter('error')\n"
)


def test_process_state_does_not_leak(tmp_path: Path) -> None:
    """What a class changes of the process, at import or while it verifies, holds for its own samples alone, each time.

    A module that two classes import and that changes something changes it for both, whichever comes first.
    """
    heads = {
        "Changing": TOP_LEVEL + CHANGES,
        "First": f"{TOP_LEVEL}import libs.precise\n",
        "Second": f"{TOP_LEVEL}import libs.precise\n",
    }
    build_package(tmp_path, dict.fromkeys(("Plain", *heads), PROCESS_STATE), heads=heads)
    (tmp_path / "internbootcamp" / "libs" / "precise.py").write_text("import decimal\ndecimal.getcontext().prec = 7\n")

    def states(*names: str) -> dict[str, Any]:
        verdicts = verify(tmp_path, *((name, "x", None) for name in names))
        seen: dict[str, list[Any]] = {}
        for name, verdict in zip(names, verdicts, strict=True):
            seen.setdefault(name, []).append(verdict.extracted)
        assert all(each == same[0] for same in seen.values() for each in same)
        return {name: same[0] for name, same in seen.items()}

    alone = {name: states(name)[name] for name in ("Plain", *heads)}
    assert states("Changing", "Plain", "First", "Second", "Plain", "Changing", "First") == alone
    assert states("Second", "First", "Plain", "Changing", "Plain") == alone
    assert [alone[name][1] for name in ("Plain", *heads)] == [28, 50, 7, 7]
    assert alone["Changing"][:2] + alone["Changing"][3:6] == [20000, 50, 40, 0, 65536]


def test_whole_package_keeps_its_state_apart(tmp_path: Path) -> None:
    """What the import of the whole package changes holds for its classes, not for those that were loaded alone."""
    made = f"{CHANGES}\nclass Madebootcamp(Basebootcamp):\n"
    made += "".join(f"    {line}\n" for line in PROCESS_STATE.splitlines())
    build_package(tmp_path, {"Plain": PROCESS_STATE, "Later": PROCESS_STATE}, after_imports=made)
    plain, whole, again, later = (
        verdict.extracted
        for verdict in verify(tmp_path, *((n, "x", None) for n in ("Plain", "Made", "Plain", "Later")))
    )
    assert plain == again
    assert plain[1] == 28
    assert whole == later
    assert whole[1] == 50


DRAWING = extracting("import random", "return [random.random(), AT_IMPORT, random.getrandbits(200)]")


def test_random_numbers_are_those_of_the_sample(tmp_path: Path) -> None:
    """What a verifier draws is decided by its data source and the output: the same again, in whichever process."""
    head = "import random\nAT_IMPORT = random.random()\n"
    build_package(tmp_path, {"Drawing": DRAWING, "Other": DRAWING}, module_head=head)
    samples = [("Drawing", "x", None), ("Drawing", "\ud800y", None), ("Other", "x", None)]
    once = [verdict.extracted for verdict in verify(tmp_path, *samples, *samples)]
    again = [verdict.extracted for verdict in verify(tmp_path, *reversed(samples))]
    assert once[:3] == once[3:] == again[::-1]
    assert len({str(drawn[0]) for drawn in once}) == 3


LIMITS = {
    "signal.alarm(30)": 30.0,
    "signal.setitimer(signal.ITIMER_REAL, 2.5)": 2.5,
    "subprocess.run(['x'], timeout=20)": 20.0,
    "TIME_LIMIT = 7": 7.0,
    "timeout_s: float = 7.5": 7.5,
    "def verify(text, *, timeout=30, retries=400): ...": 30.0,
    "def verify(text, time_limit=12.5, /): ...": 12.5,
    "@timeout(15)\ndef verify(text): ...": 15.0,
    "timeout = 5\nsignal.alarm(9)": 9.0,
    "timeout = 86400": None,
    "timeout = None": None,
    "timeout = True": None,
    "timeout_ms = 30": None,
    "signal.alarm(0)": None,
    "alarm = 30": None,
    "limit = 30": None,
}


@pytest.mark.parametrize(("text", "limit_s"), LIMITS.items(), ids=range(len(LIMITS)))
def test_own_time_limits_are_read(tmp_path: Path, text: str, limit_s: float | None) -> None:
    """A number of seconds that a module gives as its time limit is its own limit, the longest of several."""
    path = tmp_path / "module.py"
    path.write_text(f"import signal\nif False:\n{textwrap.indent(text, '    ')}\nclass Bootcamp: ...\n")
    spec = importlib.util.spec_from_file_location(f"limited_{tmp_path.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        assert own_time_limit(module.Bootcamp) == limit_s


def test_a_class_gets_its_own_time_limit_and_a_second(tmp_path: Path) -> None:
    """A class that allows itself more time than `verify_timeout` gets it, then a second, and no more."""
    slow = "import time, signal\ntime.sleep(float(ground_truth))\nreturn 1.0".splitlines()
    classes = {"Patient": f"timeout = 0.6\n{scoring(*slow)}", "Hasty": f"timeout = 0.1\n{scoring(*slow)}"}
    build_package(tmp_path, classes)
    samples = [("Patient", "x", "0.5"), ("Patient", "x", "1000"), ("Hasty", "x", "1000")]
    in_time, hanging, hasty = verify(tmp_path, *samples, timeout_s=0.3)
    assert in_time.score == 1.0
    assert hanging.error == "no verdict within 1.6 s"
    assert hasty.error == "no verdict within 0.3 s"


def test_class_that_only_running_the_init_gives(tmp_path: Path) -> None:
    """A class that the `__init__` makes itself is found in its text and loaded by the full import."""
    made = "class Madebootcamp(Basebootcamp): pass"
    build_package(tmp_path, {}, n_generated=1, after_imports=made)
    assert found(tmp_path, "Made").target == "Madebootcamp"
    assert verify(tmp_path, ("Made", "<1>", "1"))[0].score == 1.0


def test_star_import_of_the_whole_falls_back(tmp_path: Path) -> None:
    """A module that star-imports the package gets the real one, with all its names."""
    build_package(
        tmp_path, {"Star": scoring("return float(Gen0001bootcamp.number)")}, n_generated=2,
        module_head="from internbootcamp.bootcamp import *\n",
    )  # fmt: skip
    assert verify(tmp_path, ("Star", "x", None))[0].score == 1.0


def test_installed_package_and_the_given_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A given path goes before an installed package; without one the installed package serves."""
    build_package(tmp_path / "installed", {"Which": extracting("return 'installed'")})
    build_package(tmp_path / "given", {"Which": extracting("return 'given'")})
    monkeypatch.syspath_prepend(tmp_path / "installed")
    assert verify(tmp_path / "given", ("Which", "x", None))[0].extracted == "given"
    ref = Resolver("upstream", None).resolve("Which")
    assert ref is not None
    assert verify_all([(ref, "x", None)])[0].extracted == "installed"


def test_the_tool_itself_imports_nothing_of_it(package: Path) -> None:
    """Resolving and verifying leave the package out of this process, and write nothing but caches beside it."""
    verify(package, ("Plain", "<1>", "1"))
    assert not [name for name in sys.modules if name.startswith("internbootcamp")]
    assert [entry.name for entry in package.iterdir()] == ["internbootcamp"]


def test_a_row_that_a_built_in_cannot_verify_goes_to_the_package(tmp_path: Path) -> None:
    """Arc has no answer for an unknown task: unscored with the reason, unless the package is there to verify it."""
    build_package(tmp_path, {"Arc": scoring("return 0.5")})
    unknown = {"task_key": "00000000", "input_grid": [[9]]}

    refs = [Resolver("auto", path).resolve("Arc") for path in (None, tmp_path)]

    async def work(pool: VerifierPool) -> dict[str, float | str | None]:
        found: dict[str, float | str | None] = {}
        for ref in refs:
            assert ref is not None
            verdict = await pool.verify(ref, "[[1]]", unknown)
            found["with" if ref.fallback else "without"] = verdict.failure or verdict.score
        return found

    assert in_pool(work) == {"without": "unscored", "with": 0.5}
