"""The numbers of a run with repeats beside those that pandas, scipy and statsmodels make of its samples."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy import special, stats
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from bootcamp_cli import Run, open_run
from bootcamp_cli.analysis.summary import GroupSummary
from bootcamp_cli.bootcamps.registry import CATALOG
from tests.conftest import RunBootcamp, StartFaultServer

REPEATS = 4
close = pytest.approx


@pytest.fixture
def run(fault_server: StartFaultServer, demo_test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path) -> Run:
    """A run with four repeats, each answered differently, of which some have no answer."""
    server = fault_server(test_dir=demo_test_dir, by_seed=True, faults=["422:0.15"])
    options = ("--model-name", "demo", "--test-dir", demo_test_dir, "--repeats", "4", "--seed", "1", "--quiet")
    done = call_bootcamp("eval", "--url", server.url, *options)
    assert done.returncode == 3, done.stderr
    [path] = (tmp_path / "output").iterdir()
    return open_run(path)


def smoothed(means: npt.NDArray[np.float64]) -> DescrStatsW:
    """The statistics of question means and the two pseudo-questions."""
    return DescrStatsW(np.append(means, [0.0, 1.0]))


def check_passes(group: GroupSummary, counts: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> None:
    """pass@k and pass^k are the chances of draws without replacement, over the questions with so many scores."""
    assert [each.k for each in group.passes] == [1, 2, 4]
    for each in group.passes:
        has_value = counts >= each.k
        k, m, c = each.k, counts[has_value], right[has_value]
        assert each.n_without == (~has_value).sum()
        assert (each.pass_at is None) == (each.pass_hat is None) == (not has_value.any())
        if each.pass_at and each.pass_hat:
            none_right = stats.hypergeom(m, c, k).pmf(0)
            assert each.pass_at.mean == close((1 - none_right).mean(), abs=1e-9)
            assert each.pass_hat.mean == close((special.comb(c, k) / special.comb(m, k)).mean(), abs=1e-12)


def test_numbers_of_a_run_with_repeats_are_those_of_its_samples(run: Run) -> None:
    """Means, intervals, errors, pass@k and pass^k of rows, families and run follow from `Run.samples()`."""
    frame = run.samples().dropna(subset=["score"])
    assert run.summary.n_failed > 10
    assert set(frame.groupby(["file", "row"], observed=True).size()) >= {1, 2, 3, 4}
    n_single = 0
    errors: dict[str, float] = {}
    reruns: dict[str, float] = {}
    for group in run.summary.groups:
        questions = frame[frame["file"] == group.file].groupby("row")["score"]
        means, counts = questions.mean().to_numpy(), questions.count().to_numpy().astype(np.int64)
        n, mean = len(means), means.mean()
        assert group.mean is not None
        assert group.interval is not None
        assert group.avg_score == close(mean, abs=1e-12)

        smooth = smoothed(means)
        is_binary = bool(frame[frame["file"] == group.file]["score"].isin([0, 1]).all())
        size = float(n) if n < 8 else max(smooth.mean * (1 - smooth.mean) / smooth.std_mean**2, n)
        size = min(size, counts.sum()) if is_binary else size
        low, high = proportion_confint(mean * size, size, method="wilson")
        assert (group.interval.low, group.interval.high) == close((low, high), abs=1e-9)
        assert group.mean.error_new_questions == close(smooth.std_mean * math.sqrt((n + 2) / n), abs=1e-12)

        variances = questions.var(ddof=1)
        within = variances.mean()
        n_single += int(variances.isna().sum())
        rerun = math.sqrt((variances.fillna(within) / counts).sum()) / n
        assert group.mean.error_rerun == close(rerun, abs=1e-12)
        assert group.variance_within == close(within, abs=1e-12)
        between = max(0.0, means.var(ddof=1) - (variances.fillna(within) / counts).mean())
        assert group.variance_between == close(between, abs=1e-12)
        errors[group.bootcamp], reruns[group.bootcamp] = smooth.std_mean * math.sqrt((n + 2) / n), rerun

        check_passes(
            group, counts, questions.apply(lambda scores: int((scores >= 1).sum())).to_numpy().astype(np.int64)
        )
    assert n_single > 0

    rows = pd.DataFrame(
        {
            "mean": [group.avg_score for group in run.summary.groups],
            "square": [errors[group.bootcamp] ** 2 for group in run.summary.groups],
            "rerun": [reruns[group.bootcamp] ** 2 for group in run.summary.groups],
            "family": [CATALOG[str(group.data_source)].family for group in run.summary.groups],
        }
    )
    whole = run.summary.mean
    assert whole is not None
    assert whole.error_other_bootcamps == close(DescrStatsW(rows["mean"]).std_mean, abs=1e-12)
    parts = [
        ("", rows, whole),
        *((name, rows[rows["family"] == name], f.mean) for name, f in run.summary.families.items()),
    ]
    for name, part, total in parts:
        assert total is not None, name
        assert total.mean == close(part["mean"].mean(), abs=1e-12)
        assert total.error_rerun == close(math.sqrt(part["rerun"].sum()) / len(part), abs=1e-12)
        if len(part) > 1:
            error = math.sqrt(part["square"].sum()) / len(part)
            assert total.error_new_questions == close(error, abs=1e-12)
            assert total.interval is not None
            low, high = np.clip(stats.norm(total.mean, error).interval(0.95), 0, 1)
            assert (total.interval.low, total.interval.high) == close((low, high), abs=1e-9)
