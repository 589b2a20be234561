"""From settings to a client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bootcamp_cli.client.client import CompletionClient
from bootcamp_cli.client.endpoint import endpoint
from bootcamp_cli.client.payload import GenerationConfig
from bootcamp_cli.client.transport import make_transport
from bootcamp_cli.settings.model import EvalSettings


@asynccontextmanager
async def open_client(settings: EvalSettings, generation: GenerationConfig) -> AsyncIterator[CompletionClient]:
    """A client for the server of the settings; its connections are closed with the block."""
    transport = make_transport(
        endpoint(
            settings.url,
            api_key=settings.api_key.reveal(),
            headers=settings.headers,
            ca_bundle=settings.ca_bundle,
            insecure=settings.insecure,
        ),
        settings.transport,
    )
    try:
        yield CompletionClient(transport, generation, timeout_s=settings.timeout, idle_timeout_s=settings.idle_timeout)
    finally:
        await transport.aclose()
