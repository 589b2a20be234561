"""An option that hands on what was typed, and knows the default and the variable that its help shows."""

from collections.abc import Sequence

from typer.core import TyperOption


class RawOption(TyperOption):
    """An option whose text is converted elsewhere: None where it was not given, so that other sources can supply it.

    A boolean one is negated by `--no-` and gives a bool; a repeatable one gives a tuple of texts.
    `default_text` and `variable` are for the help alone.
    """

    def __init__(  # noqa: PLR0913 - the fields of a declaration
        self,
        *,
        name: str,
        help: str,  # noqa: A002 - typer's word
        group: str,
        metavar: str = "TEXT",
        boolean: bool = False,
        repeatable: bool = False,
        hidden: bool = False,
        default_text: str = "",
        variable: str = "",
    ) -> None:
        super().__init__(
            param_decls=_declarations(name, boolean=boolean),
            type=None if boolean else str,
            is_flag=boolean or None,
            multiple=repeatable,
            help=help,
            metavar=metavar,
            hidden=hidden,
            rich_help_panel=group,
        )
        self.default_text = default_text
        self.variable = variable


def _declarations(name: str, *, boolean: bool) -> list[str]:
    dashed = name.replace("_", "-")
    return [name, f"--{dashed}/--no-{dashed}" if boolean else f"--{dashed}"]


def given_text(value: Sequence[str] | str | bool | None) -> str | list[str] | None:  # noqa: FBT001 - what typer gives
    """What was typed, as text: `true` or `false` for a boolean option, None where the option was not given."""
    match value:
        case None | ():
            return None
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case _:
            return list(value)
