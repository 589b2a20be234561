"""Evaluations against a real llama.cpp server: what arrives there, what comes back, and what happens when it dies."""

import os
import shlex
import signal
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from bootcamp_cli import Run, Settings, evaluate, open_run
from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.events import RunPaused, SampleRecorded
from bootcamp_cli.settings.model import ApiMode, BosChoice
from bootcamp_cli.templates.catalog import template_catalog
from bootcamp_cli.templates.template import PLACEHOLDER
from tests.conftest import RunBootcamp, WriteRows
from tests.interop.conftest import ROOT, Happened, LlamaServer, StartLlama, evaluate_while, settings_for
from tests.interop.llama_cpp import LlamaConfig, llama_command
from tests.interop.tiny_model import DEEPSEEK_BOS

KEY = "sk-marked-key-0123456789"
MODES: tuple[ApiMode, ...] = get_args(ApiMode)


def outputs(run: Run) -> list[str]:
    """What was answered, in the order of the questions."""
    return list(run.samples(["file", "row", "repeat", "output"])["output"])


@pytest.fixture
def questions(write_rows: WriteRows, tmp_path: Path) -> Path:
    """A test dir of eight questions."""
    rows = [
        {
            "data_source": "KorPuzzleWordLadder",
            "prompt": f"From cat to dog, please, in {n} steps, and <|im_start|> is a token.",
            "ground_truth": {"start_word": "cat", "end_word": "dog", "correct_steps": n},
        }
        for n in range(2, 10)
    ]
    return write_rows(tmp_path / "questions" / "ladders.jsonl", rows).parent


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("api_mode", MODES)
def test_64_slots(api_mode: ApiMode, stream: bool, llama: StartLlama, demo_test_dir: Path, tmp_path: Path) -> None:  # noqa: FBT001 - pytest's
    """With as many requests in flight as the server has slots, every sample is answered with the length asked for.

    The server promises to keep a connection, and closes it after each stream: that costs no attempt.
    """
    server = llama(n_slots=64, n_context=2048)
    settings = settings_for(
        server.url,
        demo_test_dir,
        tmp_path,
        api_mode=api_mode,
        stream=stream,
        max_concurrent_requests=64,
        max_retries=0,
    )
    run = evaluate(settings)
    assert run.summary.complete
    samples = run.samples(["output_len", "finish_reason", "output_len_estimated"])
    assert len(samples) == 112
    assert not samples["output_len_estimated"].any()
    assert samples["output_len"].between(0, 8).all()
    assert {*samples["finish_reason"]} <= {"length", "stop"}
    assert (samples["output_len"] == 8).mean() > 0.8


def test_modes_and_streams_agree(llama: StartLlama, questions: Path, tmp_path: Path) -> None:
    """At temperature 0 completion mode by the template, chat mode by the server's, whole and streamed are one text."""
    server = llama()
    texts = {
        (api_mode, stream): outputs(
            evaluate(
                settings_for(
                    server.url,
                    questions,
                    tmp_path,
                    api_mode=api_mode,
                    stream=stream,
                    max_tokens=40,
                    max_concurrent_requests=1,
                )
            )
        )
        for api_mode in MODES
        for stream in (False, True)
    }
    first = texts["completion", False]
    assert len({*first}) == len(first) == 8
    assert list(texts.values()) == [first] * 4


@pytest.mark.parametrize("template", ["chatml", "qwen", "qwq", "internthinker"])
def test_the_prompt_as_it_arrives(template: str, llama: StartLlama, questions: Path, tmp_path: Path) -> None:
    """In completion mode the server's tokens are those of the rendered template, and nothing else."""
    server = llama()
    run = evaluate(settings_for(server.url, questions, tmp_path, template=template, max_tokens=1))
    rendered = {template_catalog({})[template].render(prompt) for prompt in run.samples(["prompt"])["prompt"]}
    arrived = server.prompts()
    assert arrived
    assert arrived <= rendered


