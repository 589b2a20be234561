"""Do the verifiers give the verdicts that are known to be right? Golden cases against the installed bootcamps."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from bootcamp_cli.bootcamps.registry import Resolver
from bootcamp_cli.dataset.rows import MAX_NESTING, InvalidRowError, is_deeper, parse_object, plain_values
from bootcamp_cli.errors import DatasetError
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.text import visible
from bootcamp_cli.types import BootcampRef, Verdict
from bootcamp_cli.verification.executor import VerificationExecutor, verification_executor


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenCase:
    """One output with its known verdict: a line of `<data_source>.jsonl`.

    `row` is the 0-based line of the test file `file` that holds the ground truth, `extracted` a JSON value.
    """

    line: int
    file: str
    row: int
    kind: str
    output: str
    score: float
    extracted: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A golden case and the other verdict that the bootcamp gave."""

    case: GoldenCase
    verdict: Verdict


@dataclass(slots=True, kw_only=True)
class Agreement:
    """One data source: its cases, and those that differ; `origin` is None where there is no bootcamp for it."""

    data_source: str
    origin: str | None
    n_cases: int
    differences: list[Difference] = field(default_factory=list)

    @property
    def n_agreeing(self) -> int:
        """Cases with equal score and equal extracted output; none where there is no bootcamp."""
        return self.n_cases - len(self.differences) if self.origin else 0


async def verify_golden(golden_dir: Path, eval_dir: Path, settings: Settings) -> list[Agreement]:
    """Verify every golden case, in name order of the data sources, exactly as an evaluation would.

    Raises:
        DatasetError: a golden file or test file is missing or not readable, or a line of it is not what it has to be;
            the message names file and line.
    """
    paths = await anyio.to_thread.run_sync(_golden_files, golden_dir)
    if not paths:
        raise DatasetError(
            f"{visible(str(golden_dir))} holds no golden files", hint="give a folder of DATA_SOURCE.jsonl files"
        )
    refs = await anyio.to_thread.run_sync(_resolved, paths, settings)
    async with await verification_executor(settings) as pool:
        return [await _agreement(path, eval_dir, ref, pool) for path, ref in zip(paths, refs, strict=True)]


def _resolved(paths: list[Path], settings: Settings) -> list[BootcampRef | None]:
    """Where the verifier of each golden file's data source comes from."""
    resolver = Resolver(settings.bootcamps, settings.bootcamps_path)
    return [resolver.resolve(path.stem) for path in paths]


def _golden_files(directory: Path) -> list[Path]:
    try:
        return sorted(directory.glob("*.jsonl"))
    except OSError as error:
        raise DatasetError(f"cannot read {visible(str(directory))}: {error.strerror or error}") from error


async def _agreement(path: Path, eval_dir: Path, ref: BootcampRef | None, pool: VerificationExecutor) -> Agreement:
    cases = await anyio.to_thread.run_sync(_read_cases, path)
    agreement = Agreement(data_source=path.stem, origin=ref.origin if ref else None, n_cases=len(cases))
    if ref is None:
        return agreement
    truths = await anyio.to_thread.run_sync(_read_truths, path, eval_dir, cases)
    verdicts: dict[int, Verdict] = {}

    async def verify(case: GoldenCase) -> None:
        verdicts[case.line] = await pool.verify(ref, case.output, truths[case.file, case.row])

    async with anyio.create_task_group() as tasks:
        for case in cases:
            tasks.start_soon(verify, case)
    agreement.differences += [
        Difference(case=case, verdict=verdicts[case.line]) for case in cases if not _equal(case, verdicts[case.line])
    ]
    return agreement


def _equal(case: GoldenCase, verdict: Verdict) -> bool:
    """Equal score and equal extracted output, as JSON: 1 is not 1.0 and not true."""
    return verdict.score == case.score and _canonical(as_recorded(verdict.extracted)) == _canonical(case.extracted)


def as_recorded(extracted: Any) -> Any:
    """An extracted value as golden cases have it, which are strict JSON: as text where NaN or an infinity is in it."""
    try:
        json.dumps(extracted, allow_nan=False)
    except ValueError:
        return str(extracted)
    return extracted


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _read_cases(path: Path) -> list[GoldenCase]:
    cases = []
    for number, case in _objects(path):
        if fault := _fault(case):
            raise DatasetError(f"{_place(path, number)}: {fault}")
        cases.append(
            GoldenCase(
                line=number,
                file=case["file"],
                row=case["row"],
                kind=case.get("kind", ""),
                output=case["output"],
                score=case["score"],
                extracted=case["extracted"],
            )
        )
    return cases


def _fault(case: dict[str, Any]) -> str | None:
    """What is wrong with a golden case; None where nothing is."""
    for key in ("file", "row", "output", "score", "extracted"):
        if key not in case:
            return f"the golden case has no key '{key}'"
    for key in ("file", "output", "kind"):
        if not isinstance(case.get(key, ""), str):
            return f"`{key}` must be a string"
    if Path(case["file"]).name != case["file"] or type(case["row"]) is not int or case["row"] < 0:
        return "file and row do not name a row of a test file"
    if type(case["score"]) not in (int, float):
        return "`score` must be a number"
    if is_deeper(case["extracted"], MAX_NESTING):
        return f"`extracted` is nested deeper than {MAX_NESTING} levels"
    return None


def _read_truths(path: Path, eval_dir: Path, cases: Sequence[GoldenCase]) -> dict[tuple[str, int], Any]:
    """The ground truths of the rows that the cases of the golden file `path` name."""
    truths: dict[tuple[str, int], Any] = {}
    for file in sorted({case.file for case in cases}):
        named = [case for case in cases if case.file == file]
        wanted = {case.row for case in named}
        try:
            truths |= {
                (file, n - 1): plain_values(row).get("ground_truth")
                for n, row in _objects(eval_dir / file, constants=True)
                if n - 1 in wanted
            }
        except DatasetError as error:
            raise DatasetError(f"{_place(path, named[0].line)}: {error.message}") from error
        if missing := [case for case in named if (file, case.row) not in truths]:
            has_no_row = f"{visible(str(eval_dir / file))} has no row {missing[0].row}"
            raise DatasetError(f"{_place(path, missing[0].line)}: {has_no_row}")
    return truths


def _objects(path: Path, *, constants: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a file with their 1-based lines."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield number, parse_object(line, constants=constants)
                except InvalidRowError as error:
                    raise DatasetError(f"{_place(path, number)}: {error}") from error
    except (OSError, ValueError) as error:  # a name that no file can have is a ValueError
        reason = error.strerror if isinstance(error, OSError) else None
        raise DatasetError(f"cannot read {visible(str(path))}: {reason or error}") from error


def _place(path: Path, line: int) -> str:
    return f"{visible(path.name)}:{line}"
