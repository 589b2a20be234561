"""The tool beside other evaluation tools, installed from the package registry into an environment of their own.

`python -m tests.benchmarks.peers [--peer openai --peer inspect-ai --peer lm-eval] [--shape exponential]`. Each peer
sends the prompts of the public test dir to the stub with 128 slots and scores the answers by a string match; it is
heavy: lm-eval brings torch.
"""

import json
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from os import environ
from os.path import relpath
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.data import n_rows, public_test_dir
from tests.benchmarks.loops import loop_command
from tests.benchmarks.measure import ROOT, Cost, run, stub, tool_command

N_SLOTS = 128

_INSPECT_TASK = """
import json, pathlib
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

@task
def prompts():
    rows = json.loads(pathlib.Path({rows!r}).read_text())
    return Task(dataset=MemoryDataset([Sample(input=row["prompt"], target="7") for row in rows]),
                solver=generate(), scorer=includes())
"""

_LM_EVAL_TASK = """
task: prompts
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows!r}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "7"
generation_kwargs: {{max_gen_toks: 32768, until: ["<|im_end|>"]}}
metric_list: [{{metric: exact_match}}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What to install, and how the command line is made of URL, prompts, folder for its files, and interpreter."""

    packages: tuple[str, ...]
    command: Callable[[str, Path, Path, Path], list[str]]


def _openai(url: str, test_dir: Path, _folder: Path, python: Path) -> list[str]:
    return [str(python), *loop_command("openai", url, test_dir, n=n_rows(test_dir), n_slots=N_SLOTS)[1:]]


def _inspect(url: str, test_dir: Path, folder: Path, python: Path) -> list[str]:
    (folder / "task.py").write_text(_INSPECT_TASK.format(rows=str(_rows(test_dir, folder))))
    options = [f"--model-base-url={url}", f"--max-connections={N_SLOTS}", f"--log-dir={folder}", "--display=none"]
    return [
        str(python.with_name("inspect")),
        "eval",
        relpath(folder / "task.py", ROOT),
        "--model=openai-api/stub/stub",
        "--max-tokens=32768",
        f"--max-samples={N_SLOTS}",
        *options,
    ]


def _lm_eval(url: str, test_dir: Path, folder: Path, python: Path) -> list[str]:
    (folder / "prompts.yaml").write_text(_LM_EVAL_TASK.format(rows=str(_rows(test_dir, folder))))
    server = f"model=stub,base_url={url}/completions,num_concurrent={N_SLOTS}"
    return [
        str(python.with_name("lm_eval")),
        "run",
        "--model=local-completions",
        f"--model_args={server},tokenized_requests=False,tokenizer_backend=none",
        "--tasks=prompts",
        f"--include_path={folder}",
        f"--output_path={folder / 'out'}",
        "--log_samples",
    ]


PEERS = {
    "openai": Peer(packages=("openai",), command=_openai),
    "inspect-ai": Peer(packages=("inspect-ai", "openai"), command=_inspect),
    "lm-eval": Peer(packages=("lm-eval[api]", "torch==2.13.0"), command=_lm_eval),
}


def measured(name: str, server: list[str]) -> Cost:
    """Install a peer and run it."""
    peer = PEERS[name]
    with TemporaryDirectory(prefix="bootcamp-peer-") as folder, public_test_dir() as test_dir:
        python = Path(folder) / "venv" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *peer.packages], check=True)
        with stub(*server) as url:
            offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": folder, "HOME": folder}
            offline["STUB_API_KEY"] = "EMPTY"
            cost = run(name, peer.command(url, test_dir, Path(folder), python), url, env=environ | offline)
    if not cost.n:
        raise SystemExit(f"{name}: exit code {cost.exit_code} before the first request")
    return cost


def _rows(test_dir: Path, folder: Path) -> Path:
    """The prompts as one JSON file."""
    path = folder / "rows.json"
    lines = [line for file in sorted(test_dir.glob("*.jsonl")) for line in file.read_bytes().splitlines()]
    path.write_text(json.dumps([{"prompt": json.loads(line)["prompt"]} for line in lines]))
    return path


def main() -> None:
    """Measure the tool and the chosen peers, one after another."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.peers")
    parser.add_argument("--peer", action="append", choices=PEERS, default=[])
    parser.add_argument("--shape", default="none")
    given = parser.parse_args()
    server = [f"--shape={given.shape}"]
    with public_test_dir() as test_dir, TemporaryDirectory() as output, stub(*server) as url:
        own = run("bootcamp", tool_command(url, test_dir, Path(output), n_slots=N_SLOTS), url)
    for cost in [own, *(measured(name, server) for name in given.peer or PEERS)]:
        busy = f"{100 * cost.requests['slot_s'] / (N_SLOTS * cost.wall_s):.0f} %" if given.shape != "none" else "-"
        sys.stdout.write(
            f"{cost.name:12} exit {cost.exit_code}  {cost.n} requests  {cost.cpu_s_per_1000:7.2f} CPU-s/1000"
            f"  {cost.cpu_s_per_1000 / own.cpu_s_per_1000:5.1f} times  busy {busy}"
            f"  {cost.main_mb:4.0f} MB  first request after {cost.first_request_s:5.1f} s\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
