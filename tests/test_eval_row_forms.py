"""Evaluations of rows as later packages write them: what is sent, recorded and scored."""

import json
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli import Run, evaluate_async
from bootcamp_cli.bootcamps.registry import CATALOG
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.types import BootcampRef
from bootcamp_cli.verdicts import score
from tests.bootcamps_builder import verify_all, write_bootcamp
from tests.raw_server import Reply, http, serving_paths
from tests.test_eval_run_directory import json_lines
from tests.test_verdicts import LADDER, ONE_WORKER, TRUTH

PUBLIC_SET = Path(__file__).parents[2] / "shared" / "eval_data"
MESSAGES = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "?", "name": "a"},
    {"content": [{"type": "text", "text": "cat to "}, {"type": "text", "text": "dog"}], "role": "user"},
]
LATER = {
    "data_source": f"bootcamp/{LADDER}",
    "prompt": MESSAGES,
    "ability": "logic",
    "reward_model": {"style": "rule", "ground_truth": json.dumps(TRUTH)},
    "extra_info": {"index": 0},
}
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def replies() -> dict[str, Reply]:
    """A server that answers everything with the right number of steps."""
    choice = {"index": 0, "finish_reason": "stop"}
    chat = {"choices": [choice | {"message": {"role": "assistant", "content": "[[3]]"}}], "usage": USAGE}
    text = {"choices": [choice | {"text": "[[3]]"}], "usage": USAGE}
    models = {"data": [{"id": "m", "max_model_len": 4096}]}
    return {
        "/v1/models": http(200, models),
        "/v1/chat/completions": http(200, chat),
        "/v1/completions": http(200, text),
    }


async def evaluated(tmp_path: Path, **values: Any) -> tuple[Run, list[dict[str, Any]], list[str]]:
    """A run over one row of the later form and one of today's: with the bodies that were sent, and the messages."""
    test_dir = tmp_path / "tests"
    test_dir.mkdir()
    today = {"data_source": LADDER, "prompt": "p", "ground_truth": TRUTH}
    (test_dir / "a.jsonl").write_text(f"{json.dumps(LATER)}\n{json.dumps(today)}\n", encoding="utf-8")
    told: list[str] = []
    async with serving_paths(replies()) as server:
        settings = Settings(
            url=server.url,
            model_name="m",
            test_dir=test_dir,
            output_dir=tmp_path / "out",
            max_concurrent_requests=1,
            verify_workers=1,
            bos="keep",
            **values,
        )
        run = await evaluate_async(settings, lambda event: told.append(getattr(event, "message", "")))
        assert (await evaluate_async(Settings(**{**vars_of(settings), "resume": True}))).path == run.path
        return run, [json.loads(body) for body in server.bodies if body], told


def vars_of(settings: Settings) -> dict[str, Any]:
    """The values of settings by name."""
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


@pytest.mark.anyio
@pytest.mark.parametrize("sys_prompt", [None, "you are a puzzler"])
async def test_chat_mode_sends_the_list_as_it_is(tmp_path: Path, sys_prompt: str | None) -> None:
    """The server gets the messages word for word, also beside a system prompt, which is said and goes to other rows."""
    values: dict[str, Any] = {"api_mode": "chat_completion", "sys_prompt": sys_prompt, "seed": 3, "repeats": 2}
    run, bodies, told = await evaluated(tmp_path, **values)
    user = {"role": "user", "content": "p"}
    of_today = [user] if sys_prompt is None else [{"role": "system", "content": sys_prompt}, user]
    assert [(body.pop("messages"), body.pop("seed")) for body in bodies] == [
        *[(MESSAGES, 3), (MESSAGES, 4)],
        *[(of_today, 3), (of_today, 4)],
    ]
    assert all(body == bodies[0] for body in bodies)
    assert [record["score"] for record in json_lines(run.path / "details" / "a.jsonl")] == [1.0] * 4
    assert sum("without the system prompt" in text for text in told) == (sys_prompt is not None)


@pytest.mark.anyio
async def test_completion_mode_renders_the_last_text_of_the_user(tmp_path: Path) -> None:
    """The template gets the text of the last user message, and that is said once."""
    run, bodies, told = await evaluated(tmp_path, template="r1")
    assert [body["prompt"].count("cat to dog") for body in bodies] == [1, 0]
    assert not any("first" in body["prompt"] or "messages" in body for body in bodies)
    assert sum("1 row with a list of messages as prompt: completion mode" in text for text in told) == 1
    [later, today] = json_lines(run.path / "details" / "a.jsonl")
    assert (later["prompt"], later["data_source"], later["score"]) == ("cat to dog", LADDER, 1.0)
    assert later["ground_truth"] == json.dumps(TRUTH), "as it stands in the row"
    assert today["score"] == 1.0
    [meta] = json_lines(run.path / "meta.jsonl")
    assert (meta["bootcamp"], meta["n"], meta["avg_score"]) == (f"{LADDER}bootcamp", 2, 1.0)
    rescored = await run.rescore_async(ONE_WORKER)
    assert (rescored.n_verified, rescored.changes) == (2, [])


@pytest.mark.anyio
async def test_max_tokens_that_is_auto_leaves_room_for_the_messages(tmp_path: Path) -> None:
    """The length of the list counts, not that of the text that stands for it."""
    _, bodies, _ = await evaluated(tmp_path, api_mode="chat_completion", max_tokens="auto")
    assert bodies[0]["max_tokens"] < bodies[1]["max_tokens"] < 4096


def test_a_text_that_holds_an_object_is_that_object_where_one_is_wanted() -> None:
    """Built-in bootcamps score a ground truth that is a JSON text like the object in it, under either data source."""
    text = json.dumps(TRUTH)
    verdicts = [
        score(name, "[[3]]", truth, settings=ONE_WORKER)
        for name, truth in ((LADDER, TRUTH), (LADDER, text), (f"bootcamp/{LADDER}", text))
    ]
    assert [verdict.score for verdict in verdicts] == [1.0] * 3


def test_a_text_that_is_meant_as_text_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point gets the ground truth of the row; a text without an object is a text for every bootcamp."""
    monkeypatch.syspath_prepend(tmp_path)
    source = "def extract_output(output): return output\ndef check(solution, truth): return type(truth) is str\n"
    as_builtin = write_bootcamp(tmp_path, "texts", source)
    ref = BootcampRef(data_source="x", origin="entry_point", target=as_builtin.target)
    texts = ['{"a": 1}', "[1]", '"a"', "{", "\ud800", "[" * 10_000]
    assert [verdict.score for verdict in verify_all([(ref, "", text) for text in texts])] == [1.0] * len(texts)
    of_builtin = [verdict.score for verdict in verify_all([(as_builtin, "", text) for text in texts])]
    assert of_builtin == [0.0, *[1.0] * (len(texts) - 1)]
    assert BootcampRef(data_source="x", origin="upstream", target="a:b").takes_object


@pytest.mark.parametrize("data_source", CATALOG)
def test_the_ground_truths_of_built_in_bootcamps_are_objects(data_source: str) -> None:
    """No public row of a built-in bootcamp has a text as ground truth that would be taken for something else."""
    if not PUBLIC_SET.is_dir():
        pytest.skip(f"{PUBLIC_SET} is not there")
    kinds = {
        type(row["ground_truth"])
        for path in PUBLIC_SET.glob("*.jsonl")
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()[:64])
        if row["data_source"] == data_source
    }
    assert kinds == {dict}
