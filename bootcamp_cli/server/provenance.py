"""What a server tells about itself, for the manifest: its version, the chat template it applies, its fingerprints.

None of it is needed, and all of it is untrusted: whatever a server does here costs no more than a short time, and what
is kept is a few texts of bounded length without secrets.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio

from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.server.response import well_formed
from bootcamp_cli.text import MAX_RAW_CHARS, Secrets, one_line, shortened
from bootcamp_cli.types import ServerInfo

_TIMEOUT_S = 10.0
_TIMEOUT_OF_ONE_S = 3.0
_GRACE_S = 2.0
_MAX_BYTES = 4 * 1024 * 1024
"""The largest of them, a tokenizer's configuration with thousands of special tokens, has about 1 MiB."""

_MAX_VERSION_CHARS = 200
_MAX_SERVERS = 8
_MAX_FINGERPRINTS = 8


class _Source(NamedTuple):
    """A path beside the API, and the keys under which its object has the version and the text of the template."""

    path: str
    version: str | None = None
    template: str | None = None


_SOURCES = (
    _Source("/version", version="version"),  # vLLM, TensorRT-LLM
    _Source("/props", version="build_info", template="chat_template"),  # llama.cpp
    _Source("/server_info", version="version"),  # SGLang; holds its keys as well, so that nothing else is kept of it
    _Source("/get_server_info", version="version"),  # SGLang before it had /server_info
    _Source("/tokenizer_info", template="chat_template"),  # vLLM with --enable-tokenizer-info-endpoint
)
"""In the order in which they are asked; one that could tell nothing new is not asked."""


@asynccontextmanager
async def asking_server(
    client: CompletionClient, *, chat: bool, learned: Callable[[ServerInfo], None]
) -> AsyncIterator[None]:
    """Ask what the server tells about itself while the block runs; `learned` gets it, unless there is nothing.

    The block waits for nothing. Its end waits for the rest of the answer for 2 seconds at most, and not at all where it
    ends by an exception, which passes through as it is.
    """
    is_done = anyio.Event()
    error: Exception | None = None

    async def ask() -> None:
        if (info := await server_info(client, chat=chat)) is not None:
            learned(info)
        is_done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        try:
            yield
        except Exception as raised:  # noqa: BLE001 - raised below, out of the task group that would wrap it
            error = raised
        else:
            with anyio.move_on_after(_GRACE_S):
                await is_done.wait()
        tasks.cancel_scope.cancel()
    if error is not None:
        raise error


async def server_info(client: CompletionClient, *, chat: bool) -> ServerInfo | None:
    """What the server tells about itself within 10 seconds, or None where it tells nothing; raises nothing.

    It asks for one thing after the other and stops as soon as all is known. The template matters in `chat` mode only.
    """
    info = ServerInfo()
    with anyio.move_on_after(_TIMEOUT_S):
        for source in _SOURCES:
            wants_version = source.version is not None and info.version is None
            wants_template = source.template is not None and info.template_digest is None and chat
            if not (wants_version or wants_template):
                continue
            try:
                told = await client.ask_beside(source.path, timeout_s=_TIMEOUT_OF_ONE_S, max_bytes=_MAX_BYTES)
            except AttemptFailed:
                continue
            info = _with(info, source, told, chat=chat, secrets=client.endpoint.secrets)
    return info if info != ServerInfo() else None


def _with(info: ServerInfo, source: _Source, told: Mapping[str, Any], *, chat: bool, secrets: Secrets) -> ServerInfo:
    """What is known with what one path told."""
    version, told_at, template_digest = info.version, info.told_at, info.template_digest
    if version is None and (version := _version(told.get(source.version or ""), secrets)) is not None:
        told_at = source.path
    template = told.get(source.template or "")
    if chat and template_digest is None and isinstance(template, str) and template:
        template_digest = hashlib.sha256(well_formed(template).encode()).hexdigest()
    return ServerInfo(version=version, told_at=told_at, template_digest=template_digest)


def _version(value: Any, secrets: Secrets) -> str | None:
    """A version as one line without secrets; only a text or a number is one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = secrets.redact(str(value)[:MAX_RAW_CHARS])
    return shortened(one_line(well_formed(text)), _MAX_VERSION_CHARS) or None


def with_server(known: tuple[ServerInfo, ...], info: ServerInfo | None) -> tuple[ServerInfo, ...]:
    """What a run knows of its servers with what one told, each once, oldest first; the first 8 are kept."""
    return known if info is None or info in known or len(known) >= _MAX_SERVERS else (*known, info)


class Fingerprints:
    """Counts the replies with each `system_fingerprint`; the first 8 different ones are kept."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, fingerprint: str | None, n: int = 1) -> None:
        """Count one reply, or `n`."""
        if fingerprint and (fingerprint in self._counts or len(self._counts) < _MAX_FINGERPRINTS):
            self._counts[fingerprint] = self._counts.get(fingerprint, 0) + n

    def onto(self, known: Mapping[str, int]) -> dict[str, int]:
        """The counts of earlier sessions with these added."""
        total = dict(known)
        for fingerprint, n in self._counts.items():
            if fingerprint in total or len(total) < _MAX_FINGERPRINTS:
                total[fingerprint] = total.get(fingerprint, 0) + n
        return total
