"""The completion scripts: generated from the command line, working in the real shells, installed where these look."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pytest

from bootcamp_cli.__main__ import main
from bootcamp_cli.cli.completion import choose_shell, script_text, user_directory
from bootcamp_cli.cli.completion_scripts import COMPLETIONS, command_tree, scripts
from bootcamp_cli.cli.docs import update
from bootcamp_cli.errors import UsageError
from bootcamp_cli.settings.model import parameters
from bootcamp_cli.templates.catalog import BUILTIN_TEMPLATES


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with a run directory, a directory without a run, and a file."""
    for directory in ("output/r1_tests_1", "output/empty", "tests data", "elsewhere/run 2"):
        (tmp_path / directory).mkdir(parents=True)
    for run in ("output/r1_tests_1", "elsewhere/run 2"):
        (tmp_path / run / "eval_args.json").write_text("{}")
    (tmp_path / "ca.pem").write_text("")
    (tmp_path / "rows.jsonl.gz").write_text("")
    (tmp_path / "bootcamp.toml").write_text(
        'limit = 1\n[profile.quick]\nlimit = 2\n [templates."my-own"]\ntext = "{input}"\n[profile."$(touch made)"]\n'
    )
    return tmp_path


def test_committed_scripts_are_up_to_date() -> None:
    """completions/ holds what the command line generates."""
    for name, text in scripts().items():
        assert (COMPLETIONS / name).read_text("utf-8") == text, (
            f"run python -m bootcamp_cli.cli.completion_scripts: {name}"
        )


def test_check_fails_on_a_stale_script_and_writes_nothing(tmp_path: Path) -> None:
    """The check names files that differ with exit code 1; without it they are written, and then it passes."""
    path = tmp_path / "completions" / "x"
    assert update({path: "text"}, check=True) == 1
    assert not path.exists()
    assert update({path: "text"}, check=False) == 0
    assert update({path: "text"}, check=True) == 0


def test_the_tree_has_every_command_and_setting() -> None:
    """Every command is in the tree, `eval` with every parameter, its name with dashes."""
    nodes = {" ".join(node.path): node for node in command_tree()}
    assert {"", "eval", "templates", "templates show", "completion install"} <= set(nodes)
    offered = {option.name for option in nodes["eval"].options}
    assert {parameter.flag for parameter in parameters()} <= offered


def needs(shell: str) -> str:
    """The path of a shell; the test is skipped where it is not installed."""
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


def in_bash(line: str, place: Path) -> list[str]:
    """What bash offers for the last word of the line, with the words split as bash splits them."""
    words = [part for word in line.split(" ") for part in _broken(word)]
    script = (
        f"source '{COMPLETIONS / 'bootcamp.bash'}'\n"
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bootcamp; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [needs("bash"), "--norc", "-c", script, "bash", *words], cwd=place, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return [line for line in done.stdout.split("\n") if line]


def _broken(word: str) -> list[str]:
    before, equals, after = word.partition("=")
    return [before, equals, *([after] if after else [])] if equals else [word]


def in_fish(line: str, place: Path) -> list[str]:
    """What fish offers for the last word of the line."""
    script = f"source '{COMPLETIONS / 'bootcamp.fish'}'; complete -C '{line}'"
    home = {"HOME": str(place), "XDG_CONFIG_HOME": str(place / ".config"), "XDG_DATA_HOME": str(place / ".data")}
    done = subprocess.run(
        [needs("fish"), "--no-config", "-c", script],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **home},
    )
    assert done.stderr == ""
    return [offer.partition("\t")[0] for offer in done.stdout.splitlines()]


