"""What a run will do, decided before its first request: settings, template, test set and verifiers together."""

import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bootcamp_cli.bootcamps.digest import verifier_version
from bootcamp_cli.bootcamps.registry import Resolver
from bootcamp_cli.dataset.draw import Draw
from bootcamp_cli.dataset.files import Input
from bootcamp_cli.dataset.scan import TestFile, TestSet, scan_test_dir
from bootcamp_cli.engine.identity import VERIFIERS, as_written
from bootcamp_cli.errors import SettingsError, UnknownBootcampError
from bootcamp_cli.server.request import GenerationConfig
from bootcamp_cli.settings.convert import convert, test_data
from bootcamp_cli.settings.model import (
    AUTO,
    MAX_TOKENS,
    BosChoice,
    Settings,
    body_values,
    identity_keys,
    parameters_by_name,
    sent_keys,
)
from bootcamp_cli.settings.stored import to_eval_args
from bootcamp_cli.templates.template import Template
from bootcamp_cli.text import DataUrl, counted, listed
from bootcamp_cli.types import BootcampRef, ManifestFile, RedoOf, VerifierVersion, bootcamp_name
from bootcamp_cli.verification.executor import check_executor


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A checked evaluation.

    `template` is the chosen one; in chat mode its text is not used, and `generation.sys_prompt` holds the system prompt
    that is sent. `refs` and `verifiers` have an entry for every data source of the test set: None where there is no
    bootcamp. `unloadable` has the reasons for those whose bootcamp was found not to load, `families` the families that
    third-party bootcamps name. With `redo_of` only those samples are taken, which another run has.
    """

    settings: Settings
    template: Template
    generation: GenerationConfig
    test_set: TestSet
    refs: Mapping[str, BootcampRef | None]
    verifiers: Mapping[str, VerifierVersion | None]
    unloadable: Mapping[str, str] = field(default_factory=dict)
    families: Mapping[str, str] = field(default_factory=dict)
    redo_of: RedoOf | None = None

    @property
    def n_repeats(self) -> int:
        """How often each question is asked: once, where the settings do not say."""
        return self.settings.repeats or 1

    @property
    def n_samples(self) -> int:
        """The number of samples: every repeat of every question that is taken, or those that are redone."""
        return sum(map(self.n_samples_of, self.test_set.files))

    def n_samples_of(self, file: TestFile) -> int:
        """The number of samples of a test file."""
        if self.redo_of is not None:
            return len(self.redo_of.samples.get(file.name, ()))
        return file.n_taken * self.n_repeats

    @property
    def prompt_template(self) -> Template | None:
        """The template that prompts are rendered with; None in chat mode."""
        if self.settings.api_mode != "completion":
            return None
        return self.template.without_bos() if self.settings.bos == "drop" else self.template

    @property
    def open_bos(self) -> str:
        """The begin-of-sentence token that the server may add, too; empty where nothing is to be asked."""
        return self.template.bos if self.settings.bos == AUTO and self.settings.api_mode == "completion" else ""

    def with_bos(self, bos: BosChoice) -> "Plan":
        """The same plan with the template's begin-of-sentence token kept or dropped, where that is open."""
        return self if self.settings.bos != AUTO else replace(self, settings=replace(self.settings, bos=bos))

    def beside(self, identity: Mapping[str, Any]) -> "Plan":
        """The plan with what it leaves open settled as in a run of this identity."""
        return self.with_bos("drop" if identity.get("bos") == "drop" else "keep")

    def with_model(self, model_name: str) -> "Plan":
        """The same plan for the one model that the server lists.

        Raises:
            SettingsError: the name could not be given by a flag, nor read back by `resume`.
        """
        convert(parameters_by_name()["model_name"], model_name, "the only model that the server lists")
        return replace(
            self,
            settings=replace(self.settings, model_name=model_name),
            generation=self.generation.sending(model=model_name),
        )

    def with_context(self, context_length: int | None) -> "Plan":
        """The same plan for a model of this context length in tokens, where that decides what is sent.

        Raises:
            SettingsError: max_tokens is auto, and the length is not known.
        """
        if self.settings.max_tokens != AUTO:
            return self
        if context_length is None:
            raise SettingsError(
                "max_tokens: auto needs the context length of the model, which the server's model list does not tell",
                hint="give --max-tokens N",
            )
        return replace(self, generation=replace(self.generation, context_length=context_length))

    def with_repeats(self, n_repeats: int) -> "Plan":
        """The same plan with each question asked this often."""
        return replace(self, settings=replace(self.settings, repeats=n_repeats))

    def third_party(self, files: Container[str] | None = None) -> list[BootcampRef]:
        """The bootcamps that are not built in, of these test files or of all."""
        names = (name for f in self.test_set.files if files is None or f.name in files for name, _ in f.data_sources)
        refs = (self.refs[name] for name in dict.fromkeys(names))
        return [ref for ref in refs if ref is not None and ref.origin != "builtin"]

    def with_loading(self, reasons: Mapping[str, str], families: Mapping[str, str]) -> "Plan":
        """The same plan, with the reasons why bootcamps cannot be loaded: their outputs are kept without a score.

        `families` are those that third-party bootcamps name.

        Raises:
            UnknownBootcampError: there are some, and `allow_unscored` is off.
        """
        if reasons and not self.settings.allow_unscored:
            raise _unloadable(reasons)
        return replace(self, unloadable=reasons, families=families)

    def as_started(self, files: Sequence[ManifestFile]) -> "Plan":
        """The same plan with the questions drawn from what these files of an earlier run held at its start.

        Raises:
            DatasetError, UnknownBootcampError: as `make_plan` does.
        """
        settings, prompt = self.settings, self.generation.sys_prompt
        inputs = self.test_set.inputs
        plan = make_plan(settings, self.template, sys_prompt=prompt, started=files, inputs=inputs)
        return replace(plan, redo_of=self.redo_of)

    def identity(self) -> dict[str, Any]:
        """What decides the answers and the scores: see `engine.identity`."""
        args = to_eval_args(self.settings)
        completes = self.settings.api_mode == "completion"
        effects = {
            "template_text": self.template.text if completes else None,
            "bos": "drop" if completes and self.settings.bos == "drop" else "keep",
            "sys_prompt": self.generation.sys_prompt,
            "stop": list(self.generation.sent.get("stop", ())),
            "files": {file.name: file.digest for file in self.test_set.files},
            VERIFIERS: as_written(self.verifiers),
        }
        identity = {key: effects[key] if key in effects else args[key] for key in identity_keys()}
        return identity if self.redo_of is None else identity | {"redo_of": self.redo_of.run}


