"""The loopback page over run directories: who may ask, what for, and nothing else.

Outputs of models are hostile text, and any web page in the same browser can send requests to a loopback address. So the
server listens on 127.0.0.1 only; answers to the names of this machine only, at any port, since SSH forwards another;
wants a token, which the first address carries and a cookie keeps, that other sites cannot make the browser send; takes
GET and HEAD only; and knows its paths from a table: nothing that a client sends becomes the name of a file.
"""

import hmac
import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
from aiohttp import web
from anyio import to_thread

from bootcamp_cli.analysis.audit import Cause
from bootcamp_cli.analysis.samples import Filter, PairKind, RunSamples, Status
from bootcamp_cli.errors import BootcampError, UsageError, ungrouped
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.text import visible
from bootcamp_cli.types import MAX_ROW, SampleKey
from bootcamp_cli.viewer.browsing import MAX_PAGE, Browsing, referenced_file

HOST = "127.0.0.1"
_HOST_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every reply carries."""

_PAGE = {
    "/": ("index.html", "text/html"),
    "/viewer.css": ("viewer.css", "text/css"),
    "/viewer.js": ("viewer.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

_REFUSED = "This page needs the address that `bootcamp view` printed, with its token.\n"


_SHUTDOWN_S = 2.0
"""How long an answer that is being made is waited for at the end."""

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())  # what is no HTTP is nobody's news


@asynccontextmanager
async def serve(
    runs: Sequence[RunDir], settings: Settings, *, port: int = 0, cache: Path | None = None
) -> AsyncIterator[str]:
    """Show one or two runs at the address that this yields, until the block ends; port 0 takes any free one.

    `settings` says by which verifiers the causes of wrong answers are found, `cache` where indexes are kept.

    Raises:
        UsageError: the port is taken.
    """
    token = secrets.token_urlsafe(32)
    browsing = Browsing(await to_thread.run_sync(lambda: [RunSamples(run, cache) for run in runs]), settings)
    page = await to_thread.run_sync(_read_page)
    handler = _Handler(browsing, token, page)
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", handler.handle)
    runner = web.AppRunner(app, access_log=None, logger=_log, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(
                f"--port: cannot listen at {HOST}:{port}: {error.strerror}",
                hint="choose another, or 0 for any free one",
            ) from error
        found = runner.addresses[0][1]
        with ungrouped():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(browsing.run)
                yield f"http://{HOST}:{found}/?token={token}"
                tasks.cancel_scope.cancel()
    finally:
        await runner.cleanup()


def _read_page() -> dict[str, tuple[bytes, str]]:
    folder = files("bootcamp_cli.viewer") / "page"
    return {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in _PAGE.items()}


class _Handler:
    """Answers requests."""

    def __init__(self, browsing: Browsing, token: str, page: dict[str, tuple[bytes, str]]) -> None:
        self._browsing = browsing
        self._token = token
        self._page = page
        # a name of its own: cookies do not know ports, and another viewer may run
        self._cookie = f"bootcamp_view_{sha256(token.encode()).hexdigest()[:12]}"
        self._paths: dict[str, Callable[[web.Request], Awaitable[web.Response]]] = {
            "/api/state": self._state,
            "/api/samples": self._samples,
            "/api/sample": self._sample,
            "/api/record": self._record,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Check who asks and what for, then answer."""
        response = await self._answered(request)
        response.headers.update(HEADERS)
        return response

    async def _answered(self, request: web.Request) -> web.Response:
        path = request.rel_url.path
        has_token = path == "/" and self._is_token(request.query.get("token", ""))
        if (refused := self._refusal(request, has_token=has_token)) is not None:
            return refused
        if path in self._page:
            content, kind = self._page[path]
            response = web.Response(body=content, content_type=kind, charset="utf-8")
            if has_token:
                response.set_cookie(self._cookie, self._token, httponly=True, samesite="Strict", path="/")
            return response
        answer = self._paths.get(path)
        try:
            return (
                web.Response(status=404, text="There is no such page.\n") if answer is None else await answer(request)
            )
        except _BadRequestError as error:
            return web.Response(status=400, text=f"{error}\n")
        except BootcampError as error:
            return _json({"error": visible(str(error))}, status=409)

    def _refusal(self, request: web.Request, *, has_token: bool) -> web.Response | None:
        """Why a request gets no answer; None where it may have one."""
        if not _is_own_host(request.headers.getall("Host", [])):
            return web.Response(status=403, text="This page is for this machine only.\n")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="Only GET.\n", headers={"Allow": "GET, HEAD"})
        if not has_token and not self._is_token(request.cookies.get(self._cookie, "")):
            return web.Response(status=403, text=_REFUSED)
        return None

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())

    async def _state(self, _: web.Request) -> web.Response:
        return _json(await to_thread.run_sync(self._browsing.state))

    async def _samples(self, request: web.Request) -> web.Response:
        run, query = self._run(request), request.query
        wanted = _filter(request)
        text = query.get("q", "")[:1000]
        start, n = _number(query.get("start", "0")), _number(query.get("n", "100"))
        at = _key(request) if "sample_file" in query else None
        page = await to_thread.run_sync(
            lambda: self._browsing.page(run, wanted, text, start=start, n=min(max(n, 1), MAX_PAGE), at=at)
        )
        return _json(page)

    async def _sample(self, request: web.Request) -> web.Response:
        run, key, whole = self._run(request), _key(request), request.query.get("whole") == "1"
        found = await to_thread.run_sync(lambda: _encoded(self._browsing.sample(run, key, whole=whole)))
        return web.Response(body=found, content_type="application/json") if found else _no_sample()

    async def _record(self, request: web.Request) -> web.Response:
        run, key = self._run(request), _key(request)
        found = await to_thread.run_sync(lambda: self._browsing.record(run, key))
        return web.Response(body=found, content_type="application/json") if found else _no_sample()

    def _run(self, request: web.Request) -> int:
        run = _number(request.query.get("run", "0"))
        if run >= len(self._browsing.runs):
            raise _BadRequestError(f"run: there is no run {run}")
        return run


