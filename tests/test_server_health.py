"""Waiting for the model, the probe, and the limit of open files."""

import resource
from typing import Any

import anyio
import pytest

from bootcamp_cli.cli.process import raise_open_file_limit
from bootcamp_cli.errors import ServerUnavailableError, SettingsError
from bootcamp_cli.server.health import ModelEntry, probe, wait_for_model
from bootcamp_cli.server.transport import TransportName
from tests.raw_server import KEY, Reply, client_of, closing, completion, http, path_of, resetting, serving


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
    assert (entry.name, entry.context_length, entry.listed) == ("m", 4096, True)
    assert entry.raw == {"id": "m", "max_model_len": 4096}


def test_a_listed_key_is_not_kept() -> None:
    """A key in the entry of the model, or in the names of others, is masked."""
    said: list[str] = []
    listed = http(200, {"data": [{"id": "m", "owned_by": f"owner of {KEY}"}]})
    assert waited(models(f"a-{KEY}"), listed, said=said).raw == {"id": "m", "owned_by": "owner of ***"}
    assert "model m is not listed, only a-***;" in said[0]


def lost(reply: Reply, transport: TransportName) -> list[Reply]:
    """Replies that lose the connection of one look at the model list, which aiohttp by itself takes twice.

    One more is for the look at what the server speaks.
    """
    return [reply] * (3 if transport == "aiohttp" else 2)


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
    with pytest.raises(
        ServerUnavailableError, match="check --model-name; --no-check-model-url goes on without the list; --wait"
    ):
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
        (http(403, KEY), "see `bootcamp check-model --probe`"),
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
    assert (entry.name, entry.listed, entry.context_length) == ("m", False, None)
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
    assert waited(http(200, {"data": [{"id": "m", "max_model_len": length}]})).context_length is None


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


def test_the_pages_of_a_list_are_followed() -> None:
    """Pages are followed by the last name, in Anthropic's or OpenAI's words, and the URL's own query stays."""

    async def scenario() -> None:
        for more, key in (({}, "after_id"), ({"object": "list"}, "after")):
            first = http(200, {"data": [{"id": "a"}], "has_more": True, "last_id": "a&b"} | more)
            last = http(200, {"data": [{"id": "m"}], "has_more": False, "last_id": "m"} | more)
            async with serving(first, last) as server, client_of(f"{server.url}?version=2") as client:
                assert [entry["id"] for entry in await client.models()] == ["a", "m"]
            asked = [path_of(head) for head in server.heads]
            assert asked == ["/v1/models?version=2", f"/v1/models?{key}=a%26b&version=2"]

    anyio.run(scenario)


def test_pages_without_an_end() -> None:
    """A list that always has more is not followed for ever."""

    async def scenario() -> None:
        page = http(200, {"data": [{"id": "a"}], "has_more": True, "last_id": "a"})
        async with serving(page) as server, client_of(server.url) as client:
            assert len(await client.models()) == len(server.heads) == 100

    anyio.run(scenario)


def test_a_bare_list() -> None:
    """A list of models that is no object is read as one."""
    assert waited(http(200, b'[{"id": "m", "object": "model"}]')).listed


@pytest.mark.parametrize(
    ("wanted", "listed"),
    [
        ("gemini-2.0-flash", "models/gemini-2.0-flash"),
        ("llama3", "llama3:latest"),
        ("gpt-4o", "openai/gpt-4o"),
        ("openai/gpt-4o", "gpt-4o"),
        ("Qwen3-8B", "qwen3-8b"),
        ("qwen/Qwen3-8B", "/data/models/Qwen3-8B/"),
        ("Qwen/Qwen3-8B:adapter", "Qwen/Qwen3-8B"),
    ],
)
def test_a_near_match_is_told_and_not_used(wanted: str, listed: str) -> None:
    """A model under another form of its name ends the waiting at once, with both ways out."""
    with pytest.raises(ServerUnavailableError) as caught:
        waited(models("other", listed), model_name=wanted)
    assert f"model {wanted} is not listed, but {listed} is" in caught.value.message
    assert "--model-name" in str(caught.value.hint)
    assert "--no-check-model-url" in str(caught.value.hint)


