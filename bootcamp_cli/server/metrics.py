"""What a server tells of its own load at `/metrics`: vLLM, SGLang and llama.cpp, in the text form of Prometheus."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from anyio import to_thread

from bootcamp_cli.server.client import THREAD_BYTES, CompletionClient

_PATH = "/metrics"
_TIMEOUT_S = 5.0
_MAX_BYTES = 4 * 1024 * 1024
_MAX_LINE_CHARS = 4000
_LARGEST = 1e15

_RUNNING = ("vllm:num_requests_running", "sglang:num_running_reqs", "llamacpp:requests_processing")
_WAITING = ("vllm:num_requests_waiting", "sglang:num_queue_reqs", "llamacpp:requests_deferred")
_CACHE = (
    "vllm:kv_cache_usage_perc",
    "vllm:gpu_cache_usage_perc",  # vLLM before 0.11
    "sglang:token_usage",
    "llamacpp:kv_cache_usage_ratio",  # llama.cpp before 2025-06
)
_PREEMPTIONS = (
    "vllm:num_preemptions_total",
    "vllm:num_preemptions",
    "sglang:num_retracted_reqs_total",
    "sglang:num_retracted_requests_total",
)
_WANTED = frozenset((*_RUNNING, *_WAITING, *_CACHE, *_PREEMPTIONS))

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{.*\})?[ \t]+(\S+)(?:[ \t]+-?[0-9]+)?[ \t]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFigures:
    """The load of a server at one time; None for what it does not tell.

    Requests that run and that wait, over all engines behind the server; the fullest share of an engine's cache, 0 to 1;
    requests that lost their place in the cache since the server's start.
    """

    running: float | None = None
    waiting: float | None = None
    cache: float | None = None
    preemptions: float | None = None


async def server_figures(client: CompletionClient) -> ServerFigures | None:
    """The load of a server now; None where its reply holds none of it.

    Raises:
        AttemptFailed: there is no such reply.
    """
    text = await client.text_beside(_PATH, timeout_s=_TIMEOUT_S, max_bytes=_MAX_BYTES)
    return parse_metrics(text) if len(text) <= THREAD_BYTES else await to_thread.run_sync(parse_metrics, text)


def parse_metrics(text: str) -> ServerFigures | None:
    """The load that a text in the form of Prometheus tells; None where it tells nothing of it.

    Engines, ranks and models are labels: their requests are added up. Where a server has a figure under the names of
    two versions, the newer one counts. Anything that is not such a line is passed over.
    """
    found: dict[str, list[float]] = {}
    for name, value in _samples(text):
        found.setdefault(name, []).append(value)
    figures = ServerFigures(
        running=_total(found, _RUNNING),
        waiting=_total(found, _WAITING),
        cache=next((min(max(found[name]), 1.0) for name in _CACHE if name in found), None),
        preemptions=_total(found, _PREEMPTIONS),
    )
    return None if figures == ServerFigures() else figures


def _samples(text: str) -> Iterator[tuple[str, float]]:
    """The wanted samples with a plausible value."""
    for line in text.splitlines():
        if not line.startswith(("vllm:", "sglang:", "llamacpp:")) or len(line) > _MAX_LINE_CHARS:
            continue
        match = _SAMPLE.fullmatch(line)
        if match is None or match[1] not in _WANTED:
            continue
        try:
            value = float(match[2])
        except ValueError:
            continue
        if 0 <= value <= _LARGEST and math.isfinite(value):
            yield match[1], value


def _total(found: dict[str, list[float]], names: Iterable[str]) -> float | None:
    return next((math.fsum(found[name]) for name in names if name in found), None)
