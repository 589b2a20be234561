"""Filling in what eval_args.json masks, from the flags, the environment and the TOML files of today."""

from collections.abc import Mapping
from typing import Any

from bootcamp_cli.settings.merge import OPENAI_KEY_VARIABLE, OPENAI_URL_VARIABLE, openai_key
from bootcamp_cli.settings.origin import Resolved
from bootcamp_cli.settings.param import Parameter
from bootcamp_cli.settings.secrets import MASK, is_secret_key, mask_credentials


def fill_masks(
    parameter: Parameter, stored: Any, current: Resolved, *, env: Mapping[str, str], url: str
) -> tuple[Any, list[str]]:
    """The stored JSON value with its masks replaced, and the names of the masks that nothing supplies.

    `url` is the URL that the resumed run uses: `OPENAI_API_KEY` is judged by that one.
    """
    have = getattr(current.settings, parameter.name)
    match parameter.param.kind:
        case "secret" if stored == MASK:
            key = _key(current, env, url)
            return (key, []) if key is not None else (stored, [parameter.name])
        case "url" if isinstance(stored, str) and MASK in stored:
            same = mask_credentials(have) == stored
            return (have, []) if same else (stored, [f"{parameter.name} (its credentials)"])
        case "headers" if isinstance(stored, Mapping):
            return _headers(stored, have or {})
        case "json":
            missing: list[str] = []
            return _body(stored, have, parameter.name, missing, secret=False), missing
        case _:
            return stored, []


def _key(current: Resolved, env: Mapping[str, str], url: str) -> str | None:
    """A key given for this tool; else `OPENAI_API_KEY` where it belongs to the URL."""
    if current.chosen("api_key") and current.origins["api_key"].text != OPENAI_KEY_VARIABLE:
        return current.settings.api_key.reveal()
    raw = openai_key(env, url, from_openai=env.get(OPENAI_URL_VARIABLE, "").strip().rstrip("/") == url)
    return None if raw is None else str(raw.value)


def _headers(stored: Mapping[str, Any], have: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    by_name = {name.lower(): value for name, value in have.items()}
    filled = {name: by_name.get(name.lower(), MASK) if value == MASK else value for name, value in stored.items()}
    missing = [name for name, value in stored.items() if value == MASK and name.lower() not in by_name]
    return filled, [f"headers: {name}" for name in missing]


def _body(stored: Any, have: Any, where: str, missing: list[str], *, secret: bool) -> Any:
    if isinstance(stored, Mapping):
        known = have if isinstance(have, Mapping) else {}
        return {
            key: _body(child, known.get(key), f"{where}.{key}", missing, secret=secret or is_secret_key(key))
            for key, child in stored.items()
        }
    if isinstance(stored, list):
        items = have if isinstance(have, list) and len(have) == len(stored) else [None] * len(stored)
        return [_body(child, item, where, missing, secret=secret) for child, item in zip(stored, items, strict=True)]
    if not secret or stored != MASK:
        return stored
    if not isinstance(have, str | int | float):
        missing.append(where.replace(".", ": ", 1))
        return stored
    return have
