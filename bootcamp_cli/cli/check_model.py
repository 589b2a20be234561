"""`bootcamp check-model`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.errors import EXIT_OK, BootcampError

if TYPE_CHECKING:
    from bootcamp_cli.api import ModelCheck


@command(
    settings=(
        *("url", "endpoints", "url_file", "api_key", "model_name", "headers", "wait", "poll_interval", "ca_bundle"),
        *("client_cert", "client_key", "insecure", "api_mode", "max_tokens_field", "omit", "timeout", "extra_body"),
    ),
    example="bootcamp check-model --url http://127.0.0.1:8000/v1 --model-name r1_32B --wait 10m --probe",
)
def check_model_command(
    call: Call,
    with_probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="also request one short completion", rich_help_panel="Check")
    ] = False,
) -> int:
    """Wait until the server offers the model."""
    from bootcamp_cli import api
    from bootcamp_cli.settings.convert import shown_servers

    resolved = api.read_settings(call.sources)
    settings = call.learn(resolved)
    servers = shown_servers(settings)
    if len(servers) > 1 or settings.url_file is not None:
        return _of_each(call, api.check_endpoints(resolved, call.console.on_event, with_probe=with_probe))
    check = api.check_model(resolved, call.console.on_event, with_probe=with_probe)
    call.console.result({"url": servers[0], **_data(check)}, text=_text(check))
    return EXIT_OK


def _of_each(call: Call, checks: "dict[str, ModelCheck | BootcampError]") -> int:
    """Show what each server offers; the exit code is that of the first that does not."""
    items: list[dict[str, Any]] = []
    lines: list[str] = []
    for url, check in checks.items():
        if isinstance(check, BootcampError):
            data, text = {"error": check.message}, check.message
        else:
            data, text = _data(check), _text(check)
        items.append({"url": url, **data})
        lines.append(text if text.startswith(url) else f"{url}: {text}")
    call.console.result(items, text="\n".join(lines))
    return next((check.exit_code for check in checks.values() if isinstance(check, BootcampError)), EXIT_OK)


def _data(check: "ModelCheck") -> dict[str, Any]:
    entry, result = check.entry, check.probe
    data: dict[str, Any] = {"model": entry.name, "listed": entry.listed, "entry": entry.raw}
    if result is not None:
        data["probe"] = {
            "answer": result.answer.text,
            "reasoning": result.answer.reasoning,
            "finish_reason": result.answer.finish_reason,
            "usage": result.answer.usage,
            "latency_s": round(result.latency_s, 4),
        }
    return data


def _text(check: "ModelCheck") -> str:
    entry, result = check.entry, check.probe
    text = f"{entry.name} is {'available' if entry.listed else 'not listed, but the server answers'}"
    if result is None:
        return text
    answer = result.answer.text or result.answer.reasoning or ""
    tokens = (result.answer.usage or {}).get("completion_tokens", "an unknown number of")
    return f"{text}\nprobe: {answer.strip()!r}, {tokens} tokens in {result.latency_s:.2f} s"