@pytest.mark.parametrize(("wanted", "listed"), [("m", "m1"), ("qwen3:4b", "qwen3:8b"), ("m", "/"), ("a/m", "m/a")])
def test_another_model_is_not_near(wanted: str, listed: str) -> None:
    """A model of another name is waited for, and it is said how to go on without the list."""
    said: list[str] = []
    waited(models(listed), models(wanted), model_name=wanted, said=said)
    assert said[0].endswith("more (--no-check-model-url goes on without the list)")


def test_a_pattern_covers_the_model() -> None:
    """A gateway's pattern stands for the models that it covers."""
    assert waited(models("openai/*", "anthropic/*"), model_name="openai/gpt-4o").listed


@pytest.mark.parametrize("names", [("openai/*", "anthropic/*"), ("unknown",), ("unknown", "unknown")])
def test_a_list_of_stand_ins(names: tuple[str, ...]) -> None:
    """A list that names no model is like none: a warning where the model is named, and an error where not."""
    said: list[str] = []
    assert not waited(models(*names), said=said).listed
    assert said[0].startswith("warning: ")
    with pytest.raises(SettingsError, match="give --model-name"):
        waited(models(*names), model_name=None)


def with_status(**status: Any) -> bytes:
    """The list of llama.cpp's router."""
    return http(200, {"data": [{"id": "m", "status": status}]})


def test_a_model_that_is_not_loaded() -> None:
    """A model that the server loads on request is taken, one that is loading waited for, one that failed an error."""
    said: list[str] = []
    assert waited(with_status(value="loading"), with_status(value="unloaded"), said=said).listed
    assert "model m is loading" in said[0]
    assert "is not loaded: the first request will take longer" in said[1]
    with pytest.raises(ServerUnavailableError, match=r"failed to load model m \(exit code 1\)"):
        waited(with_status(value="unloaded", failed=True, exit_code=1))


@pytest.mark.parametrize("status", [400, 403, 410])
def test_a_refused_list_is_not_a_refused_key(status: int) -> None:
    """Where the list is refused, a short completion tells: answered, the model is taken unlisted."""
    said: list[str] = []
    refusal = http(status, {"error": {"message": "Missing scopes: api.model.read."}})
    assert not waited(refusal, http(200, completion("4")), said=said).listed
    assert "Missing scopes: api.model.read.; a short completion was answered" in said[-1]
    waited(refusal, http(503, ""), models("m"), said=said)
    assert f"is not ready: HTTP {status}: Missing scopes" in said[-1]


@pytest.mark.parametrize("model_name", ["m", None])
def test_a_wrong_key_as_400(model_name: str | None) -> None:
    """A refusal of list and completion alike ends the waiting at once, in the server's words."""
    with pytest.raises(ServerUnavailableError, match="HTTP 400: API key not valid"):
        waited(http(400, {"error": {"message": "API key not valid."}}), model_name=model_name)


@pytest.mark.parametrize("status", [407, 505])
def test_what_no_completion_is_asked_for(status: int) -> None:
    """A proxy's refusal of the password and of the protocol's version end the waiting at once."""
    with pytest.raises(ServerUnavailableError, match=f"HTTP {status}"):
        waited(http(status, ""))


@pytest.mark.parametrize(
    ("entry", "length"),
    [
        ({"meta": {"n_ctx": 8192, "n_ctx_train": 40960}}, 8192),
        ({"max_input_tokens": 200000}, 200000),
        ({"max_model_len": 4096, "meta": {"n_ctx": 1}}, 4096),
        ({"max_model_len": None, "meta": None, "max_input_tokens": 5}, 5),
        ({"meta": {"n_ctx": "8192"}}, None),
    ],
)
def test_context_lengths(entry: dict[str, Any], length: int | None) -> None:
    """The context length is read as vLLM, llama.cpp and gateways list it."""
    assert waited(http(200, {"data": [{"id": "m"} | entry]})).context_length == length


def frame(kind: int) -> bytes:
    """A frame of HTTP/2 on the connection itself, as a server begins with."""
    return bytes([0, 0, 6, kind, 0]) + bytes(4) + bytes(6)


@pytest.mark.parametrize("kind", [4, 7])
def test_http2_only(kind: int, transport: TransportName) -> None:
    """A server that speaks HTTP/2 alone is told at once."""
    assert transport
    with pytest.raises(ServerUnavailableError, match="speaks HTTP/2 only; put a gateway in between"):
        waited(closing(frame(kind)))
