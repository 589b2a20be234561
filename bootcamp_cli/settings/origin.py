"""Where a value comes from, and the settings together with their origins."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bootcamp_cli.settings.convert import Base
from bootcamp_cli.settings.model import EvalSettings

OriginKind = Literal["flag", "environment", "file", "user file", "run", "default"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A place that gives a value; `text` names it: `--max-tokens`, `BOOTCAMP_URL`, `./bootcamp.toml: max_tokens`."""

    kind: OriginKind
    text: str


DEFAULT = Origin(kind="default", text="default")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawValue:
    """A value as its source has it, before conversion."""

    value: object = field(repr=False)
    origin: Origin
    base: Base


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Settings, the origin of each by parameter name, and what else the sources say.

    `templates` are the raw `[templates.NAME]` tables with their places, `warnings` what is odd about the sources.
    """

    settings: EvalSettings
    origins: Mapping[str, Origin]
    templates: Mapping[str, tuple[Mapping[str, Any], str]]
    warnings: tuple[str, ...] = ()

    def chosen(self, name: str) -> bool:
        """Whether anything but the default gives the parameter."""
        return self.origins[name].kind != "default"
