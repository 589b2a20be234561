"""The summary as one JSON object.

schema             "bootcamp.report"
schema_version     1; it grows when a key changes its meaning or goes, not when one is added
model_name         str
test_dir           str: the test dir's name
complete           bool: every sample that is known to be owed has a score
sizes_known        bool: whether the run directory records how many samples the test files have
n_groups_in_run    int: rows of the run; `groups` has fewer where they were filtered, and all else is of these
avg_score, avg_len                      number | null: unweighted means of the rows (`Total Average`)
score_low, score_high                   number | null: bounds of avg_score, the missing all wrong and all right
weighted_score, weighted_len            number | null: means over all samples
weighted_score_low, weighted_score_high number | null: bounds of weighted_score
n, n_answered, n_scored, n_failed, n_missing, n_unverified, n_truncated, n_len_estimated    int
failures           {kind: int}: samples without an answer
unverified         {kind: int}: answers without a verdict
groups             [object]: the keys of a line of meta.jsonl, and failures and unverified by kind
"""

import json
from typing import Any

from bootcamp_cli.report.columns import COLUMNS
from bootcamp_cli.results.summary import GroupSummary, RunSummary

SCHEMA_VERSION = 1


def json_text(shown: RunSummary, *, n_all: int) -> str:
    """The object described above, indented, in ASCII; `n_all` is the number of rows of the whole run."""
    return json.dumps(json_object(shown, n_all=n_all), indent=2) + "\n"


def json_object(shown: RunSummary, *, n_all: int) -> dict[str, Any]:
    """The object described above."""
    bounds, weighted = shown.bounds, shown.weighted_bounds
    return {
        "schema": "bootcamp.report",
        "schema_version": SCHEMA_VERSION,
        "model_name": shown.model_name,
        "test_dir": shown.test_dir,
        "complete": shown.complete,
        "sizes_known": shown.sizes_known,
        "n_groups_in_run": n_all,
        "avg_score": shown.avg_score,
        "avg_len": shown.avg_len,
        "score_low": bounds and bounds.low,
        "score_high": bounds and bounds.high,
        "weighted_score": shown.weighted_score,
        "weighted_len": shown.weighted_len,
        "weighted_score_low": weighted and weighted.low,
        "weighted_score_high": weighted and weighted.high,
        "n": shown.n_samples,
        "n_answered": shown.n_answered,
        "n_scored": shown.n_scored,
        "n_failed": shown.n_failed,
        "n_missing": shown.n_missing,
        "n_unverified": shown.n_unverified,
        "n_truncated": shown.n_truncated,
        "n_len_estimated": shown.n_len_estimated,
        "failures": shown.failures,
        "unverified": shown.unverified,
        "groups": [_group(group) for group in shown.groups],
    }


def _group(group: GroupSummary) -> dict[str, Any]:
    row: dict[str, Any] = {column.key: column.of(group) for column in COLUMNS}
    return row | {"failures": dict(group.failures), "unverified": dict(group.unverified)}
