"""Batch files: what a run owes as requests for a batch service, and its results as answers of the run."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bootcamp_cli.engine.importing import Place
from bootcamp_cli.engine.plan import Plan
from bootcamp_cli.engine.session import Session
from bootcamp_cli.errors import DiskError, SettingsError, UsageError
from bootcamp_cli.server.batch import custom_id, file_tag, id_of_result, parse_custom_id, parse_result, request_line
from bootcamp_cli.store.atomic import replacing
from bootcamp_cli.text import mask_mapping, visible
from bootcamp_cli.types import Answer, Sample

MAX_REQUESTS = 50_000
MAX_BYTES = 200 * 1000 * 1000
"""How many requests and bytes OpenAI's Batch API takes in a file; others take as many or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """What fits in one batch file."""

    max_requests: int = MAX_REQUESTS
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        for name in ("max_requests", "max_bytes"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')}: must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchExport:
    """The files that were written, and how many requests they hold."""

    run_dir: Path
    files: tuple[Path, ...]
    n_requests: int
    n_bytes: int


class Batch:
    """The requests of a plan as lines of batch files, and the results of these: a `ResultForm`.

    Everything is as over HTTP, but that no reply is streamed.
    """

    def __init__(self, plan: Plan) -> None:
        self._template = plan.prompt_template
        self._generation = plan.generation.unstreamed()
        self._files = {file_tag(file.name): file.name for file in plan.test_set.files}

    def request(self, sample: Sample) -> bytes:
        """The line of a sample's request."""
        return request_line(sample, self._body(sample), self._generation.api_mode)

    def places(self, line: bytes) -> Iterator[Place]:
        """Of which sample a line of results is."""
        found = parse_custom_id(id_of_result(line))
        if found is not None and found.file_tag in self._files:
            yield Place(self._files[found.file_tag], found.row, found.repeat, stamp=int(found.digest, 16))

    def stamp(self, sample: Sample) -> int:
        """The digest of a sample's request."""
        found = parse_custom_id(custom_id(sample, self._body(sample)))
        assert found is not None  # noqa: S101 - what was just made
        return int(found.digest, 16)

    def answer(self, sample: Sample, line: bytes, part: int) -> Answer:  # noqa: ARG002 - a line has one
        """The answer in a line of results. Raises AttemptFailed where it has none."""
        answer = parse_result(line, self._generation.api_mode, now_s=time.time())
        room = self._room(sample)
        return answer if room is None else msgspec.structs.replace(answer, max_tokens=room)

    def _body(self, sample: Sample) -> bytes:
        messages = None if self._template else sample.messages
        return self._generation.body(
            self._prompt(sample), sample.repeat, max_tokens=self._room(sample), messages=messages
        )

    def _room(self, sample: Sample) -> int | None:
        return self._generation.room(self._prompt(sample), None if self._template else sample.messages)

    def _prompt(self, sample: Sample) -> str:
        return self._template.render(sample.prompt) if self._template else sample.prompt


def refuse_secrets(plan: Plan) -> None:
    """Refuse to write requests whose body holds a secret.

    Raises:
        SettingsError: extra_body does.
    """
    extra = dict(plan.generation.extra_body or {})
    if mask_mapping(extra) != extra:
        raise SettingsError(
            "extra_body: holds a secret, which would stand in the batch files",
            hint="leave it out, and give it to the batch service in its own way",
        )


def export_batch(session: Session, directory: Path, limits: BatchLimits) -> BatchExport:
    """Write a request for each sample that has no record; the files are numbered on from those that are there. Blocks.

    Raises:
        DiskError: they cannot be written; none of them is left then.
        UsageError: a single request is larger than a file may be.
    """
    lines = _lines(session, limits)
    paths: list[Path] = []
    n_requests = n_bytes = 0
    try:
        directory.mkdir(parents=True, exist_ok=True)
        number = last_number(directory)
        line = next(lines, None)
        while line is not None:
            paths.append(directory / f"batch-{number + len(paths) + 1:05}.jsonl")
            n_written, n_bytes_written, line = _fill(paths[-1], line, lines, limits)
            n_requests, n_bytes = n_requests + n_written, n_bytes + n_bytes_written
    except BaseException as error:
        for path in paths:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise DiskError(f"cannot write to {visible(str(directory))}: {error.strerror or error}") from error
        raise
    return BatchExport(run_dir=session.run_dir.path, files=tuple(paths), n_requests=n_requests, n_bytes=n_bytes)


def _lines(session: Session, limits: BatchLimits) -> Iterator[bytes]:
    """The requests for all samples that have no record."""
    batch = Batch(session.plan)
    for file in session.plan.test_set.files:
        for sample in session.owed(file):
            line = batch.request(sample)
            if len(line) > limits.max_bytes:
                raise UsageError(
                    f"--max-bytes: the request for row {sample.row} of {visible(sample.file)} has {len(line):,} bytes, "
                    f"more than {limits.max_bytes:,}",
                    hint="give a larger number",
                )
            yield line


def _fill(path: Path, first: bytes, lines: Iterator[bytes], limits: BatchLimits) -> tuple[int, int, bytes | None]:
    """Write one file; gives how many lines and bytes it has, and the line that did not fit any more."""
    n = n_bytes = 0
    line: bytes | None = first
    with replacing(path) as file:
        while line is not None and n < limits.max_requests and n_bytes + len(line) <= limits.max_bytes:
            file.write(line)
            n, n_bytes = n + 1, n_bytes + len(line)
            line = next(lines, None)
    return n, n_bytes, line


def last_number(directory: Path) -> int:
    """The highest number of a batch file in a directory, 0 where there is none."""
    numbers = [path.stem.removeprefix("batch-") for path in directory.glob("batch-*.jsonl")]
    return max((int(number) for number in numbers if number.isascii() and number.isdigit()), default=0)