def make_plan(
    settings: Settings,
    template: Template,
    *,
    sys_prompt: str | None,
    started: Sequence[ManifestFile] = (),
    inputs: Sequence[Input] | None = None,
    check: Callable[[], object] = lambda: None,
) -> Plan:
    """Check everything that can be checked without the server.

    `sys_prompt` is the system prompt of chat mode, whether it came from the settings or from the template. A shard that
    is auto has been settled before (`settings.array_job`). `started` are the files of a run that is continued: where
    questions are drawn, it is from what these held at its start. `inputs` are the places of the test data, what is
    remote fetched; None where the settings name paths alone. `check` is called while these are read; what it raises
    ends that.

    Raises:
        SettingsError: a required parameter is missing, or two have the same key in the request body.
        DatasetError: the test dir cannot be evaluated as it is.
        UnknownBootcampError: rows name data sources without a bootcamp, and `allow_unscored` is off.
        UsageError: the executor needs what is not installed.
    """
    assert settings.shard != AUTO, "a shard is settled before anything is planned"  # noqa: S101 - what callers promise
    check_executor(settings)
    test_set = scan_test_dir(
        *(local_inputs(settings) if inputs is None else inputs),
        include=settings.include,
        exclude=settings.exclude,
        limit=settings.limit,
        skip_invalid=settings.skip_invalid,
        draw=None if settings.sample is None else Draw(n=settings.sample, seed=settings.sample_seed),
        shard=settings.shard,
        sizes=None if settings.sample is None else {file.name: file.size_bytes for file in started},
        check=check,
    )
    refs = resolve_all(settings, test_set)
    unknown = [name for name, ref in refs.items() if ref is None]
    if unknown and not settings.allow_unscored:
        raise _unknown(unknown, test_set)
    return Plan(
        settings=settings,
        template=template,
        generation=_generation(settings, template, sys_prompt),
        test_set=test_set,
        refs=refs,
        verifiers={name: verifier_version(ref) if ref else None for name, ref in refs.items()},
    )


