"""Waiting for the model, the probe, and the limit of open files."""

import resource
from typing import Any

import anyio
import pytest

from bootcamp_cli.cli.process import raise_open_file_limit
from bootcamp_cli.errors import ServerUnavailableError, SettingsError
from bootcamp_cli.server.health import ModelEntry, probe, wait_for_model
from bootcamp_cli.server.transport import TransportName
from tests.raw_server import KEY, Reply, client_of, closing, completion, http, resetting, serving


def models(*names: Any) -> bytes:
    """A model list."""
    return http(200, {"data": [{"id": name, "max_model_len": 4096} for name in names]})


def waited(
    *replies: Reply, model_name: str | None = "m", wait_s: float = 30.0, said: list[str] | None = None
) -> ModelEntry:
    """The entry that is found at a server that sends these replies, asked without a pause."""

    async def scenario() -> ModelEntry:
        async with serving(*replies) as server, client_of(server.url) as client:
            return await wait_for_model(
                client,
                model_name,
                wait_s=wait_s,
                poll_interval_s=0.0,
                notify=([] if said is None else said).append,
            )

    return anyio.run(scenario)


def test_a_listed_model() -> None:
    """The entry of the model is handed on with its context length."""
    entry = waited(models("a", "m"))
    assert (entry.name, entry.max_model_len, entry.listed) == ("m", 4096, True)
    assert entry.raw == {"id": "m", "max_model_len": 4096}


def test_a_listed_key_is_not_kept() -> None:
    """A key in the entry of the model, or in the names of others, is masked."""
    said: list[str] = []
    listed = http(200, {"data": [{"id": "m", "owned_by": f"owner of {KEY}"}]})
    assert waited(models(f"a-{KEY}"), listed, said=said).raw == {"id": "m", "owned_by": "owner of ***"}
    assert "model m is not listed, only a-***;" in said[0]


def lost(reply: Reply, transport: TransportName) -> list[Reply]:
    """Replies that lose the connection of one look at the model list, which aiohttp by itself takes twice."""
    return [reply] * (2 if transport == "aiohttp" else 1)


def test_waiting_says_what_is_missing(transport: TransportName) -> None:
    """While server and model are on their way, each answer that is not the model is told."""
    said: list[str] = []
    gone = lost(resetting(), transport)
    loading = http(503, {"error": {"message": "loading"}})
    waited(*gone, loading, models(), models("a\x1b", *range(12)), models("a", "b"), models("m"), said=said)
    assert ["lost" in said[0], "HTTP 503: loading" in said[1], "no model is listed" in said[2]] == [True] * 3
    assert "model m is not listed, only a\\x1b;" in said[3]
    assert "only a, b;" in said[4]


def test_many_models_are_shortened() -> None:
    """Of a long list ten names are shown."""
    said: list[str] = []
    waited(models(*(f"m{n}" for n in range(300))), models("m"), said=said)
    assert "m9 and 290 more" in said[0]


def test_waiting_ends() -> None:
    """After the time to wait the error names address, what was missing and how long was waited."""
    with pytest.raises(ServerUnavailableError, match=r"http://127.0.0.1:\d+/v1: HTTP 503; waited 0\S* s") as caught:
        waited(http(503, ""), wait_s=0.0)
    assert caught.value.exit_code == 4
    assert str(caught.value).endswith("; check --url and that the server runs; --wait sets how long to wait")
    with pytest.raises(ServerUnavailableError, match="check --model-name; --wait"):
        waited(models("other"), wait_s=0.0)


def test_a_url_without_its_path() -> None:
    """Where a server has no model list at a bare address, the warning says that most base URLs have a path."""
    said: list[str] = []

    async def scenario() -> None:
        async with serving(http(404, {})) as server, client_of(server.url.removesuffix("/v1")) as client:
            await wait_for_model(client, "m", wait_s=0.0, poll_interval_s=0.0, notify=said.append)

    anyio.run(scenario)
    assert said[0].endswith("cannot tell whether model m is there; most base URLs end in /v1")


@pytest.mark.parametrize(
    ("reply", "hint"),
    [
        (http(401, KEY), "check the key (--api-key or BOOTCAMP_API_KEY)"),
        (http(403, KEY), "--no-check-model-url"),
        (http(302, "", location="http://elsewhere/"), "give the URL to which it redirects with --url"),
    ],
)
def test_what_waiting_does_not_mend(reply: bytes, hint: str) -> None:
    """A refused key and a redirect end the waiting at once, without showing the key, and with what to do."""
    with pytest.raises(ServerUnavailableError) as caught:
        waited(reply)
    assert KEY not in str(caught.value)
    assert hint in str(caught.value)


@pytest.mark.parametrize("status", [404, 405])
def test_a_server_without_a_model_list(status: int) -> None:
    """A server that has no /models is a warning where the model is named, and an error where not."""
    said: list[str] = []
    entry = waited(http(status, {}), said=said)
    assert (entry.name, entry.listed, entry.max_model_len) == ("m", False, None)
    assert said[0].startswith("warning: ")
    with pytest.raises(SettingsError):
        waited(http(status, {}), model_name=None)


def test_the_only_model_is_taken_aloud() -> None:
    """Without a model name the only listed one is taken, after waiting for it, and said."""
    said: list[str] = []
    assert waited(models(), models("the-one"), model_name=None, said=said).name == "the-one"
    assert "the-one" in said[-1]


def test_several_models_need_a_choice() -> None:
    """Without a model name several listed ones are an error of the setting that names them."""
    with pytest.raises(SettingsError, match="a, b; choose with --model-name"):
        waited(models("a", "b"), model_name=None)


@pytest.mark.parametrize("length", [None, "4096", 0, -1, True, 4096.0])
def test_a_context_length_that_is_none(length: Any) -> None:
    """Only a positive integer is taken for the context length."""
    assert waited(http(200, {"data": [{"id": "m", "max_model_len": length}]})).max_model_len is None


@pytest.mark.parametrize("reply", [http(200, {"data": 5}), http(200, "<html>"), closing(b"")])
def test_a_broken_model_list_is_waited_out(reply: Reply, transport: TransportName) -> None:
    """A list that is none counts as not ready."""
    said: list[str] = []
    waited(*([reply] if isinstance(reply, bytes) else lost(reply, transport)), models("m"), said=said)
    assert len(said) == 1


def test_probe() -> None:
    """The probe asks for few tokens and shows answer and latency."""

    async def scenario() -> None:
        async with serving(http(200, completion("hi"))) as server, client_of(server.url) as client:
            result = await probe(client, "say hi")
        assert result.answer.text == "hi"
        assert result.latency_s >= 0
        assert b'"max_tokens":16' in server.bodies[0]

    anyio.run(scenario)


def test_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft limit is raised to what is needed, and a hard limit below it is a warning with both numbers."""
    limits = [(256, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))
    assert raise_open_file_limit(200) is None
    assert raise_open_file_limit(1000) is None
    warning = raise_open_file_limit(5000)
    assert limits == [(256, 4096), (1000, 4096), (4096, 4096)]
    assert warning is not None
    assert "only 4096 files can be open at once, 5000 are needed" in warning


def test_open_files_that_the_system_does_not_grant(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that refuses the new limit leaves the old one, with a warning."""

    def refuse(_: int, __: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert "only 256 files" in str(raise_open_file_limit(1000))
