"""The embedded OpenAI-compatible server: `async with serve(DemoConfig(...)) as url`."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import anyio
from aiohttp import web

from bootcamp_cli.demo.config import DemoConfig, Fault, choose_fault
from bootcamp_cli.demo.model import Answers, SampleIndex, load_samples
from bootcamp_cli.demo.protocol import (
    CHAT_PATH,
    COMPLETIONS_PATH,
    MAX_BODY_BYTES,
    MODELS_PATH,
    Ask,
    RefusedError,
    answer_body,
    check_ask,
    check_key,
    error_body,
    json_bytes,
    models_body,
    parse_ask,
    retry_after,
    stream_events,
)
from bootcamp_cli.errors import SettingsError

MODEL_NAME = "demo"

_HOST = "127.0.0.1"
_BACKLOG = 1024
_KEEPALIVE_S = 3600.0


@asynccontextmanager
async def serve(config: DemoConfig) -> AsyncIterator[str]:
    """Run a server on loopback until the block ends; yields its base URL, as a client takes it.

    Raises:
        SettingsError: there is no such test dir, or the port is not available.
    """
    samples = await anyio.to_thread.run_sync(load_samples, config.test_dir, abandon_on_cancel=True)
    server = _DemoServer(config, samples)
    application = web.Application(middlewares=[server.refuse], client_max_size=MAX_BODY_BYTES)
    application.router.add_post(COMPLETIONS_PATH, server.complete)
    application.router.add_post(CHAT_PATH, server.complete)
    application.router.add_get(MODELS_PATH, server.list_models)
    # requests are aborted when their client goes away and when the server ends
    runner = web.AppRunner(
        application, access_log=None, handler_cancellation=True, keepalive_timeout=_KEEPALIVE_S, shutdown_timeout=0
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, _HOST, config.port, backlog=_BACKLOG).start()
        except OSError as error:
            hint = "give another one, or 0 for any free port"
            raise SettingsError(f"port: {config.port}: {error.strerror}", hint=hint) from error
        _, port, *_ = runner.addresses[0]
        yield f"http://{_HOST}:{port}/v1"
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


class _DemoServer:
    """The handlers of the server."""

    def __init__(self, config: DemoConfig, samples: SampleIndex) -> None:
        self._config = config
        self._model = config.model
        self._samples = samples
        self._answers = Answers(self._model)
        self._n_attempts: Counter[str] = Counter()

    @web.middleware
    async def refuse(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer with an error body where the key is missing, the path is unknown or the request cannot be answered."""
        try:
            check_key(request.headers.get("Authorization", ""), self._config.api_key)
            return await handler(request)
        except RefusedError as error:
            refused = error
        except web.HTTPException as error:
            kind = "NotFoundError" if error.status == HTTPStatus.NOT_FOUND else "BadRequestError"
            refused = RefusedError(error.status, error.reason, kind=kind)
        return _json_response(refused.body(), status=refused.status)

    async def list_models(self, _request: web.Request) -> web.StreamResponse:
        """`GET /v1/models`."""
        return _json_response(models_body([MODEL_NAME], max_model_len=self._config.max_model_len))

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/completions` and `POST /v1/chat/completions`."""
        config = self._config
        ask = parse_ask(await request.read(), is_chat=request.path == CHAT_PATH)
        check_ask(ask, models=[MODEL_NAME], max_model_len=config.max_model_len)
        prompt, sample = self._samples.find(ask.text)
        if fault := self._fault(prompt):
            return _failure(fault)
        latency_s = self._model.latency_s(prompt, mean_s=config.latency_s)
        answer = await self._answers.to(self._model.drawn(prompt, ask.seed), sample)
        body = answer_body(ask, answer, name=prompt)
        if ask.stream:
            return await self._stream(request, ask, body, latency_s)
        await anyio.sleep(latency_s)
        return _json_response(body)

    async def _stream(
        self, request: web.Request, ask: Ask, body: dict[str, Any], latency_s: float
    ) -> web.StreamResponse:
        """A stream takes as long as a whole reply, spread over its pieces."""
        pieces = stream_events(ask, body)
        pause_s = latency_s / (len(pieces) + 1)
        if not pause_s:
            pieces = (b"".join(pieces),)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await anyio.sleep(pause_s)
        await response.prepare(request)
        for piece in pieces:
            await anyio.sleep(pause_s)
            await response.write(piece)
        await response.write_eof()
        return response

    def _fault(self, prompt: str) -> Fault | None:
        """Decide whether another attempt at a prompt fails."""
        if not self._config.faults:
            return None
        n_attempts = self._n_attempts[prompt]
        self._n_attempts[prompt] += 1
        return choose_fault(self._config.faults, prompt, n_attempts, seed=self._config.seed)


def _failure(fault: Fault) -> web.Response:
    headers = {} if fault.retry_after_s is None else {"Retry-After": retry_after(fault.retry_after_s)}
    return _json_response(
        error_body(fault.status, f"scripted fault {fault.status}"), status=fault.status, headers=headers
    )


def _json_response(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=json_bytes(body), status=status, content_type="application/json", headers=headers)
