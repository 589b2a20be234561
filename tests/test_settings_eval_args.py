"""eval_args.json: what is written, and how a run is continued from it."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootcamp_cli.errors import ResumeRefusedError, SettingsError
from bootcamp_cli.settings.model import Settings, parameters
from bootcamp_cli.settings.sources import Resolved, Sources, load_settings
from bootcamp_cli.settings.stored import settings_from_eval_args, to_eval_args
from bootcamp_cli.text import Secret

HERE = Path("/nowhere")


def resumed(
    data: Mapping[str, Any],
    *,
    flags: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path = HERE,
) -> Resolved:
    """The settings of a resumed run."""
    sources = Sources(flags=flags or {}, env=env or {}, cwd=cwd)
    return settings_from_eval_args(data, place="eval_args.json", sources=sources)


def stored(settings: Settings) -> dict[str, Any]:
    """What a run's eval_args.json holds, read back."""
    data: dict[str, Any] = json.loads(json.dumps(to_eval_args(settings)))
    return data


words = st.text(min_size=1).filter(str.isprintable)
durations = st.integers(min_value=1, max_value=10**9).map(lambda ms: ms / 1000)


@settings(deadline=None)
@given(
    st.builds(
        Settings,
        test_dir=st.just(Path("/data/test")),
        output_dir=st.just(Path("/out")),
        model_name=st.sampled_from(["r1_32B", "org/model"]),
        temperature=st.floats(min_value=0, max_value=5),
        timeout=durations,
        wait=durations,
        verify_timeout=durations,
        sys_prompt=st.none() | st.text() | words.map("@{}".format),
        stop=st.lists(st.text(min_size=1)).map(tuple),
        include=st.lists(st.text(min_size=1)).map(tuple),
        extra_body=st.none() | st.dictionaries(st.sampled_from(["a", "top_a"]), st.none() | st.integers() | st.text()),
        seed=st.none() | st.integers(),
        resume=st.booleans(),
        api_mode=st.sampled_from(["completion", "chat_completion"]),
    )
)
def test_settings_survive_eval_args(before: Settings) -> None:
    """Settings without secrets come out of eval_args.json as they went in, prompts that begin with @ included."""
    assert resumed(stored(before)).settings == before


def test_what_is_omitted_is_null_in_eval_args() -> None:
    """A value that no request carries is not claimed, under whatever key it would be sent; the run continues alike."""
    omit = ("temperature", "max_completion_tokens")
    data = stored(Settings(max_tokens_field="max_completion_tokens", omit=omit, seed=1))
    assert (data["temperature"], data["max_tokens"], data["seed"]) == (None, None, 1)
    assert (data["omit"], data["max_tokens_field"]) == (list(omit), "max_completion_tokens")
    assert stored(resumed(data).settings) == data


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("omit", ["stop", "messages"], "--omit: must not be messages"),
        ("max_tokens_field", "model", "--max-tokens-field: must not be model"),
    ],
)
def test_what_every_request_needs_cannot_be_left_out(name: str, value: Any, said: str) -> None:
    """A request without its model or prompt, or with two things under one key, is refused before it is sent."""
    with pytest.raises(SettingsError, match=said):
        load_settings(Sources(flags={name: value}, env={}, cwd=HERE))


def test_eval_args_use_the_guides_names_and_units() -> None:
    """eval_args.json has every parameter, timeout in milliseconds, other durations in seconds, paths absolute."""
    args = to_eval_args(Settings(test_dir=Path("data"), max_retrying_delay=0.5))
    assert list(args) == [parameter.name for parameter in parameters()]
    assert (args["timeout"], args["max_retrying_delay"], args["wait"]) == (6000000, 0.5, 3600)
    assert all(type(args[name]) is int for name in ("timeout", "wait", "verify_timeout"))
    assert args["test_dir"] == str(Path.cwd() / "data")
    assert args["template"] == "chatml"
    assert json.dumps(args)


def test_flags_override_what_does_not_change_answers() -> None:
    """Flags override everything about how requests are made; environment variables do not."""
    data = stored(Settings(model_name="m", max_retries=1))
    flags = {"url": "http://other/v1", "max_retries": "5", "timeout": "2m", "test_dir": "moved", "verify_memory": "512"}
    env = {
        "BOOTCAMP_MAX_TOKENS": "5",
        "BOOTCAMP_STREAM": "true",
        "BOOTCAMP_URL": "http://third",
        "BOOTCAMP_API_KEY": "k",
    }
    result = resumed(data, flags=flags, env=env)
    assert (result.settings.url, result.settings.max_retries, result.settings.timeout) == ("http://other/v1", 5, 120.0)
    assert result.settings.test_dir == HERE / "moved"
    assert (result.settings.max_tokens, result.settings.stream) == (32768, False)
    assert result.settings.api_key == Secret("EMPTY")
    assert (result.origins["url"].kind, result.origins["model_name"].kind) == ("flag", "run")
    assert not result.chosen("template")


def test_flags_that_change_answers_are_refused_with_both_values() -> None:
    """Every flag that would change the answers is refused at once, with the run's value and its own."""
    data = stored(Settings(model_name="m"))
    with pytest.raises(ResumeRefusedError) as caught:
        resumed(data, flags={"max_tokens": "16", "seed": "1", "temperature": "0", "skip_invalid": "true"})
    message = str(caught.value)
    assert "--max-tokens: the run has 32768, not 16" in message
    assert "--seed: the run has none, not 1" in message
    assert "--skip-invalid: the run has false, not true" in message
    assert "--temperature" not in message


