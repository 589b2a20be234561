"""Where settings come from and which source wins."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.settings.convert import shown_value
from bootcamp_cli.settings.model import parameters, parameters_by_name
from bootcamp_cli.settings.sources import Resolved, Sources, load_settings, user_config_file

SAMPLES = {
    "url": ("http://h:1/v1", '"http://h:1/v1"'),
    "api_key": ("key", '"key"'),
    "headers": ('{"X-A": "b"}', '{"X-A" = "b"}'),
    "endpoints": ('[{"url": "http://h:1/v1"}]', '[{url = "http://h:1/v1"}]'),
    "api_mode": ("chat_completion", '"chat_completion"'),
    "bootcamps": ("builtin", '"builtin"'),
    "transport": ("httpx", '"httpx"'),
    "stop": ("END", '["END"]'),
    "include": ("a*", '["a*"]'),
    "exclude": ("b*", '["b*"]'),
    "extra_body": ('{"n": 1}', "{n = 1}"),
}
"""A value that is not the default as flag or variable, and the same in TOML."""

BY_KIND = {
    "command": ("server --port {port} -x 'a b'", "\"server --port {port} -x 'a b'\""),
    "text": ("other", '"other"'),
    "prompt": ("other", '"other"'),
    "path": ("/some/dir", '"/some/dir"'),
    "data": ("/some/dir", '"/some/dir"'),
    "integer": ("77", "77"),
    "number": ("0.5", "0.5"),
    "duration": ("7m", '"7m"'),
    "words": ("other", '["other"]'),
    "shard": ("2/3", '"2/3"'),
}


def load(
    cwd: Path,
    *,
    flags: Mapping[str, str | Sequence[str]] | None = None,
    env: Mapping[str, str] | None = None,
    found: str | None = None,
    asked: str | None = None,
    user: str | None = None,
    profile: str | None = None,
) -> Resolved:
    """Settings from the given texts, the files being written below `cwd`."""
    if found is not None:
        (cwd / "bootcamp.toml").write_text(found, encoding="utf-8")
    if asked is not None:
        (cwd / "asked.toml").write_text(asked, encoding="utf-8")
    if user is not None:
        (cwd / "user").mkdir(exist_ok=True)
        (cwd / "user" / "config.toml").write_text(user, encoding="utf-8")
    return load_settings(
        Sources(
            flags=flags or {},
            env=env or {},
            cwd=cwd,
            config=None if asked is None else Path("asked.toml"),
            profile=profile,
            user_file=cwd / "user" / "config.toml",
        )
    )


def sample(name: str) -> tuple[str, str]:
    """A value of the parameter that is not its default: as text and in TOML."""
    parameter = next(p for p in parameters() if p.name == name)
    if parameter.param.kind == "switch":
        word = "false" if parameter.default else "true"
        return word, word
    if parameter.choices:
        choice = next(choice for choice in parameter.choices if choice != parameter.default)
        return choice, f'"{choice}"'
    return SAMPLES.get(name) or BY_KIND[parameter.param.kind]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(["flag", "env", "profile", "file", "user profile", "user file"])))
def test_the_strongest_source_wins(sources: set[str]) -> None:
    """Whatever set of sources gives a parameter, the value is that of the strongest one and the origin says so."""
    order = ["flag", "env", "profile", "file", "user profile", "user file"]
    values = {name: 100 + index for index, name in enumerate(order)}

    def toml(top: str, profile: str) -> str:
        line = f"max_tokens = {values[top]}\n" if top in sources else ""
        inner = f"max_tokens = {values[profile]}\n" if profile in sources else ""
        return f"{line}[profile.fast]\n{inner}"

    with tempfile.TemporaryDirectory() as directory:
        resolved = load(
            Path(directory),
            flags={"max_tokens": str(values["flag"])} if "flag" in sources else {},
            env={"BOOTCAMP_MAX_TOKENS": str(values["env"])} if "env" in sources else {},
            found=toml("file", "profile"),
            user=toml("user file", "user profile"),
            profile="fast",
        )
    winner = next((name for name in order if name in sources), None)
    assert resolved.settings.max_tokens == (values[winner] if winner else 32768)
    assert resolved.chosen("max_tokens") is (winner is not None)
    kinds = {"flag": "flag", "env": "environment", "profile": "file", "file": "file", None: "default"}
    assert resolved.origins["max_tokens"].kind == kinds.get(winner, "user file")


@pytest.mark.parametrize("name", [parameter.name for parameter in parameters()])
def test_every_parameter_has_flag_variable_and_key(tmp_path: Path, name: str) -> None:
    """Flag, variable and TOML key of every parameter are spelled alike and give the same value, not the default."""
    text, toml = sample(name)
    parameter = next(p for p in parameters() if p.name == name)
    assert parameter.flag.removeprefix("--").replace("-", "_") == parameter.guide_flag.removeprefix("--") == name
    results = [
        load(tmp_path, flags={name: text}),
        load(tmp_path, env={f"BOOTCAMP_{name.upper()}": text}),
        load(tmp_path, asked=f"{name} = {toml}"),
    ]
    values = [getattr(resolved.settings, name) for resolved in results]
    assert values[0] == values[1] == values[2] != parameter.default
    assert [resolved.origins[name].text for resolved in results] == [
        parameter.flag,
        parameter.env,
        f"asked.toml: {name}",
    ]


def test_asked_for_file_replaces_the_found_one(tmp_path: Path) -> None:
    """With --config, ./bootcamp.toml is not read at all."""
    resolved = load(tmp_path, found="max_tokens = [", asked="seed = 1")
    assert (resolved.settings.max_tokens, resolved.settings.seed) == (32768, 1)


def test_variables_name_config_and_profile(tmp_path: Path) -> None:
    """BOOTCAMP_CONFIG and BOOTCAMP_PROFILE stand in for --config and --profile."""
    (tmp_path / "other.toml").write_text("[profile.p]\nseed = 5\n")
    resolved = load(tmp_path, env={"BOOTCAMP_CONFIG": "other.toml", "BOOTCAMP_PROFILE": "p"})
    assert resolved.settings.seed == 5
    assert resolved.origins["seed"].text == "other.toml: profile.p.seed"
    assert resolved.warnings == ()


def test_empty_variable_is_not_set(tmp_path: Path) -> None:
    """An empty variable leaves the value to the weaker sources."""
    assert load(tmp_path, env={"BOOTCAMP_SEED": ""}, found="seed = 3").settings.seed == 3


def test_flag_gets_past_a_wrong_value_below(tmp_path: Path) -> None:
    """Only the value that wins is converted."""
    assert load(tmp_path, flags={"seed": "1"}, found='seed = "x"').settings.seed == 1


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("max_tokens = 0", "./bootcamp.toml: max_tokens: must be at least 1, got 0"),
        ("max-tokens = 1", "./bootcamp.toml: max-tokens: unknown key; did you mean max_tokens?"),
        ("temprature = 1", "./bootcamp.toml: temprature: unknown key; did you mean temperature?"),
        ("[profiles.x]\nseed = 1", "./bootcamp.toml: profiles: unknown key; did you mean profile?"),
        ("[profile.a]\nsede = 1", "./bootcamp.toml: profile.a.sede: unknown key; did you mean seed?"),
        ("seed = 1\nurl = ", "./bootcamp.toml: line 2: invalid value"),
        ("seed = 1\nseed = 2\nlimit = 3", "./bootcamp.toml: line 2, column 9: cannot overwrite a value"),
        ("profile = 1", "./bootcamp.toml: profile: must be tables; write [profile.NAME]"),
        ("templates.r1 = 1", "./bootcamp.toml: templates.r1: must be a table; write [templates.NAME]"),
    ],
)
def test_wrong_toml_names_file_and_key(tmp_path: Path, found: str, message: str) -> None:
    """What is wrong in a TOML file is named with file, line or key, and the key that was meant."""
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, found=found)
    assert str(caught.value) == message


def test_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    """Invalid UTF-8 in a settings file is named with its line."""
    (tmp_path / "bootcamp.toml").write_bytes(b"seed = 1\n# \xff\n")
    with pytest.raises(SettingsError, match=r"^\./bootcamp\.toml: line 2: is not UTF-8"):
        load(tmp_path)


def test_missing_config_is_an_error(tmp_path: Path) -> None:
    """A file given by --config must exist."""
    with pytest.raises(SettingsError, match=r"no\.toml: cannot be read: No such file"):
        load_settings(Sources(flags={}, env={}, cwd=tmp_path, config=Path("no.toml")))


@pytest.mark.parametrize("line", ['bootcamps_path = "x"', "insecure = true", '[profile.p]\nbootcamps_path = "x"'])
def test_found_file_may_not_load_code_or_drop_tls(tmp_path: Path, line: str) -> None:
    """bootcamps_path and insecure are refused in a file that was merely found, even if a flag overrides them."""
    with pytest.raises(
        SettingsError, match=r"may not be set by a file that was merely found; name the file with --config"
    ):
        load(tmp_path, found=line, flags={"bootcamps_path": "y", "insecure": "false"})
    load(tmp_path, asked=line, flags={})
    (tmp_path / "bootcamp.toml").unlink()
    load(tmp_path, user=line)


def test_found_file_reads_prompts_of_its_directory_only(tmp_path: Path) -> None:
    """@FILE of a found file stays inside its directory after resolving symlinks; --config lifts that."""
    project = tmp_path / "project"
    project.mkdir()
    secret = tmp_path / "secret.txt"
    secret.write_text("outside")
    (project / "in.txt").write_text("inside\n")
    (project / "link.txt").symlink_to(secret)
    assert load(project, found='sys_prompt = "@in.txt"').settings.sys_prompt == "inside"
    for name in ("../secret.txt", "link.txt", str(secret)):
        with pytest.raises(SettingsError, match="must name a file inside"):
            load(project, found=f'sys_prompt = "@{name}"')
        assert load(project, asked=f'sys_prompt = "@{name}"').settings.sys_prompt == "outside"


def test_relative_paths_start_at_their_source(tmp_path: Path) -> None:
    """Paths of a file start at its directory, those of flags, variables and defaults at the working directory."""
    resolved = load(
        tmp_path,
        flags={"ca_bundle": "ca.pem"},
        env={"HOME": "/home/me", "BOOTCAMP_BOOTCAMPS_PATH": "~/upstream"},
        user='test_dir = "data"',
    )
    assert resolved.settings.test_dir == tmp_path / "user" / "data"
    assert resolved.settings.ca_bundle == tmp_path / "ca.pem"
    assert resolved.settings.bootcamps_path == Path("/home/me/upstream")
    assert resolved.settings.output_dir == tmp_path / "output"


def test_unknown_profile_lists_the_known(tmp_path: Path) -> None:
    """A profile that neither file has is an error that lists those of both."""
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, found="[profile.fast]", user="[profile.slow]", profile="fats")
    assert str(caught.value) == "--profile: unknown profile 'fats', known are fast, slow; did you mean fast?"


def test_unknown_variable_is_a_warning(tmp_path: Path) -> None:
    """A mistyped BOOTCAMP_ variable is warned about with what was meant, and its value is not shown."""
    resolved = load(tmp_path, env={"BOOTCAMP_MAX_TOKEN": "SECRETMARK"})
    assert resolved.warnings == ("BOOTCAMP_MAX_TOKEN: no such setting; did you mean BOOTCAMP_MAX_TOKENS?",)


def test_unknown_flag_is_an_error(tmp_path: Path) -> None:
    """A flag that is no parameter is an error."""
    with pytest.raises(SettingsError, match="--max_token: unknown parameter; did you mean max_tokens"):
        load(tmp_path, flags={"max_token": "1"})


def test_openai_base_url_counts_just_above_the_default(tmp_path: Path) -> None:
    """OPENAI_BASE_URL beats the default and nothing else."""
    env = {"OPENAI_BASE_URL": "http://gateway/v1/"}
    resolved = load(tmp_path, env=env)
    assert (resolved.settings.url, resolved.origins["url"].text) == ("http://gateway/v1", "OPENAI_BASE_URL")
    assert load(tmp_path, env=env, user='url = "http://mine"').settings.url == "http://mine"


@pytest.mark.parametrize(
    ("env", "flags", "used"),
    [
        ({}, {}, False),
        ({}, {"url": "https://api.openai.com/v1"}, True),
        ({}, {"url": "http://api.openai.com/v1"}, False),
        ({}, {"url": "https://api.openai.com.evil.org/v1"}, False),
        ({}, {"url": "https://api.openai.com@evil.org/v1"}, False),
        ({"OPENAI_BASE_URL": "http://gateway"}, {}, True),
        ({"OPENAI_BASE_URL": "http://gateway"}, {"url": "http://other"}, False),
        ({"BOOTCAMP_API_KEY": "mine"}, {"url": "https://api.openai.com/v1"}, False),
    ],
)
def test_openai_key_goes_to_openai_only(tmp_path: Path, env: dict[str, str], flags: dict[str, str], used: bool) -> None:  # noqa: FBT001 - a table
    """OPENAI_API_KEY is used only for OpenAI's URL or one from OPENAI_BASE_URL, and never over a key of our own."""
    resolved = load(tmp_path, env=env | {"OPENAI_API_KEY": "sk-openai"}, flags=flags)
    assert (resolved.settings.api_key.reveal() == "sk-openai") is used
    assert (resolved.origins["api_key"].text == "OPENAI_API_KEY") is used


