"""The tool beside other evaluation tools, installed from the package registry, each into an environment of its own.

`python -m tests.benchmarks.peers [--peer evalscope] [--venvs DIR] [--json FILE]`. All send the prompts of the public
test dir to the stub from 128 slots, and score answers by a string match where they score. Each runs without latency,
with exponential latencies of 300 ms, and once more so until it is killed (SIGKILL) halfway and told to go on.
"""

import json
import os
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import asdict, dataclass
from os.path import relpath
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.data import n_rows, public_test_dir
from tests.benchmarks.loops import loop_command
from tests.benchmarks.measure import ROOT, Cost, run, stub, tool_command, traffic

N_SLOTS = 128
_LATENCY = "--shape=exponential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a command line is made of: the server, the prompts, a folder for its files, and its interpreter."""

    url: str
    test_dir: Path
    folder: Path
    python: Path

    def rows(self) -> Path:
        """The prompts as one file of lines."""
        path = self.folder / "rows" / "default_test.jsonl"
        path.parent.mkdir(exist_ok=True)
        lines = [line for file in sorted(self.test_dir.glob("*.jsonl")) for line in file.read_bytes().splitlines()]
        path.write_text("".join(f"{json.dumps({'prompt': json.loads(line)['prompt']})}\n" for line in lines))
        return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What to install, its command line, and the one that goes on after it was killed, where there is one."""

    packages: tuple[str, ...]
    command: Callable[[Place], list[str]]
    again: Callable[[Place], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was measured of a peer; `repeated` counts requests that were sent again after the kill."""

    version: str
    cpu_s_per_1000: float
    cpu_s_per_1000_with_latency: float
    busy: float
    mb: float
    first_request_s: float
    n_at_kill: int
    repeated: int


def _tool(place: Place) -> list[str]:
    return tool_command(place.url, place.test_dir, place.folder / "out", n_slots=N_SLOTS)


def _tool_again(place: Place) -> list[str]:
    return [sys.executable, "-m", "bootcamp_cli", "resume", f"--output-dir={place.folder / 'out'}"]


def _openai(place: Place) -> list[str]:
    command = loop_command("openai", place.url, place.test_dir, n=n_rows(place.test_dir), n_slots=N_SLOTS)
    return [str(place.python), *command[1:]]


_INSPECT_TASK = """
import json, pathlib
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

@task
def prompts():
    lines = pathlib.Path({rows!r}).read_text().splitlines()
    return Task(dataset=MemoryDataset([Sample(input=json.loads(line)["prompt"], target="7") for line in lines]),
                solver=generate(), scorer=includes())
"""


def _inspect(place: Place) -> list[str]:
    (place.folder / "task.py").write_text(_INSPECT_TASK.format(rows=str(place.rows())))
    words = ["eval", relpath(place.folder / "task.py", ROOT), "--model=openai-api/stub/stub", "--max-tokens=32768"]
    return [str(place.python.with_name("inspect")), *words, f"--model-base-url={place.url}", *_inspect_options(place)]


def _inspect_again(place: Place) -> list[str]:
    logs = [str(path) for path in place.folder.glob("logs/*.eval")]
    return [str(place.python.with_name("inspect")), "eval-retry", *logs, *_inspect_options(place)]


def _inspect_options(place: Place) -> list[str]:
    slots = [f"--max-connections={N_SLOTS}", f"--max-samples={N_SLOTS}"]
    return [*slots, f"--log-dir={place.folder / 'logs'}", "--display=none"]


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


def _lm_eval(place: Place) -> list[str]:
    (place.folder / "prompts.yaml").write_text(_LM_EVAL_TASK.format(rows=str(place.rows())))
    server = f"model=stub,base_url={place.url}/completions,num_concurrent={N_SLOTS}"
    return [
        str(place.python.with_name("lm_eval")),
        "run",
        "--model=local-completions",
        f"--model_args={server},tokenized_requests=False,tokenizer_backend=none",
        "--tasks=prompts",
        f"--include_path={place.folder}",
        f"--output_path={place.folder / 'out'}",
        "--log_samples",
        f"--use_cache={place.folder / 'cache'}",
    ]


_EVALSCOPE_RUN = """
from pathlib import Path
from evalscope import TaskConfig, run_task
from evalscope.api.benchmark import BenchmarkMeta, DefaultDataAdapter
from evalscope.api.dataset import Sample
from evalscope.api.registry import register_benchmark
from evalscope.constants import Tags

@register_benchmark(BenchmarkMeta(name="prompts", pretty_name="prompts", description="prompts", tags=[Tags.CUSTOM],
                                  dataset_id={rows!r}, metric_list=["acc"], eval_split="test",
                                  prompt_template="{{question}}"))
class Prompts(DefaultDataAdapter):
    def load_from_disk(self, **options):
        return super().load_from_disk(use_local_loader=True)

    def record_to_sample(self, record):
        return Sample(input=record["prompt"], target="7")

run_task(TaskConfig(model="stub", api_url={url!r}, api_key="EMPTY", eval_type="openai_api", datasets=["prompts"],
                    dataset_args={{"prompts": {{"local_path": {rows!r}}}}}, eval_batch_size={n_slots},
                    generation_config={{"max_tokens": 32768}}, work_dir={out!r}, use_cache={cache!r}))
"""


