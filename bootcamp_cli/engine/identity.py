"""What makes two runs the same: what decided their answers, and the verifiers that scored them.

A run is continued only with the same of both. No limit and no path is part of it: a moved test dir or package, another
server, other timeouts and another number of repeats change neither answers nor verdicts.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from bootcamp_cli.errors import RunDirectoryError
from bootcamp_cli.settings.convert import stored_value
from bootcamp_cli.settings.model import identity_keys, parameters_by_name
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.text import MAX_VALUE_CHARS, shortened
from bootcamp_cli.types import Manifest, VerifierVersion

VERIFIERS = "verifiers"
"""The key of the identity that holds the verifier of each data source; every other decides answers."""

Verifiers = Mapping[str, VerifierVersion | None]
"""The verifier of each data source, None where there is none."""


def identity_of(manifest: Manifest) -> dict[str, Any]:
    """What a run was made of, whichever version wrote its manifest.

    A key that the manifest lacks is of a parameter that the version did not know: the run then behaved as its default
    does, which is why new parameters have defaults that change nothing.
    """
    chat = manifest.identity.get("api_mode") == "chat_completion"
    behaviour: dict[str, Any] = {}
    for key in identity_keys():
        if (parameter := parameters_by_name().get(key)) is not None:
            behaviour[key] = parameter.param.settled or stored_value(parameter, parameter.default)
    behaviour |= {
        "template_text": manifest.template.text if manifest.template.used and not chat else None,
        "sys_prompt": manifest.sys_prompt,
        "stop": [] if chat else list(manifest.template.stop),
        "files": {file.name: file.digest for file in manifest.files},
    }
    return {key: value for key, value in {**behaviour, **manifest.identity}.items() if key != VERIFIERS}


def answer_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The keys by which the answers of two identities may differ; a missing key counts as null."""
    keys = dict.fromkeys((*after, *before))
    return [key for key in keys if key != VERIFIERS and before.get(key) != after.get(key)]


def verifiers_of(manifest: Manifest, run_dir: RunDir) -> Verifiers:
    """The verifiers that scored a run; of an older version's, only their origins are known.

    Raises:
        RunDirectoryError: the manifest does not hold what was written.
    """
    written = manifest.identity.get(VERIFIERS)
    if written is None:
        written = {name: origin and {"origin": origin} for name, origin in (manifest.bootcamps or {}).items()}
    try:
        return msgspec.convert(written, dict[str, VerifierVersion | None])
    except (ValueError, RecursionError) as error:
        raise RunDirectoryError(
            f"{run_dir.manifest}: the verifiers are not what was written", hint="restore it from a copy"
        ) from error