@pytest.mark.parametrize(
    ("text", "words"),
    [("a*,b ,", ("a*", "b")), ('["a,b", "c"]', ("a,b", "c")), ("[ab]*", ("[ab]*",)), ("x", ("x",))],
)
def test_variable_of_a_list(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    """A variable of globs is a JSON list or separated by commas; a glob with brackets is no JSON."""
    assert load(tmp_path, env={"BOOTCAMP_INCLUDE": text}).settings.include == words


def test_variable_of_stop_is_one_word_or_a_list(tmp_path: Path) -> None:
    """BOOTCAMP_STOP is one stop word with its commas, or a JSON list; the flag is taken as it is."""
    assert load(tmp_path, env={"BOOTCAMP_STOP": "a,b"}).settings.stop == ("a,b",)
    assert load(tmp_path, env={"BOOTCAMP_STOP": '["a", "b"]'}).settings.stop == ("a", "b")
    assert load(tmp_path, flags={"stop": ['["a"]', "b"]}).settings.stop == ('["a"]', "b")


def test_templates_of_the_stronger_file_win(tmp_path: Path) -> None:
    """Template tables of both files are kept with their places; of equal names the stronger file's."""
    resolved = load(
        tmp_path,
        found='[templates.a]\ntext = "1{input}"',
        user='[templates.a]\ntext = "2{input}"\n[templates.b]\ntext = "3{input}"',
    )
    assert resolved.templates["a"] == ({"text": "1{input}"}, "./bootcamp.toml: templates.a")
    assert resolved.templates["b"][0] == {"text": "3{input}"}


def test_control_characters_of_a_file_are_escaped(tmp_path: Path) -> None:
    """Keys, names and values of a file that somebody else wrote cannot steer the terminal that shows an error."""
    for found in (
        '"\\u001b[1m" = 1',
        '[profile."\\u001b[1m"]\nsede = 1',
        'sys_prompt = "@/\\u001b[1m"',
        'api_mode = "\\u009b1m"',
        '[profile]\n"\\u001b[1m" = 1',
    ):
        with pytest.raises(SettingsError) as caught:
            load(tmp_path, found=found)
        assert str(caught.value).isprintable()
    shown = load(tmp_path, found='stop = "\\u009b1m"\ntest_dir = "\\u001b"\n[templates."\\u001b"]')
    assert shown_value(parameters_by_name()["stop"], shown.settings.stop).isprintable()
    assert shown_value(parameters_by_name()["test_dir"], shown.settings.test_dir).isprintable()
    assert shown.templates["\x1b"][1].isprintable()


def test_user_file_has_a_place_of_its_own() -> None:
    """The user file lies in a directory named after the tool."""
    path = user_config_file()
    assert path is not None
    assert path.name == "config.toml"
    assert "bootcamp" in path.parts
