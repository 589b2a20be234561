"""Run directories as this tool and as run_eval.py leave them, with chosen scores."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from bootcamp_cli.types import Manifest, ManifestFile, ManifestTemplate, ToolInfo, encode_line
from tests.test_store_journal import a_record

Scores = Mapping[str, Sequence[Sequence[float | None]]]
"""By data source the scores of each question's repeats; None for an answer without a verdict."""


def write_run(
    path: Path,
    scores: Scores,
    *,
    repeats: int | None = None,
    identity: Mapping[str, Any] | None = None,
    planned: Mapping[str, int] | None = None,
    failure: str = "verifier_error",
    **manifest: Any,
) -> Path:
    """A run directory of this tool, with a test file for each data source: `NAME.jsonl`.

    `planned` is how many rows a file has, by data source, where not all have a record.
    """
    (path / "details").mkdir(parents=True)
    files = []
    for name, questions in scores.items():
        n_rows = (planned or {}).get(name, len(questions))
        files.append(
            ManifestFile(
                name=f"{name}.jsonl",
                digest=f"digest of {name}",
                size_bytes=1_000_000,
                n_rows=n_rows,
                n_invalid=0,
                id_rule="row",
                data_sources=((name, n_rows),),
            )
        )
        lines = [
            encode_line(
                replace(
                    a_record(row),
                    id=row,
                    repeat=repeat,
                    data_source=name,
                    prompt=f"{name}: what is {row}?\n",
                    ground_truth={"answer": row, "also": [1.0]},
                    score=score,
                    failure=failure if score is None else None,
                    failure_message="?" if score is None else None,
                )
            )
            for row, answers in enumerate(questions)
            for repeat, score in enumerate(answers)
        ]
        (path / "details" / f"{name}.jsonl").write_bytes(b"".join(lines))
    most = max((len(answers) for questions in scores.values() for answers in questions), default=1)
    made = msgspec.convert(
        {
            "tool": ToolInfo(name="bootcamp", version="0.1.0"),
            "complete": True,
            "repeats": repeats or most,
            "model": {"id": "demo"},
            "template": ManifestTemplate(name="r1", text="{input}", stop=(), system_prompt=None),
            "sys_prompt": None,
            "files": tuple(files),
            "identity": {
                "model_name": "demo",
                "temperature": 0.6,
                "files": {file.name: file.digest for file in files},
                "verifiers": {name: {"origin": "builtin", "digest": "d" * 64} for name in scores},
            }
            | dict(identity or {}),
        }
        | manifest,
        Manifest,
    )
    (path / "manifest.json").write_bytes(encode_line(made))
    (path / "eval_args.json").write_text(json.dumps({"model_name": "demo", "temperature": 0.6}), encoding="utf-8")
    return path


def write_run_of_run_eval(path: Path, scores: Scores, **args: Any) -> Path:
    """A directory as run_eval.py leaves it: records without row and data source, meta.jsonl, eval_args.json."""
    (path / "details").mkdir(parents=True)
    meta = []
    for name, questions in scores.items():
        records = [
            {
                "id": row,
                "prompt": f"{name}: what is {row}?\n",
                "output": "?",
                "output_len": 3,
                "ground_truth": {"also": [1.0], "answer": row},
                "score": score,
                "extracted_output": None,
            }
            for row, answers in enumerate(questions)
            for score in answers
        ]
        with (path / "details" / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)
        mean = sum(score for answers in questions for score in answers if score is not None) / len(records)
        meta.append({"bootcamp": f"{name}bootcamp", "avg_score": mean, "avg_len": 3.0})
    (path / "meta.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in meta), encoding="utf-8")
    (path / "eval_args.json").write_text(json.dumps({"model_name": "demo", **args}), encoding="utf-8")
    return path