def local_inputs(settings: Settings) -> tuple[Path, ...]:
    """The paths of the test data.

    Raises:
        SettingsError: there are none, or one is a URL, which has to be fetched first.
    """
    places = given_places(settings)
    paths = tuple(place for place in places if isinstance(place, Path))
    if len(paths) != len(places):
        raise SettingsError("test_dir: a URL, where only paths can be read")
    return paths


def given_places(settings: Settings) -> tuple[Path | DataUrl, ...]:
    """Where the test data is.

    Raises:
        SettingsError: nowhere.
    """
    if not (places := test_data(settings)):
        raise SettingsError("no test dir", hint="give --test-dir DIR (or test_dir in bootcamp.toml)")
    return places


def resolve_all(settings: Settings, test_set: TestSet) -> dict[str, BootcampRef | None]:
    """Where the verifier of each data source comes from, in order of first appearance."""
    resolver = Resolver(settings.bootcamps, settings.bootcamps_path)
    names = dict.fromkeys(name for file in test_set.files for name, _ in file.data_sources)
    return {name: resolver.resolve(name) for name in names}


def _generation(settings: Settings, template: Template, sys_prompt: str | None) -> GenerationConfig:
    """What is sent: in completion mode the template's stop words come before the user's."""
    if settings.max_tokens_field != MAX_TOKENS and settings.max_tokens_field in sent_keys():
        raise SettingsError(f"max_tokens_field: {settings.max_tokens_field} is the key of another parameter")
    chat = settings.api_mode == "chat_completion"
    stop = settings.stop if chat else (*template.stop, *settings.stop)
    return GenerationConfig(
        api_mode=settings.api_mode,
        sent=body_values(replace(settings, stop=tuple(dict.fromkeys(stop)))),
        extra_body=settings.extra_body,
        sys_prompt=sys_prompt if chat else None,
        max_tokens_field=settings.max_tokens_field,
        omit=settings.omit,
    )


def _unknown(names: list[str], test_set: TestSet) -> UnknownBootcampError:
    places = {
        name: [(f.name, n) for f in test_set.files for source, n in f.data_sources if source == name] for name in names
    }
    return UnknownBootcampError(
        f"{counted(len(names), 'data source')} without a bootcamp; nothing was started",
        problems=tuple(
            f"{name}: {', '.join(f'{file} (' + counted(n, 'row') + ')' for file, n in found[:5])}"
            + (f" and {counted(len(found) - 5, 'more file')}" if len(found) > 5 else "")
            for name, found in places.items()
        ),
        hint="install the internbootcamp package, give --bootcamps-path DIR, add them by an entry point of group "
        "bootcamp_cli.bootcamps, or keep their outputs for a later `bootcamp rescore` with --allow-unscored",
    )


_MISSING = re.compile(r"ModuleNotFoundError: No module named '([^'.]+)")
_MAX_NAMED = 20


def _unloadable(reasons: Mapping[str, str]) -> UnknownBootcampError:
    missing = dict.fromkeys(name for reason in reasons.values() for name in _MISSING.findall(reason))
    install = f"install {', '.join(missing)}" if missing else "install what they need"
    return UnknownBootcampError(
        f"{unloadable_count(reasons)} cannot be loaded; nothing was started",
        problems=unloadable_lines(reasons),
        hint=f"{install}, or keep their outputs for a later `bootcamp rescore` with --allow-unscored",
    )


def unloadable_count(reasons: Mapping[str, str]) -> str:
    """`the bootcamp of 1 data source`, `the bootcamps of 2 data sources`."""
    return f"the bootcamp{'' if len(reasons) == 1 else 's'} of {counted(len(reasons), 'data source')}"


def unloadable_lines(reasons: Mapping[str, str]) -> tuple[str, ...]:
    """One line for each reason why bootcamps cannot be loaded, with the data sources concerned."""
    concerned: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        _, of_import, cause = reason.partition(f":{bootcamp_name(name)}: ")
        concerned.setdefault(cause if of_import else reason, []).append(name)
    return tuple(f"{listed(names, _MAX_NAMED)}: {reason}" for reason, names in concerned.items())
