"""What every export is made of: a run directory, read as far as a format needs it."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from bootcamp_cli.settings.stored import masked_eval_args
from bootcamp_cli.text import encodable
from bootcamp_cli.types import decode

if TYPE_CHECKING:
    from bootcamp_cli.analysis.contents import RunContents
    from bootcamp_cli.store.run_dir import RunDir

Row = dict[str, Any]
"""A sample: the values of the columns of frames by name, None for a missing one."""

_OFTEN_REFUSED = re.compile(r"NaN|Infinity|\\u[dD]")
_STAMP = re.compile(r"_(\d{8}_\d{6})(?:_\d+)?$")


class Source:
    """A run directory that is exported; `read` gives its summary, where a format has one.

    `n_samples` counts what was exported, `failures` included: samples without an answer.
    """

    def __init__(self, run_dir: "RunDir", read: "Callable[[], RunContents]") -> None:
        self.run_dir = run_dir
        self.n_samples = 0
        self._read = read

    @cached_property
    def contents(self) -> "RunContents":
        """The summary and the parameters."""
        return self._read()

    @property
    def name(self) -> str:
        """The name of the run directory."""
        return self.run_dir.path.resolve().name

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters that are set, with secrets masked."""
        masked = masked_eval_args(self.contents.eval_args)
        return {name: value for name, value in masked.items() if value not in (None, [], {})}

    @cached_property
    def started(self) -> datetime:
        """When the run was started: by the manifest, else by the directory's name, else when details last changed."""
        manifest = self.contents.manifest
        if manifest is not None and (started := _time(manifest.started)):
            return started
        if stamp := _STAMP.search(self.name):
            try:
                return datetime.strptime(stamp[1], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
            except ValueError:
                pass
        changed = [path.stat().st_mtime for path in self.run_dir.detail_files()]
        return datetime.fromtimestamp(int(max(changed, default=0)), UTC)

    @property
    def ended(self) -> datetime | None:
        """When the run was ended, where that is known."""
        manifest = self.contents.manifest
        return None if manifest is None else _time(manifest.ended or "")

    @property
    def complete(self) -> bool:
        """Whether the run came to its end; True where nothing tells."""
        manifest = self.contents.manifest
        return manifest is None or manifest.complete

    def token(self, *parts: object) -> str:
        """An identifier that is the same at every export of this run, and of no other run or part."""
        digest = self._identity.copy()
        digest.update(encodable("".join(f"\0{part}" for part in parts)).encode())
        return digest.hexdigest()[:22]

    @cached_property
    def _identity(self) -> "hashlib._Hash":
        return hashlib.sha256(encodable(f"{self.name}\0{self.started.isoformat()}").encode())

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, list[Any]]]:
        """The samples as `frames.sample_batches` gives them, counted."""
        from bootcamp_cli.analysis.frames import sample_batches  # noqa: PLC0415 - pandas, which --help does not need

        for batch in sample_batches(self.run_dir, columns):
            self.n_samples += len(next(iter(batch.values())))
            yield batch

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """The same, sample by sample."""
        for batch in self.batches(columns):
            names = tuple(batch)
            for values in zip(*batch.values(), strict=True):
                yield dict(zip(names, values, strict=True))


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def stamp(time: datetime) -> str:
    """A time as it stands in file names: `2026-01-01T12-00-00.000000`, in UTC."""
    return time.strftime("%Y-%m-%dT%H-%M-%S.%f")


def plain_json(text: str | None) -> msgspec.Raw | None:
    """A value that is JSON text as a part of JSON that every reader takes: NaN and infinities become null.

    Lone surrogates become escapes that can be seen.
    """
    if text is None:
        return None
    return msgspec.Raw(encoded(decode(text.encode())) if _OFTEN_REFUSED.search(text) else text.encode())


def encoded(value: Any) -> bytes:
    """JSON in UTF-8; lone surrogates in texts become escapes that can be seen."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_encodable(value))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, Mapping):
        return {encodable(str(key)): _encodable(child) for key, child in value.items()}
    return [_encodable(child) for child in value] if isinstance(value, list | tuple) else value


_encode = msgspec.json.Encoder().encode
