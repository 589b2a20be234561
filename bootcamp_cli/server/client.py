"""One request: from a prompt to an answer or a failed attempt."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

import anyio
import msgspec
from anyio import to_thread

from bootcamp_cli.server.body import LARGE_BYTES, BodyRoom, read_body, refuse_encoding, room_for_large
from bootcamp_cli.server.endpoint import Endpoint, endpoint, proxy_for
from bootcamp_cli.server.failures import (
    OF_PROXIES,
    AttemptFailed,
    Scope,
    abandoned,
    bad_response,
    fell_silent,
    stated_room,
    status_failure,
    timed_out,
)
from bootcamp_cli.server.request import GenerationConfig
from bootcamp_cli.server.response import MAX_BODY_BYTES, StreamedAnswer, load_json, load_object, parse_reply
from bootcamp_cli.server.transport import Reply, Transport, TransportName
from bootcamp_cli.server.url_file import read_url_file
from bootcamp_cli.settings.model import EndpointSettings, Settings
from bootcamp_cli.text import shortened, shown_s
from bootcamp_cli.types import Answer

MODELS_TIMEOUT_S = 30.0
"""Deadline for the model list, which takes no computing."""

THREAD_BYTES = 256 * 1024
"""From this size on, JSON is parsed in a thread: the event loop would stall for milliseconds."""

THREAD_LINES = 2000
"""From this many lines on, a piece of a stream is parsed in a thread."""

_MAX_PAGES = 100
_AFTER_END_S = 5.0
_T = TypeVar("_T")


class _Flight:
    """A request of a sample: its way, when it was sent and last heard of, by the clock of `time.monotonic`.

    It may be ended from outside, as late or as abandoned: its task is cancelled then, and closing takes that back. (A
    cancel scope for each request would do the same, at a twentieth of the cost of a run.)
    """

    __slots__ = ("_n_cancelled_before", "_task", "heard_s", "is_abandoned", "is_ended", "sent_s", "way")

    def __init__(self, way: Transport) -> None:
        """Made by the task that sends it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - it runs in one
        self.way = way
        self.sent_s = self.heard_s = time.monotonic()
        self.is_ended = self.is_abandoned = False
        self._task = task
        self._n_cancelled_before = task.cancelling()

    def end(self) -> None:
        """Cancel the task, unless that was done."""
        if not self.is_ended:
            self.is_ended = True
            self._task.cancel()

    @property
    def only_ended(self) -> bool:
        """Whether the task was cancelled here, and by nobody else."""
        return self.is_ended and self._task.cancelling() == self._n_cancelled_before + 1

    def close(self) -> None:
        """The request is over."""
        if self.is_ended:
            self._task.uncancel()


