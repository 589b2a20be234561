"""A `.eval` log as inspect_ai writes it: its reader, `inspect view` and its data frames open it.

A log is a zip of JSON files: one for each sample, their short forms in `summaries.json`, the means over repeats in
`reductions.json`, and the run in `header.json`. Questions have running numbers; the row and its own id stand in the
metadata. A repeat is an epoch. Nothing of inspect_ai is needed to write it.
"""

import shutil
import tempfile
import zipfile
from array import array
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from bootcamp_cli import __version__
from bootcamp_cli.exports.source import Row, Source, encoded
from bootcamp_cli.text import strip_credentials, visible

if TYPE_CHECKING:
    from datetime import datetime

_VERSION = 2
_SCORER = "verify_score"
_SHORT = 1000
_LEVEL = 3
_STOPS = {"stop": "stop", "length": "max_tokens", "content_filter": "content_filter", "tool_calls": "tool_calls"}

_CONFIG = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "stop": "stop_seqs",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "max_concurrent_requests": "max_connections",
}
"""What inspect_ai calls the parameters that it knows."""


def log_name(source: Source) -> str:
    """The name that inspect_ai would give the log: `{time}_{task}_{id}.eval`."""
    time = f"{source.started:%Y-%m-%dT%H-%M-%S+00-00}"
    task = "".join(char if char.isascii() and char.isalnum() else "-" for char in _task(source))
    return f"{time}_{task}_{source.token('task')}.eval"


def write_inspect_log(source: Source, file: BinaryIO) -> None:
    """Write the log; the same run gives the same bytes."""
    model = source.contents.summary.model_name
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as log,
        tempfile.TemporaryFile() as summaries,
    ):
        spec, plan = _spec(source), {"name": "plan", "steps": [{"solver": "generate", "params": {}}], "config": {}}
        _add(log, "_journal/start.json", {"version": _VERSION, "eval": spec, "plan": plan})
        questions = _Questions()
        separator = b"["
        for row in source.rows():
            number = questions.add(row)
            sample = _sample(source, row, number, model)
            _add(log, f"samples/{number}_epoch_{row['repeat'] + 1}.json", sample)
            summaries.write(separator + encoded(_short(sample)))
            separator = b","
        summaries.write(b"]" if separator == b"," else b"[]")
        summaries.seek(0)
        with log.open("summaries.json", "w", force_zip64=True) as member:
            shutil.copyfileobj(summaries, member, 1 << 20)
        with log.open("reductions.json", "w", force_zip64=True) as member:
            member.write(b'[{"scorer":"%b","reducer":"mean","samples":[' % _SCORER.encode())
            for n, mean in enumerate(questions.means()):
                member.write(b"," * bool(n) + encoded(mean))
            member.write(b"]}]")
        spec["dataset"] = spec["dataset"] | {"samples": questions.n, "sample_ids": list(range(1, questions.n + 1))}
        header = {
            "version": _VERSION,
            "status": "success" if source.complete else "started",
            "eval": spec,
            "plan": plan,
            "results": _results(source),
            "stats": _stats(source, model),
        }
        _add(log, "header.json", header)


class _Questions:
    """Numbers the questions from 1 as they come, and adds up their scores."""

    def __init__(self) -> None:
        self.n = 0
        self._numbers: dict[str, dict[int, int]] = {}
        self._sums = array("d")
        self._counts = array("q")

    def add(self, row: Row) -> int:
        """The number of the question of a sample."""
        numbers = self._numbers.setdefault(row["file"], {})
        number = numbers.get(row["row"])
        if number is None:
            self.n += 1
            number = numbers[row["row"]] = self.n
            self._sums.append(0.0)
            self._counts.append(0)
        if row["score"] is not None:
            self._sums[number - 1] += row["score"]
            self._counts[number - 1] += 1
        return number

    def means(self) -> Iterator[dict[str, Any]]:
        """The mean score of each question that has one."""
        for number, (total, n) in enumerate(zip(self._sums, self._counts, strict=True), start=1):
            if n:
                yield {"value": total / n, "answer": None, "explanation": None, "sample_id": number}


def _add(log: zipfile.ZipFile, name: str, value: Any) -> None:
    with log.open(name, "w") as member:  # unlike writestr it writes no time
        member.write(encoded(value))


def _task(source: Source) -> str:
    return source.contents.summary.test_dir


def _spec(source: Source) -> dict[str, Any]:
    """The evaluation: what was asked of which model, with which parameters."""
    contents, parameters = source.contents, source.parameters
    url = parameters.get("url")
    tool = contents.manifest.tool if contents.manifest else None
    return {
        "eval_id": source.token("eval"),
        "run_id": source.token("run"),
        "created": _iso(source.started),
        "task": _task(source),
        "task_id": source.token("task"),
        "task_version": 0,
        "task_args": {},
        "dataset": {"name": _task(source), "samples": contents.summary.n_questions, "shuffled": False},
        "model": contents.summary.model_name,
        "model_args": {},
        **({"model_base_url": strip_credentials(url)} if isinstance(url, str) and "***" not in url else {}),
        "model_generate_config": {
            key: _listed(parameters[name]) if key == "stop_seqs" else parameters[name]
            for name, key in _CONFIG.items()
            if _is_usable(name, parameters.get(name))
        },
        "config": {"epochs": contents.summary.repeats},
        "packages": {"bootcamp-cli": tool.version if tool else __version__},
        "metadata": {"run_dir": source.name, "parameters": parameters},
        "scorers": [{"name": _SCORER, "metrics": [{"name": "mean"}, {"name": "stderr"}]}],
    }


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _is_usable(name: str, value: Any) -> bool:
    """Whether a parameter has the type that inspect_ai asks for."""
    if name == "stop":
        return isinstance(value, str | list)
    if name in ("max_tokens", "top_k", "seed", "max_concurrent_requests"):
        return type(value) is int
    return type(value) in (int, float)


