"""Bare loops: nothing but requests, one after another in each slot. What a client costs before it does anything else.

`python -m tests.benchmarks.loops LOOP URL TEST_DIR N_SAMPLES N_SLOTS`; it reads the prompts, sends them, decodes the
replies and keeps nothing.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from importlib import import_module
from itertools import cycle, islice
from pathlib import Path
from typing import Any

Send = Callable[[bytes], Awaitable[bytes]]

_HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer EMPTY"}


def prompts(test_dir: Path, n: int) -> list[str]:
    """The prompts of a test dir in file order, over again where there are fewer than n."""
    found = [json.loads(line)["prompt"] for path in sorted(test_dir.glob("*.jsonl")) for line in path.open("rb")]
    return list(islice(cycle(found), n))


async def send_all(texts: Iterator[str], send: Send) -> None:
    """One slot."""
    for text in texts:
        body = {"model": "stub", "prompt": text, "max_tokens": 32768, "temperature": 0}
        reply: dict[str, Any] = json.loads(await send(json.dumps(body, ensure_ascii=False).encode()))
        assert reply["choices"][0]["text"]


async def httpx_per_slot(url: str, texts: Iterator[str], n_slots: int) -> None:
    """A client for each slot."""
    import httpx  # noqa: PLC0415 - each loop imports its own library alone

    context = httpx.create_ssl_context()

    async def slot() -> None:
        async with httpx.AsyncClient(verify=context, timeout=None, headers=_HEADERS) as client:  # noqa: S113 - no limits

            async def send(body: bytes) -> bytes:
                return (await client.post(url, content=body)).content

            await send_all(texts, send)

    await asyncio.gather(*(slot() for _ in range(n_slots)))


async def httpx_shared(url: str, texts: Iterator[str], n_slots: int) -> None:
    """One client with one pool for all slots."""
    import httpx  # noqa: PLC0415 - as above

    limits = httpx.Limits(max_connections=n_slots, max_keepalive_connections=n_slots)
    async with httpx.AsyncClient(timeout=None, limits=limits, headers=_HEADERS) as client:  # noqa: S113 - as above

        async def send(body: bytes) -> bytes:
            return (await client.post(url, content=body)).content

        await asyncio.gather(*(send_all(texts, send) for _ in range(n_slots)))


async def httpx_aiohttp(url: str, texts: Iterator[str], n_slots: int) -> None:
    """An httpx client over aiohttp's connections."""
    import httpx  # noqa: PLC0415 - as above
    from httpx_aiohttp import AiohttpTransport  # noqa: PLC0415 - as above

    limits = httpx.Limits(max_connections=n_slots, max_keepalive_connections=n_slots)
    transport = AiohttpTransport(limits=limits)
    async with httpx.AsyncClient(transport=transport, timeout=None, headers=_HEADERS) as client:  # noqa: S113 - as above

        async def send(body: bytes) -> bytes:
            return (await client.post(url, content=body)).content

        await asyncio.gather(*(send_all(texts, send) for _ in range(n_slots)))


async def aiohttp_shared(url: str, texts: Iterator[str], n_slots: int) -> None:
    """One aiohttp session for all slots."""
    import aiohttp  # noqa: PLC0415 - as above

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=_HEADERS) as session:

        async def send(body: bytes) -> bytes:
            async with session.post(url, data=body) as response:
                return await response.read()

        await asyncio.gather(*(send_all(texts, send) for _ in range(n_slots)))


async def openai_sdk(url: str, texts: Iterator[str], n_slots: int) -> None:
    """The client of the openai package."""
    openai = import_module("openai")  # not among the packages of this project

    async with openai.AsyncOpenAI(base_url=url.removesuffix("/completions"), api_key="EMPTY", max_retries=0) as client:

        async def slot() -> None:
            for text in texts:
                reply = await client.completions.create(
                    model="stub", prompt=text, max_tokens=32768, temperature=0, timeout=6000
                )
                assert reply.choices[0].text

        await asyncio.gather(*(slot() for _ in range(n_slots)))


LOOPS = {
    "httpx, a client per slot": httpx_per_slot,
    "httpx, one pool": httpx_shared,
    "httpx over aiohttp": httpx_aiohttp,
    "aiohttp": aiohttp_shared,
}
PEER_LOOPS = {"openai": openai_sdk}
"""Loops of packages that only the comparison with peers installs."""


def loop_command(
    loop: str, url: str, test_dir: Path, *, n: int, n_slots: int, python: str = sys.executable
) -> list[str]:
    """The command line of a loop."""
    return [python, "-m", "tests.benchmarks.loops", loop, url, str(test_dir), str(n), str(n_slots)]


def main() -> None:
    """Run one loop."""
    loop, url, test_dir, n, n_slots = sys.argv[1:]
    texts = iter(prompts(Path(test_dir), int(n)))
    asyncio.run((LOOPS | PEER_LOOPS)[loop](f"{url}/completions", texts, int(n_slots)))


if __name__ == "__main__":
    main()
