"""Warnings about parameters without effect, the README table, and the default number of verifier processes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli.cli.docs import parameter_table
from bootcamp_cli.processes import allowed_cpus
from bootcamp_cli.settings.model import parameters
from bootcamp_cli.settings.sources import Resolved, Sources, load_settings
from bootcamp_cli.settings.warnings import mode_warnings, template_note
from bootcamp_cli.verification.pool import default_verify_workers


def load(flags: Mapping[str, Any]) -> Resolved:
    """Settings of flags alone."""
    return load_settings(Sources(flags=flags, env={}, cwd=Path("/nowhere")))


CHAT = {"api_mode": "chat_completion"}


@pytest.mark.parametrize(
    ("flags", "start"),
    [
        ({"sys_prompt": "x"}, "--sys-prompt: no effect in completion mode"),
        (CHAT | {"template": "r1"}, "--template: r1 is not applied in chat mode"),
        ({"idle_timeout": "9s"}, "--idle-timeout: no effect without stream"),
        ({"top_p": "0.5"}, "--top-p: no effect at temperature 0"),
        ({"extra_body": '{"max_tokens": 5}'}, "--extra-body: max_tokens overrides the parameter max_tokens"),
        ({"omit": ["temprature", "stop"]}, "--omit: nothing is sent as temprature"),
        ({"bootcamps": "builtin", "bootcamps_path": "x"}, "--bootcamps-path: no effect with bootcamps = builtin"),
        ({"insecure": "true", "url": "https://h"}, "--insecure: the server's certificate is not verified"),
        ({"insecure": "true"}, "--insecure: no effect on an http URL"),
        ({"ca_bundle": "x"}, "--ca-bundle: no effect on an http URL"),
        ({"max_tokens": "2000000"}, "timeout: 1h40m is short"),
    ],
)
def test_one_warning_each(flags: dict[str, Any], start: str) -> None:
    """What has no effect or is dangerous is one line that begins with its place."""
    lines = mode_warnings(load(flags))
    assert [line.startswith(start) for line in lines] == [True], lines


@pytest.mark.parametrize(
    "flags",
    [
        {},
        CHAT,
        CHAT | {"sys_prompt": "x"},
        {"template": "r1", "stream": "true", "idle_timeout": "9s"},
        {"temperature": "1", "top_p": "0.5"},
        {"timeout": "164s"},
    ],
)
def test_nothing_to_warn_about(flags: dict[str, str]) -> None:
    """Settings that all take effect give no warning."""
    assert mode_warnings(load(flags)) == []


def test_timeout_of_the_guides_command() -> None:
    """The guide's --timeout 6000 is 6 s, warned about with the reference script's reading of it."""
    (line,) = mode_warnings(load({"timeout": "6000", "template": "r1"}))
    assert "6s is short: an answer of max_tokens (32768) takes 164 s at 200 tokens/s" in line
    assert "the reference script reads the number as seconds (that would be 6000s)" in line


def test_template_in_chat_mode_may_give_its_system_prompt() -> None:
    """In chat mode a chosen template's default system prompt is used, unless sys_prompt is given."""
    flags = CHAT | {"template": "qwen"}
    (line,) = mode_warnings(load(flags), template_system_prompt="x")
    assert line.endswith("only its default system prompt is used")
    (line,) = mode_warnings(load(flags | {"sys_prompt": "y"}), template_system_prompt="x")
    assert "only its" not in line


def test_note_about_the_default_template() -> None:
    """Completion mode says which template it uses where none was chosen."""
    assert template_note(load({})) == "no template chosen: using chatml"
    assert template_note(load({"template": "chatml"})) is None
    assert template_note(load(CHAT)) is None


def test_table_has_a_row_for_each_parameter() -> None:
    """The README table has a row of four cells for every parameter, in the order of declaration."""
    rows = parameter_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [parameter.name for parameter in parameters()]
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)
    assert any(row.startswith("| `output_dir` | path | output |") for row in rows)
    assert any(row.startswith("| `temperature` | number >= 0 | 0 |") for row in rows)


def test_every_parameter_belongs_to_a_group_in_one_block() -> None:
    """Parameters of a group stand together, so that help and table have the same order."""
    groups = [parameter.param.group for parameter in parameters()]
    assert groups == sorted(groups, key=list(dict.fromkeys(groups)).index)


def cgroup(root: Path, files: Mapping[str, str]) -> Path:
    """A file system with the given files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "n_cpus"),
    [
        ({}, 16),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 16),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
        (
            {
                "proc/self/cgroup": "5:memory:/x\n4:cpu,cpuacct:/docker/1\n0::/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/x\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
            },
            16,
        ),
        ({"proc/self/cgroup": "0::/../..\n", "sys/fs/cgroup/cpu.max": "nonsense"}, 16),
    ],
)
def test_usable_cpus_mind_the_cgroup(tmp_path: Path, files: dict[str, str], n_cpus: int) -> None:
    """The smallest quota of the cgroup and those above it bounds the CPUs, in both cgroup versions."""
    assert allowed_cpus(16, cgroup(tmp_path, files)) == n_cpus


def test_default_workers_are_one_to_eight() -> None:
    """The number of verifier processes is 1 to 8 on any machine."""
    assert 1 <= default_verify_workers() <= 8
