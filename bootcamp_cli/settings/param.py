"""What is declared about a parameter beside its name, type and default."""

import types
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

Kind = Literal[
    "text",  # any non-empty line of text
    "url",  # http or https, with a host
    "secret",  # text that is never shown
    "prompt",  # text, or @FILE
    "path",
    "integer",
    "number",
    "duration",  # a number of seconds inside; `90s`, `10m`, `1h30m`, `250ms` or a bare number outside
    "switch",  # true or false
    "choice",  # one of the type's literals
    "words",  # texts, each taken as it is
    "globs",  # patterns, separated by commas in a variable
    "json",  # a JSON object
    "headers",  # a JSON object of header names and values
]
"""How the raw value of a flag, a variable or a TOML key becomes the value."""

Group = Literal["Server", "TLS", "Test data", "Generation", "Requests", "Verification", "Run"]

BareUnit = Literal["ms", "s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """The metadata of one parameter, inside `Annotated[type, Param(...)]`.

    Attributes:
        help: One line for `--help` and the README.
        group: The heading below which `--help` lists it.
        kind: How raw values are converted.
        answers: Whether another value gives other answers or scores: `resume` refuses it.
        unit: Of a number (`MiB`); for a duration `ms` where that is the unit of a bare number, else seconds.
        minimum, maximum: Inclusive bounds; of durations in seconds.
        above: An exclusive lower bound.
        fallback_env: A foreign variable that supplies the value just above the default.
        default_text: The default in words, where the value does not say it.
        found_file: Whether a `./bootcamp.toml` that was merely found may set it.
    """

    help: str
    group: Group
    kind: Kind
    answers: bool = False
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    fallback_env: str | None = None
    default_text: str | None = None
    found_file: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter as every consumer sees it: command line, environment, TOML, README, `config show`."""

    name: str
    type: Any
    default: Any
    param: Param

    @property
    def flag(self) -> str:
        """The spelling that help shows: `--max-tokens`."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def guide_flag(self) -> str:
        """The guide's spelling, accepted as well: `--max_tokens`."""
        return f"--{self.name}"

    @property
    def env(self) -> str:
        """The variable: `BOOTCAMP_MAX_TOKENS`."""
        return f"BOOTCAMP_{self.name.upper()}"

    @property
    def secret(self) -> bool:
        """Whether the whole value is a secret."""
        return self.param.kind == "secret"

    @property
    def repeatable(self) -> bool:
        """Whether the flag may be given several times."""
        return self.param.kind in ("words", "globs")

    @property
    def optional(self) -> bool:
        """Whether the value may be None: not set."""
        return type(None) in get_args(self.type) and get_origin(self.type) in (Union, types.UnionType)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a choice, else nothing."""
        return get_args(self.type) if self.param.kind == "choice" else ()

    @property
    def bare_unit(self) -> BareUnit:
        """What a bare number means for a duration."""
        return "ms" if self.param.unit == "ms" else "s"

    @property
    def metavar(self) -> str:
        """The placeholder of the value in `--help`; empty for a switch."""
        return _METAVARS[self.param.kind]


_METAVARS: dict[Kind, str] = {
    "text": "NAME",
    "url": "URL",
    "secret": "KEY",
    "prompt": "TEXT|@FILE",
    "path": "PATH",
    "integer": "N",
    "number": "X",
    "duration": "DURATION",
    "switch": "",
    "choice": "MODE",
    "words": "TEXT",
    "globs": "GLOB",
    "json": "JSON",
    "headers": "JSON",
}
