"""The shard of a process that is one of an array job: what Slurm and Kubernetes tell each of them about itself."""

from collections.abc import Mapping
from dataclasses import replace

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.settings.model import AUTO, Settings
from bootcamp_cli.types import MAX_SHARDS, Shard

_SLURM = "SLURM_ARRAY_TASK_ID"
_KUBERNETES = "JOB_COMPLETION_INDEX"
_COMPLETIONS = "JOB_COMPLETIONS"


def with_shard_of(env: Mapping[str, str], settings: Settings) -> Settings:
    """The settings with a shard that is `auto` settled as `array_shard` does; others as they are."""
    return settings if settings.shard != AUTO else replace(settings, shard=array_shard(env))


def array_shard(env: Mapping[str, str]) -> Shard:
    """The shard of a process in an array job of Slurm, or in an Indexed Job of Kubernetes.

    Only where the array has an index for every shard: with one missing its questions would never be asked, and nothing
    would tell. Kubernetes does not tell how many indices there are; the pod template has to.

    Raises:
        SettingsError: this is no array job, or its indices are not complete; the message says which.
    """
    match _SLURM in env, _KUBERNETES in env:
        case True, False:
            return _of_slurm(env)
        case False, True:
            return _of_kubernetes(env)
        case True, True:
            raise _refused(f"both {_SLURM} and {_KUBERNETES} are set")
        case _:
            raise _refused(f"this is no array job: neither {_SLURM} (Slurm) nor {_KUBERNETES} (Kubernetes) is set")


def _of_slurm(env: Mapping[str, str]) -> Shard:
    names = (_SLURM, *(f"SLURM_ARRAY_TASK_{name}" for name in ("MIN", "MAX", "COUNT")))
    index, first, last, count = (_number(env, name) for name in names)
    if last - first + 1 != count:
        raise _refused(f"the array has {count} indices from {first} to {last}, so that some are missing", _WHOLE_ARRAY)
    if first > 1:
        raise _refused(f"the array begins with {first}, so that indices before it are missing", _WHOLE_ARRAY)
    return _shard(index - first + 1, count)


def _of_kubernetes(env: Mapping[str, str]) -> Shard:
    index = _number(env, _KUBERNETES)
    if _COMPLETIONS not in env:
        raise _refused(
            f"Kubernetes tells the index ({_KUBERNETES}), but not how many there are",
            f"set the variable {_COMPLETIONS} in the pod template to the Job's completions",
        )
    return _shard(index + 1, _number(env, _COMPLETIONS))


_WHOLE_ARRAY = "submit it with --array=1-N"


def _number(env: Mapping[str, str], name: str) -> int:
    text = env.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise _refused(f"{name} is {text!r}, not a number" if text else f"{name} is not set")
    return int(text)


def _shard(number: int, count: int) -> Shard:
    if not 1 <= number <= count <= MAX_SHARDS:
        raise _refused(f"the array job makes this number {number} of {count}")
    return Shard(number, count)


def _refused(why: str, hint: str = "") -> SettingsError:
    return SettingsError(f"shard: auto is not possible: {why}", hint=hint or "give --shard I/N")
