"""The demo's "model": finding samples in rendered prompts, and answering them well or badly, always alike."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.bootcamps.registry import load_builtin as load
from bootcamp_cli.bootcamps.scoring import CheckVerifier, score
from bootcamp_cli.demo.chance import chance
from bootcamp_cli.demo.config import DemoConfig
from bootcamp_cli.demo.instances.directory import GENERATORS
from bootcamp_cli.demo.model import THINK_END, Generated, generate, latency_s
from bootcamp_cli.demo.samples import KnownSample, SampleIndex, digest, load_samples

WELL_KNOWN = (
    "{}",
    "<|im_start|>system\nbe right<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n",
    "<｜begin▁of▁sentence｜><｜User｜>{}<｜Assistant｜><think>\n",
)
OTHERS = ("[INST] {} [/INST]", "{}\nAnswer:")


@given(
    prompts=st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True),
    template=st.sampled_from(WELL_KNOWN + OTHERS),
)
def test_a_sample_is_found_in_every_template(prompts: list[str], template: str) -> None:
    """A known prompt is found bare, in the well-known templates and in others, whatever it consists of."""
    index = SampleIndex()
    for prompt in prompts:
        index.add(prompt, "Riddles", 1)
    longest = max(prompts, key=len)
    found, sample = index.find(template.replace("{}", longest))
    assert sample is not None
    if template in WELL_KNOWN:
        assert found == digest(longest)


def test_an_unknown_text_has_no_sample() -> None:
    """A text without a known prompt is named by itself."""
    index = SampleIndex()
    index.add("what is asked", "Riddles", 1)
    assert index.find("something else") == (digest("something else"), None)


def test_lines_that_are_no_samples_are_passed_over(tmp_path: Path) -> None:
    """Broken lines, wrong types and other files are ignored; BOM, CRLF and the first of equal prompts count."""
    row = {"prompt": "p", "data_source": "Sudoku", "ground_truth": [1]}
    lines = [json.dumps(row), "{", "[]", json.dumps(row | {"prompt": 1}), json.dumps(row | {"ground_truth": 2}), ""]
    (tmp_path / "a.jsonl").write_bytes("\r\n".join(lines).encode("utf-8-sig") + b"\xff\n")
    (tmp_path / "notes.txt").write_text(json.dumps(row | {"prompt": "q"}), encoding="utf-8")
    index = load_samples(tmp_path)
    assert len(index) == 1
    _, sample = index.find("p")
    assert sample is not None
    assert sample.truth() == [1]


def samples(test_dir: Path) -> dict[str, list[tuple[str, KnownSample]]]:
    """The digests and samples of a generated test dir by data source."""
    index = load_samples(test_dir)
    found: dict[str, list[tuple[str, KnownSample]]] = {}
    for path in test_dir.glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            name, sample = index.find(json.loads(line)["prompt"])
            assert sample is not None
            found.setdefault(sample.data_source, []).append((name, sample))
    return found


def scored(generated: Generated, sample: KnownSample) -> float | None:
    """The score of an output."""
    bootcamp = load(sample.data_source)
    verifier = CheckVerifier(extract_output=bootcamp.extract_output, check=bootcamp.check)
    return score(verifier, generated.text, sample.truth()).score


@pytest.mark.parametrize("data_source", sorted(GENERATORS))
def test_full_skill_scores_in_full_and_no_skill_does_not(data_source: str, demo_test_dir: Path) -> None:
    """With skill 1 every built-in bootcamp's samples are solved, with skill 0 none is, in spite of the prose around."""
    known = samples(demo_test_dir)[data_source]
    able, unable = DemoConfig(skills={"*": 1.0}), DemoConfig(skills={data_source: 0.0})
    assert [scored(generate(able, name, sample), sample) for name, sample in known] == [1.0] * len(known)
    assert all(scored(generate(unable, name, sample), sample) != 1.0 for name, sample in known)


def test_answers_are_repeatable_and_differ_by_seed(demo_test_dir: Path) -> None:
    """The same seed and prompt give the same output; another seed gives others; every fate occurs."""
    known = [entry for entries in samples(demo_test_dir).values() for entry in entries]
    once, again, other = (
        [generate(DemoConfig(seed=seed), name, sample) for name, sample in known] for seed in (0, 0, 1)
    )
    assert once == again
    assert once != other
    fates = Counter((answer.finish_reason, THINK_END in answer.text) for answer in once)
    assert set(fates) == {("stop", True), ("length", False)}


def test_wrong_ground_truths_are_answered_all_the_same() -> None:
    """A ground truth that the bootcamp cannot use gives an answer without a solution."""
    for skill in (0.0, 1.0):
        sample = KnownSample(data_source="Sudoku", ground_truth=b'"no puzzle"')
        assert generate(DemoConfig(skills={"*": skill}), "name", sample).text


def test_a_rows_own_answer_is_given_word_for_word(tmp_path: Path) -> None:
    """A row that has an answer gets exactly that, whatever the skill; others are answered as ever."""
    row = {"prompt": "p", "data_source": "Riddles", "ground_truth": 1}
    lines = [json.dumps(row | {"answer": "\x1b[2J 汉"}), json.dumps(row | {"prompt": "q", "answer": 5})]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    index = load_samples(tmp_path)
    config = DemoConfig(skills={"*": 0.0})
    assert generate(config, *index.find("p")) == Generated(text="\x1b[2J 汉", finish_reason="stop")
    assert generate(config, *index.find("q")) == generate(config, digest("q"), None)


def test_latencies_have_the_asked_mean_and_belong_to_the_prompt() -> None:
    """Exponential latencies have the mean that was asked for, fixed ones have it each, and none is drawn anew."""
    config = DemoConfig(latency_s=0.02)
    drawn = [latency_s(config, str(n)) for n in range(4000)]
    assert abs(sum(drawn) / len(drawn) - 0.02) < 0.002
    assert drawn[:9] == [latency_s(config, str(n)) for n in range(9)]
    assert latency_s(DemoConfig(latency_s=0.5, latency_shape="fixed"), "any") == 0.5


@given(st.lists(st.integers() | st.text()))
def test_chances_are_probabilities(about: list[int | str]) -> None:
    """A chance lies in [0, 1) and is always the same."""
    assert 0 <= chance(*about) < 1
    assert chance(*about) == chance(*about)


def test_rows_that_share_a_prompt_are_answered_in_turn() -> None:
    """The k-th request for a prompt gets the ground truth of its k-th row where these differ, else the only one."""
    index = SampleIndex()
    for steps in (3, 4, 3):
        index.add("How many steps?", "KorPuzzleWordLadder", {"correct_steps": steps})
    index.add("One way only?", "KorPuzzleWordLadder", {"correct_steps": 2})
    index.add("One way only?", "KorPuzzleWordLadder", {"correct_steps": 2})
    _, shared = index.find("How many steps?")
    _, same = index.find("One way only?")
    assert shared is not None
    assert same is not None
    assert [shared.at_turn(turn).truth()["correct_steps"] for turn in range(4)] == [3, 4, 3, 3]
    assert [same.at_turn(turn) for turn in range(2)] == [same.at_turn(0)] * 2