def _evalscope(place: Place) -> list[str]:
    earlier = [str(path) for path in (place.folder / "out").glob("*")]
    script = place.folder / "evalscope_run.py"
    script.write_text(
        _EVALSCOPE_RUN.format(
            rows=str(place.rows().parent),
            url=place.url,
            n_slots=N_SLOTS,
            out=str(place.folder / "out"),
            cache=earlier[0] if earlier else None,
        )
    )
    return [str(place.python), str(script)]


TOOL = "bootcamp"
PEERS = {
    "openai": Peer(packages=("openai",), command=_openai, again=_openai),
    "lm-eval": Peer(packages=("lm-eval[api]",), command=_lm_eval, again=_lm_eval),
    "inspect-ai": Peer(packages=("inspect-ai", "openai"), command=_inspect, again=_inspect_again),
    "evalscope": Peer(packages=("evalscope",), command=_evalscope, again=_evalscope),
}
_OWN = Peer(packages=(), command=_tool, again=_tool_again)


def measured(name: str, peer: Peer, python: Path, version: str) -> Found:
    """Run a peer without latency, with latencies, and with a kill halfway."""
    with public_test_dir() as test_dir:
        quick, slow = (_cost(name, peer, python, test_dir, *server) for server in ((), (_LATENCY,)))
        n_at_kill, n_all = _killed(peer, python, test_dir)
        return Found(
            version=version,
            cpu_s_per_1000=quick.cpu_s_per_1000,
            cpu_s_per_1000_with_latency=slow.cpu_s_per_1000,
            busy=slow.busy_share(N_SLOTS),
            mb=quick.main_mb,
            first_request_s=quick.first_request_s,
            n_at_kill=n_at_kill,
            repeated=n_all - n_rows(test_dir),
        )


def _cost(name: str, peer: Peer, python: Path, test_dir: Path, *server: str) -> Cost:
    with TemporaryDirectory(prefix="bootcamp-peer-") as folder, stub(*server) as url:
        place = Place(url=url, test_dir=test_dir, folder=Path(folder), python=python)
        cost = run(name, peer.command(place), url, env=_environment(place))
    if cost.n < n_rows(test_dir):
        raise SystemExit(f"{name}: exit code {cost.exit_code} after {cost.n} requests")
    return cost


def _killed(peer: Peer, python: Path, test_dir: Path) -> tuple[int, int]:
    """Kill a peer when half of the requests are sent, and let it go on: the requests until then, and all."""
    with TemporaryDirectory(prefix="bootcamp-peer-") as folder, stub(_LATENCY) as url:
        place = Place(url=url, test_dir=test_dir, folder=Path(folder), python=python)
        first = _started(peer.command(place), place)
        while first.poll() is None and traffic(url)["n_requests"] < n_rows(test_dir) // 2:
            time.sleep(0.1)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        n_at_kill = traffic(url)["n_requests"]
        _started(peer.again(place), place).wait()
        return n_at_kill, traffic(url)["n_requests"]


def _started(command: list[str], place: Place) -> subprocess.Popen[bytes]:
    null = subprocess.DEVNULL
    return subprocess.Popen(
        command, cwd=ROOT, env=_environment(place), start_new_session=True, stdin=null, stdout=null, stderr=null
    )


def _environment(place: Place) -> dict[str, str]:
    """Nothing is to be fetched, and the user's files are left alone."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(place.folder)}
    return os.environ | offline | {"HOME": str(place.folder), "STUB_API_KEY": "EMPTY"}


def installed(peer: Peer, venv: Path) -> tuple[Path, str]:
    """The interpreter of an environment with a peer, which is made where it is missing, and the peer's version."""
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *peer.packages], check=True)
    name = peer.packages[0].partition("[")[0]
    code = f"from importlib.metadata import version; print(version({name!r}))"
    return python, subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Measure the tool and the chosen peers, one after another."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.peers")
    parser.add_argument("--peer", action="append", choices=[TOOL, *PEERS], default=[])
    parser.add_argument("--venvs", type=Path, help="keep the environments in this directory")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    results = {}
    print("| | version | CPU-s/1000 | with 300 ms | busy | MB | first request, s | sent before SIGKILL | sent again |")
    print("|---|---|---|---|---|---|---|---|---|")
    with TemporaryDirectory(prefix="bootcamp-peers-") as folder:
        for name in given.peer or [TOOL, *PEERS]:
            if name == TOOL:
                found = measured(name, _OWN, Path(sys.executable), "")
            else:
                python, version = installed(PEERS[name], (given.venvs or Path(folder)) / name)
                found = measured(name, PEERS[name], python, version)
            results[name] = asdict(found)
            print(
                f"| {name} | {found.version} | {found.cpu_s_per_1000:.2f} | {found.cpu_s_per_1000_with_latency:.2f}"
                f" | {100 * found.busy:.1f} % | {found.mb:.0f} | {found.first_request_s:.1f}"
                f" | {found.n_at_kill} | {found.repeated} |",
                flush=True,
            )
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