class _BadRequestError(Exception):
    """A query that the page does not send."""


def _is_own_host(hosts: Sequence[str]) -> bool:
    """Whether a request is meant for this machine: not one that a page made by a name that leads here."""
    if len(hosts) != 1:
        return False
    try:
        parts = urlsplit(f"//{hosts[0]}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        return False
    return parts.hostname in _HOST_NAMES and parts.netloc == hosts[0] and "@" not in hosts[0]


def _filter(request: web.Request) -> Filter:
    query = request.query
    try:
        pairs = frozenset(map(PairKind, query.getall("pairs", [])))
        return Filter(
            status=Status(query["status"]) if query.get("status") else None,
            file=referenced_file(query["file"]) if query.get("file") else None,
            family=query.get("family") or None,
            cause=Cause(query["cause"]) if query.get("cause") else None,
            disagree=query.get("disagree") == "1",
            pairs=pairs or None,
        )
    except ValueError as error:
        raise _BadRequestError(str(error)) from error


def _key(request: web.Request) -> SampleKey:
    query = request.query
    file = referenced_file(query.get("sample_file", ""))
    return SampleKey(file, _number(query.get("sample_row", "")), _number(query.get("sample_repeat", "0")))


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        raise _BadRequestError(f"not a number from 0 on: {text[:20]!r}")
    return min(int(text), MAX_ROW)


def _no_sample() -> web.Response:
    return _json({"error": "there is no such sample"}, status=404)


def _encoded(value: Any) -> bytes | None:
    """JSON that any text can stand in, lone surrogates included."""
    return None if value is None else json.dumps(value).encode()


def _json(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=_encoded(value), status=status, content_type="application/json")