@pytest.mark.parametrize("name", [parameter.name for parameter in parameters() if parameter.param.decides is None])
def test_what_may_be_overridden(name: str) -> None:
    """The parameters that a resumed run may change are those of the issue, and nothing that decides an answer."""
    assert name in {
        *(
            "url",
            "endpoints",
            "url_file",
            "api_key",
            "headers",
            "check_model_url",
            "wait",
            "poll_interval",
            "ca_bundle",
            "client_cert",
            "client_key",
            "insecure",
            "test_dir",
        ),
        *(
            "max_total_tokens",
            "max_concurrent_requests",
            "timeout",
            "max_retries",
            "max_retrying_delay",
            "stream",
            "idle_timeout",
        ),
        *("transport", "keep_going"),
        *("allow_unscored", "verify_timeout", "verify_memory", "verify_workers", "output_dir", "resume", "repeats"),
        *("executor", "ray_address"),
        "stop_after",
        "serve",
    }


WITH_SECRETS = Settings(
    url="https://u:p@host/v1",
    api_key=Secret("key"),
    headers={"X-One": "one", "X-Two": "two"},
    extra_body={"auth": {"token": "t"}, "n": 1},
)


def test_masked_values_that_are_not_given_are_named() -> None:
    """Every masked value without a source is named, in one message."""
    with pytest.raises(SettingsError) as caught:
        resumed(stored(WITH_SECRETS), env={"BOOTCAMP_HEADERS": '{"x-one": "one"}'})
    names = "url (its credentials), api_key, headers: X-Two, extra_body: auth.token"
    assert f"eval_args.json: only masks are stored for {names};" in str(caught.value)


def test_environment_and_toml_give_secrets() -> None:
    """Environment and TOML fill in the masks, and nothing but the masks."""
    env = {
        "BOOTCAMP_URL": "https://u:p@host/v1",
        "BOOTCAMP_API_KEY": "key",
        "BOOTCAMP_HEADERS": '{"X-ONE": "one", "X-Two": "two", "X-New": "3"}',
    }
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "bootcamp.toml").write_text('extra_body = {auth = {token = "t"}, n = 2}')
        result = resumed(stored(WITH_SECRETS), env=env, cwd=Path(directory))
    assert result.settings.url == WITH_SECRETS.url
    assert result.settings.api_key == WITH_SECRETS.api_key
    assert result.settings.headers == WITH_SECRETS.headers
    assert result.settings.extra_body == WITH_SECRETS.extra_body


def test_flags_give_secrets() -> None:
    """Flags replace masked values; an extra_body that differs in its secrets alone is no other answer."""
    flags = {
        "url": "http://new",
        "api_key": "new",
        "headers": "{}",
        "extra_body": '{"auth": {"token": "new"}, "n": 1}',
    }
    result = resumed(stored(WITH_SECRETS), flags=flags).settings
    assert (result.url, result.api_key.reveal(), result.headers) == ("http://new", "new", {})
    assert result.extra_body == {"auth": {"token": "new"}, "n": 1}


def test_credentials_of_another_server_are_not_used() -> None:
    """A URL of the environment gives credentials only for the run's own server."""
    with pytest.raises(SettingsError, match="its credentials"):
        resumed(stored(Settings(url="https://u:p@host/v1")), env={"BOOTCAMP_URL": "https://u:p@evil/v1"})


def test_openai_key_follows_the_runs_url() -> None:
    """OPENAI_API_KEY fills a masked key only where the resumed run talks to OpenAI or to OPENAI_BASE_URL."""
    env = {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": "http://gateway/v1/"}
    for url in ("https://api.openai.com/v1", "http://gateway/v1"):
        data = stored(Settings(url=url, api_key=Secret("sk-x")))
        assert resumed(data, env=env).settings.api_key.reveal() == "sk-x"
    with pytest.raises(SettingsError, match="only masks are stored for api_key"):
        resumed(stored(Settings(url="http://other", api_key=Secret("s"))), env=env)


def test_a_command_is_never_taken_from_the_file() -> None:
    """What starts a server is that of the current sources, and with a port of its own the URL is as well."""
    before = Settings(
        serve="srv --port {port} --api-key sk-1 -k sk-22", url="http://127.0.0.1:2/v1", api_key=Secret("sk-22")
    )
    data = stored(before)
    assert data["serve"] == "srv --port {port} --api-key *** -k ***"
    env = {"BOOTCAMP_API_KEY": "sk-22"}
    flags: dict[str, str]
    for flags in ({}, {"serve": "other {port}"}):
        result = resumed(data, flags=flags, env=env)
        assert (result.settings.serve, result.settings.url) == (flags.get("serve"), Settings().url)
        assert not result.chosen("url")
    assert resumed(data, env=env | {"BOOTCAMP_SERVE": "of {port}"}).settings.serve == "of {port}"
    fixed = stored(Settings(serve="srv --port 2", url="http://127.0.0.1:2/v1"))
    assert (resumed(fixed).settings.serve, resumed(fixed).settings.url) == (None, "http://127.0.0.1:2/v1")


def test_file_of_the_reference_script() -> None:
    """A file with some of the keys, unknown ones and nulls is read; what it lacks is the default."""
    data = {"url": "http://h/v1", "api_key": "k", "model_name": "m", "timeout": 6000, "sys_prompt": None, "other": [1]}
    result = resumed(data).settings
    assert (result.url, result.api_key.reveal(), result.timeout, result.max_tokens) == ("http://h/v1", "k", 6.0, 32768)
    assert result.output_dir == HERE / "output"


def test_wrong_value_in_the_file_is_named() -> None:
    """A wrong value in eval_args.json is named with file and key."""
    with pytest.raises(SettingsError, match=r"^eval_args\.json: max_tokens: must be at least 1, got 0"):
        resumed({"max_tokens": 0})