def as_written(verifiers: Verifiers) -> dict[str, Any]:
    """Verifiers as JSON."""
    return {name: msgspec.to_builtins(version) for name, version in verifiers.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierChange:
    """A data source that would be scored by another verifier than before."""

    data_source: str
    before: VerifierVersion
    after: VerifierVersion

    def __str__(self) -> str:
        if self.before.origin != self.after.origin:
            return f"{self.data_source} ({self.before.origin}, here {self.after.origin})"
        return f"{self.data_source} (other code)"


def verifier_changes(before: Verifiers, after: Verifiers) -> list[VerifierChange]:
    """The data sources that the two verify differently; without a verifier on one side no verdicts can be mixed."""
    return [
        VerifierChange(data_source=name, before=old, after=new)
        for name, new in after.items()
        if new is not None and (old := before.get(name)) is not None and old.differs_from(new)
    ]


def unknown_versions(before: Verifiers, after: Verifiers) -> list[str]:
    """The data sources of which a run does not tell the version of the verifier, although there is one."""
    return [
        name
        for name, new in after.items()
        if new is not None and new.digest is not None and (old := before.get(name)) is not None and old.digest is None
    ]


def merged(before: Verifiers, after: Verifiers) -> Verifiers:
    """What scored, or will score, a run that is continued: who scored before where there is no verifier now.

    So, too, for each digest: one that is not known now is still that of scores given before.
    """
    return {**before, **{name: _merged(before.get(name), new) for name, new in after.items()}}


def _merged(before: VerifierVersion | None, after: VerifierVersion | None) -> VerifierVersion | None:
    if before is None or after is None:
        return after or before
    return VerifierVersion(
        origin=after.origin, digest=after.digest or before.digest, fallback=after.fallback or before.fallback
    )


def shown(value: Any) -> str:
    """A value of an identity, short enough for a message."""
    return "none" if value is None else shortened(json.dumps(value, ensure_ascii=False), MAX_VALUE_CHARS)


def described(keys: Iterable[str], before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The differences of two identities in words: `temperature (0.6, here 0.0), files`."""
    parts = []
    for key in keys:
        if key == "files":
            parts.append(f"test files ({_files(before.get(key), after.get(key))})")
        elif key == "template_text":
            parts.append("template")
        else:
            parts.append(f"{key} ({shown(before.get(key))}, here {shown(after.get(key))})")
    return ", ".join(parts)


def _files(before: Any, after: Any) -> str:
    """How two sets of test files differ."""
    old, new = (value if isinstance(value, dict) else {} for value in (before, after))
    n_changed = sum(old[name] != new[name] for name in old.keys() & new.keys())
    counts = ((n_changed, "changed"), (len(old.keys() - new.keys()), "not here"), (len(new.keys() - old.keys()), "new"))
    return ", ".join(f"{count} {what}" for count, what in counts if count)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDifference:
    """Something in which a run differs from another: what it is, and its value in either, as text."""

    what: str
    before: str
    after: str


def run_differences(before: RunDir, after: RunDir) -> tuple[RunDifference, ...]:
    """In what two runs differ besides their answers: settings, verifiers, served model, server, tool.

    Of a directory that this tool did not make only the parameters in its eval_args.json are known.

    Raises:
        RunDirectoryError: a manifest cannot be read.
    """
    old, new = before.read_manifest(), after.read_manifest()
    if old is None or new is None:
        return tuple(_of_parameters(before.read_eval_args() or {}, after.read_eval_args() or {}))
    was, now = identity_of(old), identity_of(new)
    settings = (_setting(key, was, now) for key in answer_differences(was, now))
    of_old, of_new = verifiers_of(old, before), verifiers_of(new, after)
    verifiers = (
        RunDifference(what=f"verifier of {name}", before=_version(of_old.get(name)), after=_version(of_new.get(name)))
        for name in sorted({*of_old, *of_new} if was["files"] == now["files"] else {*of_old} & {*of_new})
        if _version(of_old.get(name)) != _version(of_new.get(name))
    )
    facts = ((what, _fact(old), _fact(new)) for what, _fact in _FACTS.items())
    others = (
        RunDifference(what=what, before=shown(one), after=shown(other)) for what, one, other in facts if one != other
    )
    return (*settings, *verifiers, *others)


def _of_parameters(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[RunDifference]:
    """The parameters that decide answers and have different values in two eval_args.json."""
    keys = [key for key in (*identity_keys(), "template") if key in before and key in after]
    return [_setting(key, before, after) for key in keys if before[key] != after[key]]


def _setting(key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> RunDifference:
    if key == "files":
        return RunDifference(what="test files", before="", after=_files(before.get(key), after.get(key)))
    return RunDifference(what=key, before=shown(before.get(key)), after=shown(after.get(key)))


def _version(version: VerifierVersion | None) -> str:
    """A verifier in a few words: its origin and the beginning of its digests."""
    if version is None:
        return "none"
    return " ".join([version.origin, *(digest[:12] for digest in (version.digest, version.fallback) if digest)])


_FACTS: Mapping[str, Callable[[Manifest], Any]] = {
    "served model": lambda manifest: {key: (manifest.model or {}).get(key) for key in ("id", "root")},
    "server version": lambda manifest: manifest.servers[-1].version if manifest.servers else None,
    "server's chat template": lambda manifest: manifest.servers[-1].template_digest if manifest.servers else None,
    "fingerprints of the server": lambda manifest: sorted(manifest.system_fingerprints),
    "repeats": lambda manifest: manifest.repeats,
    "tool version": lambda manifest: manifest.tool.version if manifest.tool else None,
}
"""What a manifest tells of a run besides its identity."""