def in_zsh(line: str, place: Path) -> list[str]:
    """What zsh offers for the last word of the line, typed at a prompt; each offer goes to a file as it is made."""
    offers = place.parent / "offers"
    offers.write_text("")
    child = pexpect.spawn(
        needs("zsh"),
        ["-f"],
        cwd=str(place),
        env={**os.environ, "TERM": "dumb", "HOME": str(place), "OFFERS": str(offers)},
        encoding="utf-8",
        dimensions=(200, 200),
        timeout=20,
    )
    try:
        child.sendline(
            f"PROMPT=; fpath=('{COMPLETIONS}' $fpath); "
            f"autoload -Uz compinit; compinit -u -C -d '{place.parent / 'zcompdump'}'; "
            'compadd () { local -a found; builtin compadd -O found "$@"; print -rl -- $found >>$OFFERS; '
            'builtin compadd "$@" }; '
            "show () { zle complete-word; print -r -- END''OFFERS }; zle -N show; bindkey '^X' show; "
            "print -r -- REA''DY"
        )
        child.expect("READY")
        child.send(f"{line}\x18")
        child.expect("ENDOFFERS")
    finally:
        child.close(force=True)
    return [offer for offer in offers.read_text("utf-8").splitlines() if offer]


SHELLS = {"bash": in_bash, "zsh": in_zsh, "fish": in_fish}

