"""Run directories: names, making, finding."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bootcamp_cli.errors import RunDirectoryError
from bootcamp_cli.store.atomic import no_check
from bootcamp_cli.store.run_dir import RunDir, age_key, create_run_dir, open_run_dir, readable_runs, safe_name
from bootcamp_cli.types import Manifest, ManifestFile, ManifestTemplate, ServerInfo, TokenTotals, ToolInfo

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


MANIFEST = Manifest(
    schema=1,
    tool=ToolInfo(name="bootcamp", version="1.0"),
    python="3.11.7",
    implementation="cpython",
    platform="Linux",
    started="2026-01-01T00:00:00+00:00",
    ended=None,
    complete=False,
    model={"id": "m", "max_model_len": 4096},
    template=ManifestTemplate(name="r1", text="<|User|>{input}", stop=("<|User|>",), system_prompt=None),
    sys_prompt=None,
    bootcamps={"Sums": "builtin", "Riddles": None},
    servers=(ServerInfo(version="0.11.0", told_at="/version"), ServerInfo(version="0.11.1", template_digest="ab")),
    system_fingerprints={"fp_1": 3},
    tokens=TokenTotals(n_counted=2, prompt=10**30, completion=7),
    files=(
        ManifestFile(
            name="数独.jsonl",
            digest="d",
            size_bytes=9,
            n_rows=2,
            n_invalid=0,
            id_rule="row",
            data_sources=(("Sums", 1), ("Riddles", 1)),
        ),
    ),
    identity={"model_name": "m", "include": [], "files": {"数独.jsonl": "d"}},
)


@given(st.text(max_size=300))
def test_any_name_is_one_harmless_path_component(name: str) -> None:
    """Whatever the model is called, its name stays one component inside the directory and short enough for a file."""
    safe = safe_name(name)
    assert safe not in (".", "..")
    assert set(safe) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert 0 < len(safe) <= 150


def test_run_directory_is_named_by_model_test_dir_and_time(tmp_path: Path) -> None:
    """The name follows the guide, and the test dir counts by its resolved last part."""
    (tmp_path / "data set").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data set")
    made = create_run_dir(tmp_path / "out", model_name="org/r1 32B", test_dir=tmp_path / "link", now=NOW)
    assert made.path.name == "org_r1_32B_data_set_20260102_030405"
    assert made.details.is_dir()


@pytest.mark.parametrize(("n_model", "n_data"), [(150, 150), (300, 4), (4, 240), (91, 91), (90, 90)])
def test_long_names_are_cut_where_both_do_not_fit(tmp_path: Path, n_model: int, n_data: int) -> None:
    """The name stays below 200 bytes with both parts in it, and gives up no more of them than it must."""
    made = create_run_dir(tmp_path, model_name="m" * n_model, test_dir=tmp_path / ("d" * n_data), now=NOW)
    model, data, *_ = made.path.name.split("_")
    assert len(made.path.name) <= 200
    assert (set(model), set(data)) == ({"m"}, {"d"})
    assert len(model + data) == min(180, min(n_model, 150) + min(n_data, 150))


def test_existing_run_directory_is_never_used_again(tmp_path: Path) -> None:
    """Two runs in the same second get two directories."""
    names = {create_run_dir(tmp_path, model_name="m", test_dir=tmp_path, now=NOW).path.name for _ in range(3)}
    assert len(names) == 3


def test_runs_are_found_and_ordered(tmp_path: Path) -> None:
    """Run directories are ordered by their start, and directories that are none, or cannot be read, are left out."""
    for name, started in (("b", "2026-01-01"), ("a", "2026-01-03"), ("c", "2026-01-02")):
        (tmp_path / name).mkdir()
        RunDir(tmp_path / name).write_manifest(replace(MANIFEST, started=started), no_check)
    (tmp_path / "other").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "manifest.json").write_text('{"started": "2026-01-04"}')
    (tmp_path / "loop").symlink_to("loop")
    newest_first = sorted((age_key(*run) for run in readable_runs(tmp_path)), reverse=True)
    assert [name for _, name in newest_first] == ["a", "c", "b"]
    assert list(readable_runs(tmp_path / "absent")) == []


@pytest.mark.parametrize("below", [(), ("runs",)])
def test_a_file_in_the_place_of_output_dir(below: tuple[str, ...], tmp_path: Path) -> None:
    """Where a file stands in the way of output_dir, the error says so and names the option that chooses another."""
    (tmp_path / "file").touch()
    output_dir = tmp_path.joinpath("file", *below)
    for use in (
        lambda: create_run_dir(output_dir, model_name="m", test_dir=tmp_path, now=NOW),
        lambda: list(readable_runs(output_dir)),
    ):
        with pytest.raises(RunDirectoryError, match=r"file.* is not a directory .*; choose another with --output-dir"):
            use()


def test_unusable_run_directories_are_named(tmp_path: Path) -> None:
    """A directory that is missing, or no run directory, or damaged, is an error that names it."""
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="file: a file, not a run directory"):
        open_run_dir(tmp_path / "file")
    with pytest.raises(RunDirectoryError, match="no such run directory"):
        open_run_dir(tmp_path / "absent")
    with pytest.raises(RunDirectoryError, match="no folder details"):
        open_run_dir(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(RunDirectoryError, match="not readable as JSON"):
        RunDir(tmp_path).read_manifest()


def test_a_manifest_is_written_for_people_and_read_as_it_was(tmp_path: Path) -> None:
    """The manifest is indented JSON with text as it is, in the order of its declaration, and comes back the same."""
    run_dir = RunDir(tmp_path)
    assert run_dir.read_manifest() is None
    run_dir.write_manifest(MANIFEST, no_check)
    text = run_dir.manifest.read_text(encoding="utf-8")
    assert text.startswith('{\n  "schema": 1,\n  "tool": {\n    "name": "bootcamp",')
    assert '"name": "数独.jsonl"' in text
    assert tuple(json.loads(text)) == Manifest.__struct_fields__
    assert run_dir.read_manifest() == MANIFEST


def test_parts_of_a_manifest_that_only_another_version_knows_stay(tmp_path: Path) -> None:
    """Rewriting a manifest keeps the keys that this version has no name for."""
    run_dir = RunDir(tmp_path)
    run_dir.write_manifest(MANIFEST, no_check)
    parts = json.loads(run_dir.manifest.read_bytes())
    run_dir.manifest.write_text(json.dumps(parts | {"shard": {"of": 4}}), encoding="utf-8")
    manifest = run_dir.read_manifest()
    assert manifest == MANIFEST
    run_dir.write_manifest(replace(MANIFEST, complete=True), no_check)
    assert json.loads(run_dir.manifest.read_bytes()) == parts | {"complete": True, "shard": {"of": 4}}


def test_a_manifest_without_provenance_is_read_as_before(tmp_path: Path) -> None:
    """A manifest of a version that kept no provenance, or one with odd provenance, is read, with none."""
    run_dir = RunDir(tmp_path)
    run_dir.write_manifest(MANIFEST, no_check)
    parts = json.loads(run_dir.manifest.read_bytes())
    names = ("servers", "system_fingerprints", "tokens", "effort", "families")
    without = replace(MANIFEST, servers=(), system_fingerprints={}, tokens=None)
    run_dir.manifest.write_text(json.dumps({key: value for key, value in parts.items() if key not in names}))
    assert run_dir.read_manifest() == without
    odd = {"servers": [{"version": 5}], "system_fingerprints": {"fp": -1}, "tokens": {"prompt": "many"}}
    odd |= {"effort": {"n": "all"}, "families": ["mine"]}
    run_dir.manifest.write_text(json.dumps(parts | odd))
    assert run_dir.read_manifest() == without