def test_the_messages_as_they_arrive(llama: StartLlama, questions: Path, tmp_path: Path) -> None:
    """In chat mode the server's template gets the system prompt, where there is one, and the user's text."""
    server = llama()
    with_system = settings_for(
        server.url, questions, tmp_path, api_mode="chat_completion", sys_prompt="Be brief.", max_tokens=1
    )
    prompts = evaluate(with_system).samples(["prompt"])["prompt"]
    arrived = server.prompts()
    system = "<|im_start|>system\nBe brief.<|im_end|>\n"
    rendered = {f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n" for prompt in prompts}
    assert arrived
    assert {text.removeprefix(system) for text in arrived if text.startswith(system)} <= rendered
    assert all(text.startswith(system) for text in arrived)
    evaluate(settings_for(server.url, questions, tmp_path, api_mode="chat_completion", max_tokens=1))
    assert rendered & server.prompts()


@pytest.mark.parametrize(
    ("api_mode", "bos", "n_bos"), [("completion", "auto", 1), ("completion", "keep", 2), ("chat_completion", "auto", 1)]
)
def test_begin_of_sentence(
    api_mode: ApiMode, bos: BosChoice, n_bos: int, llama: StartLlama, questions: Path, tmp_path: Path
) -> None:
    """Where the server puts a begin-of-sentence token before each prompt, that of the template is dropped.

    With `bos` keep there are two; in chat mode the server's own template has it once.
    """
    server = llama(deepseek=True)
    evaluate(settings_for(server.url, questions, tmp_path, api_mode=api_mode, template="r1", max_tokens=1, bos=bos))
    before, after = template_catalog({})["r1"].text.split(PLACEHOLDER)
    arrived = {text for text in server.prompts() if text.endswith(after)}  # without the question about the token
    assert arrived
    assert {text.count(DEEPSEEK_BOS) for text in arrived} == {n_bos}
    assert all(before in text for text in arrived)


def test_seeds(llama: StartLlama, questions: Path, tmp_path: Path) -> None:
    """Sampled texts are those of their seed: repeat r of seed 7 is what seed 7 + r gives, and a run can be repeated."""
    server = llama()

    def sampled(seed: int, repeats: int) -> list[str]:
        settings = settings_for(
            server.url,
            questions,
            tmp_path,
            temperature=1.0,
            seed=seed,
            repeats=repeats,
            max_tokens=20,
            max_concurrent_requests=1,
        )
        return outputs(evaluate(settings))

    both = sampled(7, 2)
    assert both == sampled(7, 2)
    assert (both[::2], both[1::2]) == (sampled(7, 1), sampled(8, 1))
    assert all(one != other for one, other in zip(both[::2], both[1::2], strict=True))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("api_mode", MODES)
def test_stop_words(api_mode: ApiMode, stream: bool, llama: StartLlama, questions: Path, tmp_path: Path) -> None:  # noqa: FBT001 - pytest's
    """An answer ends before the first stop word, and says so."""
    server = llama()
    settings = settings_for(
        server.url, questions, tmp_path, api_mode=api_mode, stream=stream, max_tokens=40, max_concurrent_requests=1
    )
    free = outputs(evaluate(settings))
    letters = Counter(letter for text in free for letter in {*text} if letter.isascii() and letter.isalnum())
    (word, n_texts), *_ = letters.most_common()
    stopped = evaluate(replace(settings, stop=(word,))).samples(["file", "row", "output", "finish_reason"])
    assert n_texts
    assert [text.partition(word)[0] for text in free] == list(stopped["output"])
    assert (stopped["finish_reason"] == "stop").sum() >= n_texts


def test_a_wrong_key(llama: StartLlama, questions: Path, tmp_path: Path, run_bootcamp: RunBootcamp) -> None:
    """The right key is taken; a wrong one ends the run before its first request, with exit code 4, and is not shown."""
    server = llama(api_key=KEY)
    assert evaluate(settings_for(server.url, questions, tmp_path, api_key=KEY)).summary.complete
    wrong = f"{KEY}-wrong"
    done = run_bootcamp(
        *("eval", "--url", server.url, "--model-name", "tiny", "--test-dir", questions),
        env={"BOOTCAMP_API_KEY": wrong},
    )
    assert done.returncode == 4
    assert "Invalid API Key" in done.stderr
    assert KEY not in done.stdout + done.stderr


def test_a_prompt_beyond_the_context(llama: StartLlama, write_rows: WriteRows, tmp_path: Path) -> None:
    """A prompt that the server's context cannot hold fails alone, in the server's words."""
    server = llama(n_context=512)
    truth = {"start_word": "cat", "end_word": "dog", "correct_steps": 3}
    prompts = ["From cat to dog.", "From cat to dog. " * 200]
    rows = [{"data_source": "KorPuzzleWordLadder", "prompt": prompt, "ground_truth": truth} for prompt in prompts]
    test_dir = write_rows(tmp_path / "long" / "ladders.jsonl", rows).parent
    run = evaluate(settings_for(server.url, test_dir, tmp_path))
    [failure] = run.failures().to_dict("records")
    assert (failure["row"], failure["kind"], failure["attempts"]) == (1, "http_400", 1)
    assert "exceeds the available context size" in failure["last_error"]
    assert run.summary.n_answered == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_killed_and_started_again(stream: bool, llama: StartLlama, demo_test_dir: Path, tmp_path: Path) -> None:  # noqa: FBT001 - pytest's
    """The server is killed in mid-run: the run pauses, goes on when it is back, and nothing is lost or asked twice."""
    server = llama(n_slots=16, n_context=2048)

    def act(happened: Happened) -> None:
        happened.wait_for(SampleRecorded, 20)
        server.kill()
        happened.wait_for(RunPaused)
        server.start()

    settings = settings_for(server.url, demo_test_dir, tmp_path, stream=stream, max_concurrent_requests=16)
    run = evaluate_while(settings, act)
    assert (run.summary.complete, run.summary.n_samples) == (True, 112)


def test_killed_for_good(llama: StartLlama, demo_test_dir: Path, tmp_path: Path) -> None:
    """A server that does not come back ends the run when `wait` is over; `resume` needs only what is owed."""
    server = llama(n_slots=16, n_context=2048)
    settings = settings_for(server.url, demo_test_dir, tmp_path, max_concurrent_requests=16, wait=1)

    def act(happened: Happened) -> None:
        happened.wait_for(SampleRecorded, 20)
        server.kill()

    with pytest.raises(ServerUnavailableError):
        evaluate_while(settings, act)
    run = resumed_at(server, tmp_path)
    assert (run.summary.complete, run.summary.n_samples) == (True, 112)


def resumed_at(server: LlamaServer, tmp_path: Path) -> Run:
    """The only run, continued at a server that is started again."""
    server.start()
    [path] = (tmp_path / "output").iterdir()
    return open_run(path).resume()


def processes_of(model: Path) -> list[int]:
    """The servers of a model that run, without the supervisors in front of them."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = place.read_bytes().split(b"\0")
            if str(model).encode() in words and not any(word.endswith(b"supervisor.py") for word in words):
                found.append(int(place.parent.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="the server is found in /proc")
def test_a_server_of_ones_own(tiny_models: dict[bool, Path], questions: Path, tmp_path: Path) -> None:
    """`--serve` starts llama.cpp, starts it again when it is killed in mid-run, and ends it with the run."""
    model = tmp_path / "own.gguf"
    model.symlink_to(tiny_models[False])
    command = shlex.join([*llama_command(LlamaConfig(model=model, n_slots=2)), "--until-killed"])
    serve = f"env PYTHONPATH={ROOT} {command}".replace("--port 0", "--port {port}")
    settings = settings_for(
        str(Settings().url), questions, tmp_path, serve=serve, max_retries=0, max_concurrent_requests=2, repeats=16
    )

    def kill_once(happened: Happened) -> None:
        happened.wait_for(SampleRecorded)
        [pid] = processes_of(model)
        os.kill(pid, signal.SIGKILL)
        happened.wait_for(RunPaused)

    run = evaluate_while(settings, kill_once)
    assert run.summary.complete
    assert processes_of(model) == []
    assert (run.path / "server.log").read_text().count("starting the server") == 2
    undisturbed = evaluate(replace(settings, output_dir=tmp_path / "undisturbed"))
    assert outputs(undisturbed) == outputs(run)
    assert processes_of(model) == []
