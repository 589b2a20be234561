"""`bootcamp check-model`."""

from typing import Annotated

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.errors import EXIT_OK
from bootcamp_cli.text import mask_credentials


@command(
    settings=(
        *("url", "api_key", "model_name", "headers", "wait", "poll_interval", "ca_bundle", "client_cert", "client_key"),
        *("insecure", "api_mode", "max_tokens_field", "omit", "timeout", "extra_body"),
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

    resolved = api.read_settings(call.sources)
    settings = call.learn(resolved)
    check = api.check_model(resolved, call.console.on_event, with_probe=with_probe)
    entry, result = check.entry, check.probe
    url = mask_credentials(settings.url)
    data: dict[str, object] = {"url": url, "model": entry.name, "listed": entry.listed, "entry": entry.raw}
    text = f"{entry.name} is {'available' if entry.listed else 'not listed, but the server answers'}"
    if result is not None:
        usage = result.answer.usage or {}
        data["probe"] = {
            "answer": result.answer.text,
            "reasoning": result.answer.reasoning,
            "finish_reason": result.answer.finish_reason,
            "usage": result.answer.usage,
            "latency_s": round(result.latency_s, 4),
        }
        answer = result.answer.text or result.answer.reasoning or ""
        tokens = usage.get("completion_tokens", "an unknown number of")
        text += f"\nprobe: {answer.strip()!r}, {tokens} tokens in {result.latency_s:.2f} s"
    call.console.result(data, text=text)
    return EXIT_OK
