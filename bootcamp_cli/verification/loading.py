"""Can the bootcamps of a run be loaded? Found out in workers before anything was paid for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread

from bootcamp_cli.events import Emit
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.types import BootcampRef
from bootcamp_cli.verification.executor import verification_executor


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """What came of loading bootcamps, by data source: why some cannot be, and the families that others name."""

    reasons: Mapping[str, str] = field(default_factory=dict)
    families: Mapping[str, str] = field(default_factory=dict)


async def load_ahead(refs: Collection[BootcampRef], settings: Settings, emit: Emit | None = None) -> Loading:
    """Load bootcamps, and tell why some cannot be, in the order of `refs`; without any, see that a cluster is there.

    They are loaded in workers like those of the run, which end with this: what a thousand bootcamps take of memory is
    free again when the run begins.
    """
    reasons: dict[BootcampRef, str] = {}

    nearest = await anyio.to_thread.run_sync(_nearest_directory, settings.output_dir)
    async with await verification_executor(settings, nearest, emit) as pool:

        async def load(ref: BootcampRef) -> None:
            failure = await pool.load(ref)
            if failure is not None and failure.failure == "verifier_crash":  # perhaps those before it left no room
                failure = await pool.load(ref)
            if failure is not None:
                reasons[ref] = failure.error or "no reason was given"

        async with anyio.create_task_group() as tasks:
            for ref in refs:
                tasks.start_soon(load, ref)
    return Loading(
        reasons={ref.data_source: reasons[ref] for ref in refs if ref in reasons},
        families=dict(sorted(pool.families.items())),
    )


def _nearest_directory(path: Path) -> Path:
    """The directory that `path` is, or the one on the way to it in which it will be made."""
    return next((place for place in (path, *path.absolute().parents) if place.is_dir()), path)
