"""The files of lm-evaluation-harness: `MODEL/results_TIME.json` and a `samples_TASK_TIME.jsonl` for each task.

A task is a data source in a test file. Its metric is `score`, the mean of the questions' means, with the standard error
for new questions. The repeats of a question stand in one line of the samples, as `resps`; of a file that is not
finished, in as many lines as they lie apart. Samples without an answer are left out, those without a verdict have no
score.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootcamp_cli import __version__
from bootcamp_cli.exports.source import Row, Source, encoded, plain_json, stamp
from bootcamp_cli.text import encodable

if TYPE_CHECKING:
    from bootcamp_cli.analysis.summary import GroupSummary

_UNSAFE_IN_MODEL = re.compile(r"[\"<>:/|\\?*\[\]\s\x00-\x1f]+")
_UNSAFE_IN_TASK = re.compile(r"\W")
_MAX_NAME_BYTES = 150
_BUFFER_BYTES = 16 * 1024 * 1024
_METRIC = "score"
_KEY = itemgetter("file", "data_source")
_COLUMNS = ("file", "row", "id", "data_source", "score", "prompt", "output", "reasoning_content", "ground_truth")

_CONFIG = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "max_tokens": "max_gen_toks",
    "stop": "until",
    "seed": "seed",
}
"""What lm-eval calls the parameters that it knows."""


def write_lm_eval(source: Source, folder: Path) -> None:
    """Write the samples and the results below a folder; the same run gives the same bytes."""
    summary = source.contents.summary
    below = folder / sanitized_model(summary.model_name)
    below.mkdir()
    time = stamp(source.started)
    tasks = _Tasks(summary.groups)
    kwargs = {key: source.parameters[name] for name, key in _CONFIG.items() if name in source.parameters}
    hashes: defaultdict[str, Any] = defaultdict(hashlib.sha256)
    samples = _Appended()
    for question in _questions(source):
        task = tasks.name(*_KEY(question[0]))
        sample = _sample(question, kwargs)
        hashes[task].update("".join(sample[f"{part}_hash"] for part in ("doc", "prompt", "target")).encode())
        samples.append(below / f"samples_{tasks.file_name(task)}_{time}.jsonl", encoded(sample) + b"\n")
    samples.flush()
    digests = {task: digest.hexdigest() for task, digest in hashes.items()}
    results = json.dumps(_results(source, tasks, kwargs, digests), indent=2)
    (below / f"results_{time}.json").write_text(results, encoding="ascii")


def sanitized_model(name: str) -> str:
    """The folder of a model: what cannot stand in a path becomes `__`."""
    safe = _cut(_UNSAFE_IN_MODEL.sub("__", encodable(name)))
    return safe if safe.strip(".") else "__"


def _cut(name: str) -> str:
    return name.encode()[:_MAX_NAME_BYTES].decode(errors="ignore")


class _Tasks:
    """The names of the tasks: data sources, with the name of the file where several files have one."""

    def __init__(self, groups: "Sequence[GroupSummary]") -> None:
        self.groups: dict[str, GroupSummary] = {}
        self._names: dict[tuple[str, str | None], str] = {}
        self._file_names: dict[str, str] = {}
        sources = [group.data_source for group in groups]
        for group in groups:
            stem = Path(group.file).stem
            name = group.data_source or stem
            self._add((group.file, group.data_source), name if sources.count(name) <= 1 else f"{name}_{stem}")
            self.groups[self._names[group.file, group.data_source]] = group

    def name(self, file: str, data_source: str | None) -> str:
        """The task of a data source in a test file."""
        if (file, data_source) not in self._names:  # while a run writes: its first record came after the summary
            self._add((file, data_source), data_source or Path(file).stem)
        return self._names[file, data_source]

    def file_name(self, task: str) -> str:
        """A task's name as part of a file name."""
        return self._file_names[task]

    def _add(self, key: tuple[str, str | None], name: str) -> None:
        name = _unused(encodable(name), self._file_names)
        self._names[key] = name
        safe = _UNSAFE_IN_TASK.sub("_", name)
        self._file_names[name] = _unused(_cut(safe), {*self._file_names.values()})


def _unused(name: str, used: "set[str] | dict[str, str]") -> str:
    """A name, with a number where it is taken."""
    numbered, n = name, 1
    while numbered in used:
        n += 1
        numbered = f"{name}_{n}"
    return numbered