def _iso(time: "datetime | None") -> str:
    return "" if time is None else time.isoformat(timespec="seconds")


def _sample(source: Source, row: Row, number: int, model: str) -> dict[str, Any]:
    """A sample as the log holds it."""
    uuid = source.token(row["file"], row["row"], row["repeat"])
    is_failed = row["output"] is None and row["failure"] is not None
    output, reasoning = row["output"] or "", row["reasoning_content"]
    content: Any = [{"type": "text", "text": output}]
    if reasoning:
        content.insert(0, {"type": "reasoning", "reasoning": reasoning})
    answer = {"id": f"{uuid}-answer", "role": "assistant", "content": content, "source": "generate"}
    question = {"id": f"{uuid}-question", "role": "user", "content": row["prompt"] or ""}
    usage = _usage(row)
    latency = row["latency_s"]
    sample: dict[str, Any] = {
        "id": number,
        "epoch": row["repeat"] + 1,
        "input": row["prompt"] or "",
        "target": row["ground_truth"] or "",
        "messages": [question] if is_failed else [question, answer],
        "output": {
            "model": row["model"] or model,
            "choices": []
            if is_failed
            else [{"message": answer, "stop_reason": _STOPS.get(row["finish_reason"], "unknown")}],
            "usage": usage,
            "time": latency,
            "completion": output,
        },
        "scores": {}
        if row["score"] is None
        else {_SCORER: {"value": row["score"], "answer": _unless_null(row["extracted_output"]), "explanation": None}},
        "metadata": {
            name: row[name]
            for name in ("file", "row", "repeat", "id", "data_source", "output_len", "finish_reason", "attempts")
            if row[name] is not None
        },
        "store": {},
        "events": [],
        "model_usage": {model: usage} if usage else {},
        "total_time": latency,
        "working_time": latency,
        "uuid": uuid,
        "attachments": {},
    }
    if row["failure"] is not None:
        sample["metadata"] |= {"failure": row["failure"], "failure_message": row["failure_message"]}
    if is_failed:
        message = visible(f"{row['failure']}: {row['failure_message']}")
        sample["error"] = {"message": message, "traceback": message, "traceback_ansi": message}
    return sample


def _unless_null(extracted: str | None) -> str | None:
    return None if extracted == "null" else extracted


def _usage(row: Row) -> dict[str, int] | None:
    """The tokens that a sample took, as far as the server told them."""
    n_prompt, n_completion = row["prompt_tokens"], row["completion_tokens"]
    if n_completion is not None and row["output_len"] is not None and not row["output_len_estimated"]:
        n_completion = row["output_len"]  # with the reasoning that a server counts beside the completion
    if n_prompt is None and n_completion is None:
        return None
    n_prompt, n_completion = n_prompt or 0, n_completion or 0
    return {"input_tokens": n_prompt, "output_tokens": n_completion, "total_tokens": n_prompt + n_completion}


def _short(sample: Mapping[str, Any]) -> dict[str, Any]:
    """A sample as the list in the page has it."""
    short = {
        name: sample[name] for name in ("id", "epoch", "metadata", "model_usage", "total_time", "working_time", "uuid")
    }
    short |= {"input": sample["input"][:_SHORT], "target": sample["target"][:_SHORT], "completed": True}
    short["scores"] = {
        name: score | {"answer": score["answer"] and score["answer"][:_SHORT]}
        for name, score in sample["scores"].items()
    }
    if "error" in sample:
        short["error"] = sample["error"]["message"]
    return short


def _results(source: Source) -> dict[str, Any]:
    """The average score with its error, and that of each bootcamp."""
    summary = source.contents.summary
    figures = {"mean": summary.avg_score, "stderr": summary.mean and summary.mean.error_new_questions}
    by_bootcamp = {group.bootcamp: group.avg_score for group in summary.groups}
    return {
        "total_samples": max(summary.n_samples, source.n_samples),
        "completed_samples": summary.n_answered,
        "scores": [
            {
                "name": name,
                "scorer": _SCORER,
                "reducer": "mean" if summary.repeats > 1 else None,
                "params": {},
                "scored_samples": summary.n_scored,
                "unscored_samples": source.n_samples - summary.n_scored,
                "metrics": {
                    metric: {"name": metric, "value": value, "params": {}}
                    for metric, value in values.items()
                    if value is not None
                },
            }
            for name, values in ((_SCORER, figures), ("bootcamps", by_bootcamp))
        ],
    }


def _stats(source: Source, model: str) -> dict[str, Any]:
    tokens = source.contents.summary.tokens
    n_prompt, n_completion = tokens.prompt or 0, tokens.completion or 0
    usage = {"input_tokens": n_prompt, "output_tokens": n_completion, "total_tokens": n_prompt + n_completion}
    return {
        "started_at": _iso(source.started),
        "completed_at": _iso(source.ended),
        "model_usage": {model: usage} if tokens.n_counted else {},
    }
