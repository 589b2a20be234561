"""Servers in this process, the requests that tests make of them, and how streams are read."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from bootcamp_cli.demo import server as demo
from bootcamp_cli.demo.config import DemoConfig
from tests.fault_server import server as fault
from tests.fault_server.config import FaultServerConfig


@asynccontextmanager
async def demo_server(**config: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a demo server."""
    async with demo.serve(DemoConfig(**config)) as url, _client(url) as client:
        yield client


@asynccontextmanager
async def fault_server(**config: Any) -> AsyncIterator[tuple[fault.FaultServer, httpx.AsyncClient]]:
    """A fault server and a client of it."""
    async with fault.serve(FaultServerConfig(**config)) as server, _client(server.url) as client:
        yield server, client


def _client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=10)


def completion(prompt: str = "hello", **more: Any) -> dict[str, Any]:
    """The body of a completion request."""
    return {"model": "demo", "prompt": prompt, "max_tokens": 4096, **more}


def chat(prompt: str = "hello", **more: Any) -> dict[str, Any]:
    """The body of a chat request."""
    messages = [{"role": "system", "content": "be right"}, {"role": "user", "content": prompt}]
    return {"model": "demo", "messages": messages, **more}


def first_prompt(test_dir: Path, data_source: str) -> str:
    """The first prompt of a generated test file."""
    with (test_dir / f"{data_source.lower()}.jsonl").open(encoding="utf-8") as lines:
        return str(json.loads(next(lines))["prompt"])


def events(text: str) -> list[dict[str, Any]]:
    """The data of a stream's events, which must end with the end mark."""
    *data, end = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert end == "[DONE]"
    return [json.loads(event) for event in data]