class _Appended:
    """Appends to any number of files, none of which stays open."""

    def __init__(self) -> None:
        self._buffers: defaultdict[Path, list[bytes]] = defaultdict(list)
        self._n_bytes = 0

    def append(self, path: Path, content: bytes) -> None:
        """Append to a file, sooner or later."""
        self._buffers[path].append(content)
        self._n_bytes += len(content)
        if self._n_bytes >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what has been appended."""
        for path, parts in self._buffers.items():
            with path.open("ab") as file:
                file.writelines(parts)
        self._buffers.clear()
        self._n_bytes = 0


def _questions(source: Source) -> Iterator[list[Row]]:
    """The answered samples, those of a question that lie together at once."""
    answered = (row for row in source.rows(_COLUMNS) if row["output"] is not None)
    return (list(samples) for _, samples in groupby(answered, itemgetter("file", "row")))


def _sample(question: Sequence[Row], kwargs: dict[str, Any]) -> dict[str, Any]:
    """A line of the samples: a question with its answers."""
    first = question[0]
    scores = [row["score"] for row in question if row["score"] is not None]
    answers = [row["output"] for row in question]
    prompt, target = first["prompt"] or "", first["ground_truth"] or ""
    doc = {name: first[name] for name in ("id", "file", "row", "data_source")}
    doc |= {"prompt": prompt, "ground_truth": plain_json(first["ground_truth"])}
    reasoning = [row["reasoning_content"] for row in question]
    return {
        "doc_id": first["row"],
        "doc": doc,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": kwargs}},
        "resps": [answers],
        "filtered_resps": answers[:1],
        "filter": "none",
        "metrics": [_METRIC],
        "doc_hash": hashlib.sha256(encoded(doc)).hexdigest(),
        "prompt_hash": _hash(prompt),
        "target_hash": _hash(target),
        _METRIC: sum(scores) / len(scores) if scores else None,
        **({"reasoning_content": reasoning} if any(reasoning) else {}),
    }


def _hash(text: str) -> str:
    return hashlib.sha256(encodable(text).encode()).hexdigest()


def _results(source: Source, tasks: _Tasks, kwargs: dict[str, Any], hashes: dict[str, str]) -> dict[str, Any]:
    """The content of the results file."""
    summary, manifest = source.contents.summary, source.contents.manifest
    tool = manifest.tool.version if manifest and manifest.tool else __version__
    url, mode = source.parameters.get("url"), source.parameters.get("api_mode")
    results = {name: _figures(name, group) for name, group in tasks.groups.items()}
    ended = source.ended
    return {
        "results": results,
        "configs": {
            name: {
                "task": name,
                "dataset_name": summary.test_dir,
                "test_split": group.file,
                "output_type": "generate_until",
                "num_fewshot": 0,
                "repeats": summary.repeats,
                "metric_list": [{"metric": _METRIC, "aggregation": "mean", "higher_is_better": True}],
                "generation_kwargs": kwargs,
                "metadata": {"version": tool},
            }
            for name, group in tasks.groups.items()
        },
        "versions": dict.fromkeys(tasks.groups, tool),
        "n-shot": dict.fromkeys(tasks.groups, 0),
        "higher_is_better": {name: {_METRIC: True} for name in tasks.groups},
        "n-samples": {
            name: {"original": group.n_questions, "effective": results[name]["sample_len"]}
            for name, group in tasks.groups.items()
        },
        "config": {
            "model": "local-completions" if mode == "completion" else "local-chat-completions",
            "model_args": {"model": summary.model_name, **({"base_url": url} if isinstance(url, str) else {})},
            "gen_kwargs": kwargs,
            "limit": source.parameters.get("limit"),
        },
        "date": source.started.timestamp(),
        "start_time": source.started.timestamp(),
        "end_time": ended and ended.timestamp(),
        "model_source": "bootcamp",
        "model_name": summary.model_name,
        "model_name_sanitized": sanitized_model(summary.model_name),
        "lm_eval_version": f"bootcamp {tool}",
        "task_hashes": hashes,
    }


def _figures(name: str, group: "GroupSummary") -> dict[str, Any]:
    """The results of a task; without a score or an error they are what lm-eval says of a figure that it lacks."""
    error = group.mean and group.mean.error_new_questions
    return {
        "alias": name,
        f"{_METRIC},none": "N/A" if group.avg_score is None else group.avg_score,
        f"{_METRIC}_stderr,none": "N/A" if error is None else error,
        "sample_len": group.mean.n_questions if group.mean else 0,
    }
