"""`bootcamp check-model`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.errors import EXIT_OK, ServerUnavailableError

if TYPE_CHECKING:
    from bootcamp_cli.server.health import ModelEntry, ProbeResult
    from bootcamp_cli.settings.model import EvalSettings

_PROMPT = "What is 2 + 2? Answer with a number."


@command(
    settings=(
        *("url", "api_key", "model_name", "headers", "wait", "poll_interval", "ca_bundle", "insecure"),
        *("api_mode", "timeout", "extra_body"),
    ),
    example="bootcamp check-model --url http://127.0.0.1:8000/v1 --model-name r1_32B --wait 10m --probe",
)
def check_model_command(
    call: Call,
    with_probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="also ask for one short completion", rich_help_panel="Check")
    ] = False,
) -> int:
    """Wait until the server offers the model."""
    import anyio

    from bootcamp_cli.cli.sources import read_settings

    settings = read_settings(call).settings
    entry, result = anyio.run(_check, settings, call.console.notice, with_probe)
    data: dict[str, object] = {"url": settings.url, "model": entry.name, "listed": entry.listed, "entry": entry.raw}
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


async def _check(
    settings: "EvalSettings",
    notify: Callable[[str], None],
    with_probe: bool,  # noqa: FBT001 - anyio.run passes by position
) -> "tuple[ModelEntry, ProbeResult | None]":
    from bootcamp_cli.server.client import open_client
    from bootcamp_cli.server.failures import AttemptFailed
    from bootcamp_cli.server.health import probe, wait_for_model
    from bootcamp_cli.server.request import GenerationConfig

    generation = GenerationConfig(
        api_mode=settings.api_mode,
        sent={
            "model": settings.model_name or "",
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
        },
        extra_body=settings.extra_body,
    )
    async with open_client(settings, generation) as client:
        entry = await wait_for_model(
            client, settings.model_name, wait_s=settings.wait, poll_interval_s=settings.poll_interval, notify=notify
        )
        if not with_probe:
            return entry, None
        client.config = generation.sending(model=entry.name)
        try:
            return entry, await probe(client, _PROMPT)
        except AttemptFailed as failure:
            raise ServerUnavailableError(f"{settings.url}: the probe failed: {failure.message}") from failure