CASES = [
    ("bootcamp re", {"resume", "report", "rescore"}, {"eval"}),
    ("bootcamp templates ", {"list", "show"}, {"eval"}),
    ("bootcamp eval --max-t", {"--max-tokens"}, {"--max-retries", "--max_tokens"}),
    ("bootcamp eval --url http://h/v1 --api-mode ", {"completion", "chat_completion"}, {"--url"}),
    ("bootcamp eval --template ", {template.name for template in BUILTIN_TEMPLATES}, {"eval"}),
    ("bootcamp templates show ", {"r1", "qwen"}, {"list"}),
    ("bootcamp eval --no-ch", {"--no-check-model-url"}, {"--check-model-url"}),
    ("bootcamp completion install --shell ", {"bash", "zsh", "fish"}, {"install"}),
    ("bootcamp config show --bootcamps ", {"auto", "builtin", "upstream"}, {"show"}),
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("line", "offered", "not_offered"), CASES, ids=[line for line, _, _ in CASES])
def test_words_are_completed(shell: str, line: str, offered: set[str], not_offered: set[str], place: Path) -> None:
    """Commands, options, closed sets of values and template names are offered where they fit."""
    offers = set(SHELLS[shell](line, place))
    assert offered <= offers
    assert not offers & not_offered


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("command", ["resume", "report", "audit", "rescore"])
def test_run_directories_are_completed(shell: str, command: str, place: Path) -> None:
    """Run directories, known by their eval_args.json, are offered: those under output and those of a path given."""
    offers = SHELLS[shell](f"bootcamp {command} ", place)
    assert "output/r1_tests_1" in offers
    assert not {"output/empty", "eval"} & set(offers)
    assert "elsewhere/run 2" in [
        offer.replace("\\", "") for offer in SHELLS[shell](f"bootcamp {command} elsewhere/", place)
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_directories_are_completed(shell: str, place: Path) -> None:
    """--test-dir is completed with directories and no files."""
    offers = [offer.rstrip("/").replace("\\", "") for offer in SHELLS[shell]("bootcamp eval --test-dir ", place)]
    assert "tests data" in offers
    assert "ca.pem" not in offers


@pytest.mark.parametrize("shell", SHELLS)
def test_test_files_are_completed(shell: str, place: Path) -> None:
    """--test-dir is completed with test files, too."""
    assert "rows.jsonl.gz" in SHELLS[shell]("bootcamp eval --test-dir ro", place)


@pytest.mark.parametrize("shell", SHELLS)
def test_names_of_the_settings_file_are_completed(shell: str, place: Path) -> None:
    """Profiles and templates of ./bootcamp.toml are offered, and what is not a plain name is not, nor run."""
    assert SHELLS[shell]("bootcamp eval --profile ", place) == ["quick"]
    assert {"my-own", "r1"} <= set(SHELLS[shell]("bootcamp eval --template ", place))
    assert "my-own" in SHELLS[shell]("bootcamp templates show m", place)
    assert not (place / "made").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_underscored_options_are_completed(shell: str, place: Path) -> None:
    """An option that is typed with underscores is completed, and so is its value."""
    offers = {offer.replace("_", "-") for offer in SHELLS[shell]("bootcamp eval --max_tok", place)}
    assert "--max-tokens" in offers
    assert {"completion", "chat_completion"} <= set(SHELLS[shell]("bootcamp eval --api_mode c", place))
    assert "output/r1_tests_1" in SHELLS[shell]("bootcamp eval --gate_against ", place)


@pytest.mark.parametrize("shell", SHELLS)
def test_several_run_directories_are_completed(shell: str, place: Path) -> None:
    """`compare` takes run directories one after the other."""
    assert "output/r1_tests_1" in SHELLS[shell]("bootcamp compare elsewhere/x ", place)


@pytest.mark.parametrize("shell", SHELLS)
def test_files_are_completed(shell: str, place: Path) -> None:
    """An option that wants a file is completed with files."""
    assert "ca.pem" in SHELLS[shell]("bootcamp eval --ca-bundle ca", place)


def test_bash_completes_attached_values_and_underscores(place: Path) -> None:
    """In bash a value behind `=` and an option typed with underscores are completed as well."""
    assert in_bash("bootcamp eval --api-mode=chat", place) == ["chat_completion"]
    assert in_bash("bootcamp eval --resume=", place) == ["true", "false"]
    assert in_bash("bootcamp eval --resume t", place) == ["true"]
    assert in_bash("bootcamp eval --max_tok", place) == ["--max-tokens", "--max-tokens-field"]
    assert in_bash("bootcamp eval --api_mode c", place) == ["completion", "chat_completion"]


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        ("bash", ".local/share/bash-completion/completions/bootcamp"),
        ("zsh", ".zfunc/_bootcamp"),
        ("fish", ".config/fish/completions/bootcamp.fish"),
    ],
)
def test_install_writes_once_where_the_shell_looks(
    shell: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script goes to the user's directory of the shell that $SHELL names; a second time changes nothing."""
    for variable in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "BASH_COMPLETION_USER_DIR", "ZDOTDIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", f"/usr/local/bin/{shell}")
    assert main(["completion", "install"]) == 0
    first = capsys.readouterr()
    written = tmp_path / expected
    assert written.read_text("utf-8") == script_text(choose_shell(shell, {}))
    assert first.out == f"{written}: written\n"
    assert "new shell" in first.err
    assert main(["completion", "install", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["changed"], again["path"], again["shell"]) == (False, str(written), shell)


def test_install_takes_shell_and_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--shell and --dest decide, whatever $SHELL says."""
    assert main(["completion", "install", "--shell", "fish", "--dest", str(tmp_path / "new"), "--quiet"]) == 0
    assert (tmp_path / "new" / "bootcamp.fish").is_file()
    assert capsys.readouterr().err == ""


def test_an_unknown_shell_is_refused() -> None:
    """A shell without a script is named, with those that have one."""
    with pytest.raises(UsageError, match=r"\$SHELL: must be one of bash, zsh, fish, got 'tcsh'"):
        choose_shell(None, {"SHELL": "/bin/tcsh"})
    with pytest.raises(UsageError, match=r"--shell: must be one of bash, zsh, fish, got 'cmd'"):
        choose_shell("cmd", {"SHELL": "/bin/bash"})


def test_directories_follow_the_shells_variables(tmp_path: Path) -> None:
    """XDG variables, ZDOTDIR and BASH_COMPLETION_USER_DIR move the directories; a relative XDG path does not count."""
    assert user_directory("bash", {"XDG_DATA_HOME": "/d"}, tmp_path) == Path("/d/bash-completion/completions")
    assert user_directory("bash", {"BASH_COMPLETION_USER_DIR": "/b"}, tmp_path) == Path("/b/completions")
    assert user_directory("zsh", {"ZDOTDIR": "/z"}, tmp_path) == Path("/z/.zfunc")
    assert user_directory("fish", {"XDG_CONFIG_HOME": "c"}, tmp_path) == tmp_path / ".config/fish/completions"


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the script cannot be written, one line says so and how to choose another place."""
    (tmp_path / "file").write_text("")
    assert main(["completion", "install", "--shell", "zsh", "--dest", str(tmp_path / "file")]) == 1
    assert "choose a directory with --dest" in capsys.readouterr().err


def test_the_generator_runs_as_a_module() -> None:
    """The command that CI runs finds the committed scripts up to date."""
    done = subprocess.run(
        [sys.executable, "-m", "bootcamp_cli.cli.completion_scripts", "--check"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