class CompletionClient:
    """Sends prompts with one set of generation parameters to one endpoint.

    `timeout_s` is the deadline of one attempt, from connecting to the last byte; `idle_timeout_s` the longest silence
    within a stream that has begun. `clock` gives the seconds since the epoch. `ranks` are the ways to the ranks behind
    the endpoint, where requests name one; `transport` is for all that is not about one of them.

    `heard_s` is when a part of an answer last came, by the clock of `time.monotonic`; `longest_s` how long the longest
    answer took. `came_back`, where it is set, tells of a request without any reply, sent at a time by that clock,
    whether the server died since, and returns when it is back: the request is then given up, to be sent again.
    """

    def __init__(
        self,
        transport: Transport,
        config: GenerationConfig,
        *,
        timeout_s: float,
        idle_timeout_s: float,
        clock: Callable[[], float] = time.time,
        ranks: Sequence[Transport] = (),
    ) -> None:
        self.transport = transport
        self._ways = tuple(ranks) or (transport,)
        self.config = config
        self.timeout_s = timeout_s
        self.idle_timeout_s = idle_timeout_s
        self.heard_s = -inf
        self.longest_s = 0.0
        self.came_back: Callable[[float], Awaitable[bool]] | None = None
        self._in_flight: dict[_Flight, None] = {}
        """In the order in which they were sent."""
        self._timer: asyncio.TimerHandle | None = None
        self._clock = clock
        self._parse = partial(parse_reply, api_mode=config.api_mode)
        self._path = "/completions" if config.api_mode == "completion" else "/chat/completions"

    @property
    def endpoint(self) -> Endpoint:
        """Where the requests go."""
        return self.transport.endpoint

    @property
    def n_ranks(self) -> int:
        """How many ranks requests can be sent to; 1 where they name none."""
        return len(self._ways)

    async def complete(self, prompt: str, repeat: int = 0, messages: bytes | None = None, *, rank: int = 0) -> Answer:
        """One attempt to get an answer, the `repeat`-th to this prompt. Raises nothing but AttemptFailed.

        In chat mode, `messages` (a list as JSON) are sent in place of the prompt.
        Text and reasoning are data and stay as they are; everything else a server says is redacted.
        """
        flight = _Flight(self._ways[rank])
        try:
            answer = await self._in_time(flight, self._exchange(flight, prompt, repeat, messages))
        except AttemptFailed as failure:
            if failure.status is None and self.came_back is not None and await self.came_back(flight.sent_s):
                raise abandoned() from None
            raise
        self.longest_s = max(self.longest_s, time.monotonic() - flight.sent_s)
        return redacted_answer(answer, self.endpoint, self.config.model)

    async def aclose(self) -> None:
        """Close all connections."""
        for way in self._ways:
            await way.aclose()

    def silent_for_s(self) -> float:
        """How long all requests in flight have been silent, in seconds; 0 where there is none."""
        if not self._in_flight:
            return 0.0
        return time.monotonic() - max(flight.heard_s for flight in self._in_flight)

    def abandon(self, *, before_s: float, silent_s: float) -> None:
        """Give up requests that were sent before a time, by the clock of `time.monotonic`, and silent for so long."""
        now_s = time.monotonic()
        for flight in self._in_flight:
            if flight.sent_s < before_s and now_s - flight.heard_s > silent_s:
                flight.is_abandoned = True
                flight.end()

    async def models(self) -> list[dict[str, Any]]:
        """The server's list of models, all pages of it: objects with at least an `id`.

        It may come as a bare list; a page that says `has_more` is followed by its `last_id`. Raises nothing but
        AttemptFailed.
        """
        return await self._within(min(self.timeout_s, MODELS_TIMEOUT_S), self._models())

    async def ask_beside(self, path: str, *, timeout_s: float, max_bytes: int) -> dict[str, Any]:
        """The JSON object that the server has at a path beside the API. Raises nothing but AttemptFailed."""
        return await self._beside(path, load_object, timeout_s=timeout_s, max_bytes=max_bytes)

    async def text_beside(self, path: str, *, timeout_s: float, max_bytes: int) -> str:
        """The text that the server has at a path beside the API. Raises nothing but AttemptFailed."""
        return await self._beside(path, _text, timeout_s=timeout_s, max_bytes=max_bytes)

    async def _beside(self, path: str, read: Callable[[bytes], _T], *, timeout_s: float, max_bytes: int) -> _T:
        async def exchange() -> _T:
            reply = await self.transport.get(path, beside_api=True)
            self._refuse_status(reply, missing="sample")
            if len(reply.body) > max_bytes:
                raise bad_response(f"{path}: more than {max_bytes} bytes")
            return await _in_thread(read, reply.body)

        return await self._within(min(self.timeout_s, timeout_s), exchange())

    async def _in_time(self, flight: _Flight, exchange: Awaitable[Answer]) -> Answer:
        """The answer, unless the request is ended before it came."""
        self._in_flight[flight] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.timeout_s, self._end_late)
        try:
            with BodyRoom():
                return await exchange
        except AttemptFailed as failure:
            raise redacted_failure(failure, self.endpoint) from None
        except asyncio.CancelledError:
            if not flight.only_ended:
                raise
        finally:
            flight.close()
            self._forget(flight)
        raise abandoned() if flight.is_abandoned else self._late(self.timeout_s)

    def _forget(self, flight: _Flight) -> None:
        del self._in_flight[flight]
        if self._timer is not None and not self._in_flight:
            self._timer.cancel()
            self._timer = None

    def _end_late(self) -> None:
        """End the requests whose time is over; the oldest is the next, so that one timer serves thousands."""
        self._timer, now_s = None, time.monotonic()
        for flight in self._in_flight:
            left_s = flight.sent_s + self.timeout_s - now_s
            if left_s > 0:
                self._timer = asyncio.get_running_loop().call_later(left_s, self._end_late)
                return
            flight.end()

    async def _within(self, timeout_s: float, exchange: Awaitable[_T]) -> _T:
        """What is asked beside the samples, within a deadline of its own."""
        try:
            with anyio.move_on_after(timeout_s), BodyRoom():
                return await exchange
        except AttemptFailed as failure:
            raise redacted_failure(failure, self.endpoint) from None
        raise self._late(timeout_s)

    def _late(self, timeout_s: float) -> AttemptFailed:
        return timed_out(shortened(f"no complete reply from {self.endpoint.base_url} within {shown_s(timeout_s)}"))

    def _heard(self, flight: _Flight) -> None:
        """Note that a part of the answer to a request came."""
        self.heard_s = flight.heard_s = time.monotonic()

    async def _models(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        path: str | None = "/models"
        for _ in range(_MAX_PAGES):
            if path is None:
                break
            reply = await self.transport.get(path)
            self._refuse_status(reply, missing="sample")
            page = await _in_thread(load_json, reply.body)
            listed = page.get("data") if isinstance(page, dict) else page
            if not isinstance(listed, list):
                raise bad_response("a model list without data")
            found += [entry for entry in listed if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
            path = _next_page(page)
        return found

    def _exchange(self, flight: _Flight, prompt: str, repeat: int, messages: bytes | None) -> Awaitable[Answer]:
        """The answer, to be awaited."""
        n_tokens = self.config.room(prompt, messages)
        if n_tokens is None:
            return self._answer(flight, self.config.body(prompt, repeat, messages=messages))
        return self._fitted(flight, prompt, repeat, messages, n_tokens)

    async def _fitted(self, flight: _Flight, prompt: str, repeat: int, messages: bytes | None, n_tokens: int) -> Answer:
        """The answer within so many tokens; a refusal that tells what fits is followed by one more request."""
        try:
            answer = await self._answer(
                flight, self.config.body(prompt, repeat, max_tokens=n_tokens, messages=messages)
            )
        except AttemptFailed as failure:
            room = stated_room(failure)
            if room is None or not 0 < room < n_tokens:
                raise
            n_tokens = room
        else:
            return msgspec.structs.replace(answer, max_tokens=n_tokens)
        answer = await self._answer(flight, self.config.body(prompt, repeat, max_tokens=n_tokens, messages=messages))
        return msgspec.structs.replace(answer, max_tokens=n_tokens)

    async def _answer(self, flight: _Flight, body: bytes) -> Answer:
        if self.config.stream:
            return await self._streamed(flight, body)
        reply = await flight.way.post(self._path, body)
        self._refuse_status(reply, missing="model_missing")
        self._heard(flight)  # what was refused may come from a gateway
        return await _in_thread(self._parse, reply.body)

    def _refuse_status(self, reply: Reply, *, missing: Scope) -> None:
        if 200 <= reply.status < 300:
            return
        failure = status_failure(reply.status, reply.headers, reply.body, now_s=self._clock(), missing=missing)
        endpoint = self.endpoint
        if endpoint.proxy is not None and endpoint.base_url.startswith("http:") and reply.status in OF_PROXIES:
            failure.reword(f"{failure.message} (perhaps from the proxy {endpoint.proxy})")
        raise failure

    async def _streamed(self, flight: _Flight, body: bytes) -> Answer:
        async with flight.way.post_stream(self._path, body) as reply:
            streams = "json" not in reply.headers.get("content-type", "").lower()
            if not 200 <= reply.status < 300 or not streams:
                whole = await read_body(reply.chunks, reply.headers, max_bytes=MAX_BODY_BYTES)
                self._refuse_status(
                    Reply(status=reply.status, headers=reply.headers, body=whole), missing="model_missing"
                )
                return await _in_thread(self._parse, whole)
            refuse_encoding(reply.headers, "stream")
            answer = StreamedAnswer(self.config.api_mode)
            try:
                await self._collect(flight, reply.chunks, answer)
            except AttemptFailed:
                if not answer.complete:
                    raise
        return answer.answer()

    async def _collect(self, flight: _Flight, chunks: AsyncIterator[bytes], answer: StreamedAnswer) -> None:
        """Feed the stream to `answer` to its end; once the answer is complete, the end is not awaited for long."""
        limit_s: float | None = None
        while True:
            try:
                with anyio.fail_after(limit_s):
                    chunk = await anext(chunks, b"")
            except TimeoutError:
                if answer.complete:
                    return
                raise fell_silent(f"stream silent for {shown_s(self.idle_timeout_s)}") from None
            if not chunk:
                return
            self._heard(flight)
            if answer.n_pending_bytes > LARGE_BYTES:
                await room_for_large()
            if answer.n_pending_bytes + len(chunk) > THREAD_BYTES or _n_lines(chunk) > THREAD_LINES:
                await to_thread.run_sync(answer.feed, chunk)
            else:
                answer.feed(chunk)
            limit_s = min(self.idle_timeout_s, _AFTER_END_S) if answer.complete else self.idle_timeout_s


@asynccontextmanager
async def open_client(
    settings: Settings, generation: GenerationConfig, target: Endpoint | None = None
) -> AsyncIterator[CompletionClient]:
    """A client for an endpoint, by default the first of the settings; its connections are closed with the block."""
    client = await make_client(settings, generation, target or endpoints_of(settings)[0])
    try:
        yield client
    finally:
        await client.aclose()


async def make_client(settings: Settings, generation: GenerationConfig, target: Endpoint) -> CompletionClient:
    """A client for an endpoint, to be closed."""

    def transports() -> list[Transport]:  # they may read certificates
        ranks = range(target.data_parallel_ranks or 0)
        targets = [target.of_rank(rank) for rank in ranks] or [target]
        return [make_transport(target, settings.transport) for target in targets]

    ways = await to_thread.run_sync(transports)
    return CompletionClient(
        ways[0], generation, timeout_s=settings.timeout, idle_timeout_s=settings.idle_timeout, ranks=ways
    )


def endpoints_of(settings: Settings) -> tuple[Endpoint, ...]:
    """The servers of the settings, with their secrets; those of a `url_file` as it is now.

    Raises:
        SettingsError: as `endpoint` and `read_url_file` do.
    """
    if settings.url_file is None:
        return tuple(_endpoint_of(settings, server) for server in settings.servers)
    return tuple(_endpoint_of(settings, EndpointSettings(url=url)) for url in read_url_file(settings.url_file))


def _endpoint_of(settings: Settings, server: EndpointSettings) -> Endpoint:
    target = endpoint(
        server.url,
        api_key=(server.api_key or settings.api_key).reveal(),
        headers=settings.headers if server.headers is None else server.headers,
        ca_bundle=settings.ca_bundle,
        client_cert=settings.client_cert,
        client_key=settings.client_key,
        insecure=settings.insecure,
        body=settings.extra_body,
    )
    return replace(
        target,
        max_concurrent_requests=server.max_concurrent_requests,
        data_parallel_ranks=server.data_parallel_ranks,
    )


def redacted_answer(answer: Answer, endpoint: Endpoint, requested_model: str) -> Answer:
    """The answer without secrets in what the server says about it; the requested model name is not a secret."""
    secrets = endpoint.secrets
    if not secrets.forms:
        return answer
    model = None if answer.model == requested_model else answer.model
    said = model, answer.finish_reason, answer.usage, answer.system_fingerprint
    if not secrets.occur_in(msgspec.json.encode(said).decode()):
        return answer
    return msgspec.structs.replace(
        answer,
        model=secrets.redacted(model) or answer.model,
        finish_reason=secrets.redacted(answer.finish_reason),
        usage=secrets.redacted(answer.usage),
        system_fingerprint=secrets.redacted(answer.system_fingerprint),
    )


def redacted_failure(failure: AttemptFailed, endpoint: Endpoint) -> AttemptFailed:
    """The failure with a message that is safe to show, and without the frames that hold its reply."""
    failure.reword(shortened(endpoint.secrets.redact(failure.message, keep=(endpoint.base_url,))))
    return failure.without_frames()


def make_transport(
    endpoint: Endpoint,
    name: TransportName | Literal["auto"] = "auto",
    *,
    environ: Mapping[str, str] | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> Transport:
    """The transport of that name; `auto` takes aiohttp, or httpx where a SOCKS proxy is in between.

    Only one library is imported. `environ` (proxies, SSL_CERT_FILE, SSL_CERT_DIR) is read once, here.

    Raises:
        SettingsError: a certificate bundle, proxy or host name cannot be used.
    """
    environ = os.environ if environ is None else environ
    if name == "auto":
        name = "httpx" if (proxy_for(endpoint.base_url, environ) or "").startswith("socks") else "aiohttp"
    if name == "httpx":
        from bootcamp_cli.server.httpx_transport import HttpxTransport  # noqa: PLC0415 - 90 ms to import

        return HttpxTransport(endpoint, environ=environ, max_body_bytes=max_body_bytes)
    from bootcamp_cli.server.aiohttp_transport import AiohttpTransport  # noqa: PLC0415 - as above

    return AiohttpTransport(endpoint, environ=environ, max_body_bytes=max_body_bytes)


async def _in_thread(read: Callable[[bytes], _T], body: bytes) -> _T:
    """Read a small body at once and a large one in a thread."""
    return read(body) if len(body) <= THREAD_BYTES else await to_thread.run_sync(read, body)


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _next_page(page: Any) -> str | None:
    """The path of the page that follows in a list of models, if there is one.

    OpenAI's lists, which say that they are lists, go on with `after`, Anthropic's with `after_id`.
    """
    match page:
        case {"has_more": True, "last_id": str(last)} if last:
            key = "after" if page.get("object") == "list" else "after_id"
            return f"/models?{urlencode({key: last})}"
    return None


def _n_lines(chunk: bytes) -> int:
    """The most lines that a piece can have."""
    return chunk.count(b"\n") + chunk.count(b"\r")
