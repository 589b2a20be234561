"""The settings of a command from all their sources: flags, environment, files, a run directory, defaults."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bootcamp_cli.cli.options import Call
from bootcamp_cli.settings.convert import secrets_of
from bootcamp_cli.settings.model import EvalSettings
from bootcamp_cli.settings.sources import Resolved, load_settings, user_config_file
from bootcamp_cli.settings.stored import settings_from_eval_args
from bootcamp_cli.store.run_dir import RunDir


def read_settings(call: Call) -> Resolved:
    """Merge and check the settings; tell what is odd about their sources.

    Raises:
        SettingsError: a value, a key, a file or a profile is wrong; the message names the place.
    """
    return _learned(
        load_settings(
            flags=call.flags,
            env=os.environ,
            cwd=Path.cwd(),
            config=_path(call.config),
            profile=call.profile,
            user_file=user_config_file(),
        ),
        call,
    )


def resumed_settings(call: Call, args: Mapping[str, Any], run_dir: RunDir) -> EvalSettings:
    """The settings that a run was started with, `args` of its eval_args.json, and what flags may change in them.

    Raises:
        ResumeRefusedError: a flag would change the answers.
        SettingsError: a value is wrong, or only its mask is stored and nothing gives it.
    """
    return _learned(
        settings_from_eval_args(
            args,
            place=str(run_dir.eval_args),
            flags=call.flags,
            env=os.environ,
            cwd=Path.cwd(),
            config=_path(call.config),
            profile=call.profile,
            user_file=user_config_file(),
        ),
        call,
    ).settings


def _learned(resolved: Resolved, call: Call) -> Resolved:
    """Let nothing that is printed from here on show the secrets, and print the warnings."""
    call.console.masked.extend(secrets_of(resolved.settings))
    for warning in resolved.warnings:
        call.console.warn(warning)
    return resolved


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
