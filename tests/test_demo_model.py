"""The demo's "model": finding samples in rendered prompts, and answering them well or badly, always alike."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.bootcamps.registry import load_builtin as load
from bootcamp_cli.bootcamps.scoring import CheckVerifier, score
from bootcamp_cli.demo.instances import GENERATORS
from bootcamp_cli.demo.model import (
    THINK_END,
    DemoModel,
    Generated,
    KnownSample,
    SampleIndex,
    chance,
    digest,
    load_samples,
)
from bootcamp_cli.errors import SettingsError

WELL_KNOWN = (
    "{}",
    "<|im_start|>system\nbe right<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n",
    "<｜begin▁of▁sentence｜><｜User｜>{}<｜Assistant｜><think>\n",
)
RIDDLE = KnownSample(data_source="Riddles", ground_truth=b"1")
OTHERS = ("[INST] {} [/INST]", "{}\nAnswer:")


@given(
    prompts=st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True),
    template=st.sampled_from(WELL_KNOWN + OTHERS),
)
def test_a_sample_is_found_in_every_template(prompts: list[str], template: str) -> None:
    """A known prompt is found bare, in the well-known templates and in others, whatever it consists of."""
    index = SampleIndex()
    for prompt in prompts:
        index.add(prompt, RIDDLE)
    longest = max(prompts, key=len)
    found, sample = index.find(template.replace("{}", longest))
    assert sample is not None
    if template in WELL_KNOWN:
        assert found == digest(longest)


def test_an_unknown_text_has_no_sample() -> None:
    """A text without a known prompt is named by itself."""
    index = SampleIndex()
    index.add("what is asked", RIDDLE)
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
    able, unable = DemoModel(skills={"*": 1.0}), DemoModel(skills={data_source: 0.0})
    assert [scored(able.answer(name, sample), sample) for name, sample in known] == [1.0] * len(known)
    assert all(scored(unable.answer(name, sample), sample) != 1.0 for name, sample in known)


def test_answers_are_repeatable_and_differ_by_seed(demo_test_dir: Path) -> None:
    """The same seed and prompt give the same output; another seed gives others; every fate occurs."""
    known = [entry for entries in samples(demo_test_dir).values() for entry in entries]
    once, again, other = ([DemoModel(seed=seed).answer(name, sample) for name, sample in known] for seed in (0, 0, 1))
    assert once == again
    assert once != other
    fates = Counter((answer.finish_reason, THINK_END in answer.text) for answer in once)
    assert set(fates) == {("stop", True), ("length", False)}


def test_wrong_ground_truths_are_answered_all_the_same() -> None:
    """A ground truth that the bootcamp cannot use gives an answer without a solution."""
    for skill in (0.0, 1.0):
        sample = KnownSample(data_source="Sudoku", ground_truth=b'"no puzzle"')
        assert DemoModel(skills={"*": skill}).answer("name", sample).text


def test_a_rows_own_answer_is_given_word_for_word(tmp_path: Path) -> None:
    """A row that has an answer gets exactly that, whatever the skill; others are answered as ever."""
    row = {"prompt": "p", "data_source": "Riddles", "ground_truth": 1}
    lines = [json.dumps(row | {"answer": "\x1b[2J 汉"}), json.dumps(row | {"prompt": "q", "answer": 5})]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    index = load_samples(tmp_path)
    model = DemoModel(skills={"*": 0.0})
    assert model.answer(*index.find("p")) == Generated(text="\x1b[2J 汉", finish_reason="stop")
    assert model.answer(*index.find("q")) == model.answer(digest("q"), None)


def test_latencies_have_the_asked_mean_and_belong_to_the_prompt() -> None:
    """Latencies have the mean that was asked for over the prompts, and none is drawn anew."""
    model = DemoModel()
    drawn = [model.latency_s(str(n), mean_s=0.02) for n in range(4000)]
    assert abs(sum(drawn) / len(drawn) - 0.02) < 0.002
    assert drawn[:9] == [model.latency_s(str(n), mean_s=0.02) for n in range(9)]
    assert model.latency_s("any", mean_s=0) == 0


@given(st.lists(st.integers() | st.text()))
def test_chances_are_probabilities(about: list[int | str]) -> None:
    """A chance lies in [0, 1) and is always the same."""
    assert 0 <= chance(*about) < 1
    assert chance(*about) == chance(*about)


@pytest.mark.parametrize("n_tokens", [60, 400])
def test_answers_have_the_asked_mean_length(n_tokens: int, demo_test_dir: Path) -> None:
    """Outputs have about the length that was asked for, each always the same, and every answer in them scores alike."""
    known = [entry for entries in samples(demo_test_dir).values() for entry in entries]
    usual, sized = DemoModel(), DemoModel(n_tokens=n_tokens)
    outputs = [sized.answer(name, sample) for name, sample in known]
    assert outputs == [sized.answer(name, sample) for name, sample in known]
    lengths = [len(output.text.split()) for output in outputs]
    assert abs(sum(lengths) / len(lengths) - n_tokens) < 0.15 * n_tokens
    assert max(lengths) <= 1.5 * n_tokens + 1
    for (name, sample), output in zip(known, outputs, strict=True):
        assert output.finish_reason == usual.answer(name, sample).finish_reason
        assert scored(output, sample) == scored(usual.answer(name, sample), sample)


def test_an_answer_is_never_cut_to_the_length(demo_test_dir: Path) -> None:
    """Where the answer alone is longer than the length asked for it stands whole, without thoughts before it."""
    for name, sample in samples(demo_test_dir)["Sudoku"]:
        output = DemoModel(skills={"*": 1.0}, n_tokens=1).answer(name, sample)
        assert output.text.startswith(f"\n{THINK_END}")
        assert scored(output, sample) == 1.0


def test_a_missing_test_dir_is_told(tmp_path: Path) -> None:
    """A test dir that is not there is a settings error that names it."""
    with pytest.raises(SettingsError, match="missing is not a directory"):
        load_samples(tmp_path / "missing")
