"""Run directories: names, making, finding."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.errors import RunDirectoryError
from bootcamp_cli.store.run_dir import RunDir, create_run_dir, open_run_dir, run_dirs_newest_first, safe_name

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


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


def test_newest_run_comes_first(tmp_path: Path) -> None:
    """Run directories are ordered by their start, and directories that are none are left out."""
    for name, started in (("b", "2026-01-01"), ("a", "2026-01-03"), ("c", "2026-01-02")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(json.dumps({"started": started}))
    (tmp_path / "other").mkdir()
    assert [run_dir.path.name for run_dir in run_dirs_newest_first(tmp_path)] == ["a", "c", "b"]
    assert run_dirs_newest_first(tmp_path / "absent") == []


def test_unusable_run_directories_are_named(tmp_path: Path) -> None:
    """A directory that is missing, or no run directory, or damaged, is an error that names it."""
    with pytest.raises(RunDirectoryError, match="no such run directory"):
        open_run_dir(tmp_path / "absent")
    with pytest.raises(RunDirectoryError, match="no folder details"):
        open_run_dir(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(RunDirectoryError, match="not readable as JSON"):
        RunDir(tmp_path).read_manifest()
