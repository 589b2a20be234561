"""Values of parameters as files and people may see them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootcamp_cli.settings.duration import duration_number, format_duration
from bootcamp_cli.settings.param import Parameter
from bootcamp_cli.settings.secrets import (
    MASK,
    Secret,
    credential_texts,
    mask_credentials,
    mask_mapping,
    secrets_in_mapping,
)
from bootcamp_cli.visible import visible

if TYPE_CHECKING:
    from bootcamp_cli.settings.model import EvalSettings

LONGEST_SHOWN = 80


def stored_value(parameter: Parameter, value: Any) -> Any:  # noqa: PLR0911 - one for each kind
    """The value as JSON, for eval_args.json and `--json`: durations as bare numbers, paths absolute, secrets masked."""
    if value is None:
        return None
    match parameter.param.kind:
        case "secret":
            return value.reveal() if value.is_placeholder else MASK
        case "url":
            return mask_credentials(value)
        case "headers":
            return dict.fromkeys(value, MASK)
        case "json":
            return mask_mapping(value)
        case "duration":
            return duration_number(value, parameter.bare_unit)
        case "path":
            return str(Path(value).absolute())
        case "words" | "globs":
            return list(value)
        case "text" | "prompt" | "integer" | "number" | "switch" | "choice":
            return value


def shown_value(parameter: Parameter, value: Any) -> str:  # noqa: PLR0911 - as above
    """The value for people, in one line without control characters, secrets masked; `none` where it is not set."""
    stored = stored_value(parameter, value)
    if stored is None or stored == []:
        return "none"
    match parameter.param.kind:
        case "duration":
            return format_duration(value)
        case "switch":
            return "true" if value else "false"
        case "json" | "headers" | "words" | "globs":
            import json  # noqa: PLC0415 - `--help` needs none

            return visible(json.dumps(stored, ensure_ascii=False))
        case "prompt":
            return shortened(stored)
        case "path":
            return visible(str(value))
        case "number":
            return f"{value:g}"
        case "text" | "url" | "secret" | "integer" | "choice":
            return f"{stored} {parameter.param.unit}".rstrip() if parameter.param.unit else str(stored)


def shortened(text: str) -> str:
    """A text on one line of at most 80 characters."""
    line = visible(text[: LONGEST_SHOWN + 1])
    return line if len(line) <= LONGEST_SHOWN else f"{line[: LONGEST_SHOWN - 3]}..."


def secret_texts(settings: "EvalSettings") -> tuple[str, ...]:
    """Every text of the settings that no file and no message may show, for `redact`."""
    key: Secret = settings.api_key
    texts = [] if key.is_placeholder else [key.reveal()]
    texts += (settings.headers or {}).values()
    texts += secrets_in_mapping(settings.extra_body or {})
    texts += credential_texts(settings.url)
    return tuple(dict.fromkeys(text for text in texts if text))
