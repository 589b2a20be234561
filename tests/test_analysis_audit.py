"""What a loss is made of: each detector by itself, on the recorded outputs, and on a run whose faults are known."""

import copy
import json
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli import open_run
from bootcamp_cli.analysis.audit import (
    MAX_EXAMPLES,
    Audit,
    Cause,
    Finding,
    ZeroScore,
    audit,
    cause_of,
    concluding_part,
    concluding_statements,
    examine,
    has_loose_solution,
    is_asked_format_refused,
    is_earlier_block_right,
    is_empty,
    is_repetition_loop,
    is_truncated,
    other_contents,
    stands_outside,
    zero_score,
)
from bootcamp_cli.bootcamps.asked_formats import (
    ASKED_FORMATS,
    BOXED,
    BRACKETS,
    FENCE,
    JSON_FENCE,
    TAGS,
    Block,
    as_choice,
    as_formula,
    as_latex,
    as_number,
    as_words,
    cannot_be_won,
    is_defective,
    stored_solutions,
)
from bootcamp_cli.bootcamps.registry import CATALOG, ceilings, load_builtin
from bootcamp_cli.bootcamps.scoring import CheckVerifier, score
from bootcamp_cli.types import Record, SampleKey, encode_line
from tests.conftest import RunBootcamp

BINAIRO = {"puzzle": [], "solution": [[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1]]}
GRID = "0 1 0 1\n1 0 1 0\n0 1 1 0\n1 0 0 1"
WRONG_GRID = "1 1 0 1\n1 0 1 0\n0 1 1 0\n1 0 0 1"
SHAPES = {"Paths": "M 0 0", "ans": "7"}
DOUBTS = "Let me go through the conditions once more, one at a time, and see whether each of them holds. "


@cache
def verifier(data_source: str) -> CheckVerifier:
    """The built-in bootcamp of a data source."""
    module = load_builtin(data_source)
    return CheckVerifier(extract_output=module.extract_output, check=module.check)


def verify(data_source: str, text: str, ground_truth: Any) -> float | None:
    """The score of a text, by the verifier in this process."""
    return score(verifier(data_source), text, copy.deepcopy(ground_truth)).score


def record(data_source: str, output: str, ground_truth: Any, *, row: int = 0, **fields: Any) -> Record:
    """The record of an answer, scored as a run scores it where the bootcamp is built in."""
    verdict = None
    if data_source in CATALOG:
        reasoning = fields.get("reasoning_content")
        text = f"{reasoning}\n{output}" if reasoning else output
        verdict = score(verifier(data_source), text, copy.deepcopy(ground_truth))
    return Record(
        **{
            "id": row,
            "prompt": "",
            "output": output,
            "output_len": 1,
            "ground_truth": ground_truth,
            "score": verdict.score if verdict else 0.0,
            "extracted_output": verdict.extracted if verdict else None,
            "data_source": data_source,
            "row": row,
            "finish_reason": "stop",
            "reasoning_content": None,
            "usage": None,
            "model": None,
            "attempts": 1,
            "latency_s": 0.0,
            **fields,
        }
    )


def found(data_source: str, output: str, ground_truth: Any, **fields: Any) -> Cause | None:
    """The cause of an answer that scores 0."""
    answer = record(data_source, output, ground_truth, **fields)
    zero = zero_score(answer)
    assert zero is not None, f"it scored {answer.score}"
    return cause_of(zero, lambda text: verify(data_source, text, ground_truth))


# Detectors


@pytest.mark.parametrize("text", ["", " \n\t ", "\u3000", "<think>\n\n</think>\n\n"])
def test_an_answer_of_blanks_is_empty(text: str) -> None:
    """Whitespace and thinking without a thought are no answer."""
    assert is_empty(text)


@pytest.mark.parametrize("text", ["7", ".", "<think>so</think>", f"<think>{' ' * 80}7</think>"])
def test_an_answer_of_a_word_is_not_empty(text: str) -> None:
    """A single character is an answer."""
    assert not is_empty(text)


@pytest.mark.parametrize(
    "text",
    [
        "First, the plan. " + "Wait, let me check again. " * 20,
        "so " * 200,
        "Row 1 is fine.\nRow 2 is fine.\n" * 12 + "Row 1 is fi",
        DOUBTS * 4,
        "好的，我再核对一遍。" * 40,
        "x" * 300,
        "abc" + "".join(map(str, range(9000))) * 5,
    ],
)
def test_an_end_that_repeats_itself_is_a_loop(text: str) -> None:
    """Four times the same at the end, whole or cut off, are a loop, however long the piece is."""
    assert is_repetition_loop(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no no no no",
        "-" * 500,
        "7" + "\n" * 1000,
        "| - | - |\n" * 100,
        DOUBTS * 3,
        DOUBTS * 20 + "So the answer is [[7]].",
        "[answer]\n" + "0 0 0 0 0 0 0 0 0 0\n" * 20 + "[/answer]",
        "".join(f"Step {n} leads to {n * n}. " for n in range(200)),
    ],
)
def test_an_end_that_goes_on_is_no_loop(text: str) -> None:
    """Rules, blanks, few repetitions, counting, and repetitions before an answer are no loop."""
    assert not is_repetition_loop(text)


def test_truncated_is_what_ends_at_the_limit_without_an_answer() -> None:
    """The limit matters where nothing was extracted, or only from thinking that has no end."""
    assert is_truncated("so far", "length", is_unread=True)
    assert is_truncated("<think>perhaps [[A]], or", "length", is_unread=False)
    assert not is_truncated("so far", "stop", is_unread=True)
    assert not is_truncated("so far", None, is_unread=True)
    assert not is_truncated("<think>hm</think>[[A]], because", "length", is_unread=False)


def earlier(text: str, right: str, *, is_unread: bool = False) -> bool:
    """Whether an earlier `[[ ]]` block of a text holds what is right."""
    return is_earlier_block_right(text, BRACKETS.spans(text), lambda content: content == right, is_unread=is_unread)


def test_an_earlier_block_counts_where_the_last_one_is_another() -> None:
    """A right block before a wrong one is found, also within an unclosed mention of the brackets."""
    assert earlier("[[A]] On second thought: [[B]]", "A")
    assert earlier("It goes into [[ and so: [[A]]. Format: [[letter]]", "A")
    assert earlier("<think>[[A]]</think> [[...]]", "A", is_unread=True)


@pytest.mark.parametrize(
    "text",
    [
        "[[A]]",
        "[[A]] [[A]]",
        "[[B]] [[A]]",
        "<think>[[A]]</think>[[B]]",
        "Perhaps [[A]] ... no. [[B]]",
        "[[A]]? No: [[B]]",
    ],
)
def test_a_draft_that_was_given_up_is_no_answer(text: str) -> None:
    """A guess, what is called wrong, and thoughts before the answer do not count, nor does the last block."""
    assert not earlier(text, "A")


@pytest.mark.parametrize(
    ("data_source", "truth", "refused", "wrong"),
    [
        (
            "KorOperationUnicode25ce",
            {"type": "calculation", "terms": [[-1, 2], [-1, -3]], "operator": "*", "correct": [48, 14]},
            "[[48+14i]]",
            "[[48+15i]]",
        ),
        (
            "KorLogicResolution",
            {"problem_type": "algorithm_output", "cnf": [], "expected_output": "Implausible", "steps": 1},
            "[[Implausible];[1]]",
            "[[Plausible];[1]]",
        ),
        (
            "KorLogicDerivativeReasoningOfPropositionalLogic",
            {"question_type": "apply_method", "method": "B", "correct_answer": "Some S are P"},
            "[[Some S are P]]",
            "[[Some P are S]]",
        ),
        (
            "KorLogicEpistemicLogic",
            {"type": "expression", "correct_expression": "B_Al_雪是白的∧B_Al(B_Al_雪是白的)"},
            "[[B_Al_p ∧ B_Al(B_Al_p)]]",
            "[[G_p ∧ H_Al_p]]",
        ),
        (
            "KorOperationUnicodeffe1",
            {"type": "interval", "A": "", "B": "", "solution": "{x | x ≤ -3 or x ≥ 3}"},
            "[[{{x | x ≤ -3 or x ≥ 3}}]]",
            "[[{{x | x ≤ -3 or x ≥ 4}}]]",
        ),
        (
            "KorOperationUnicode25a1",
            {"problem_type": "expression", "correct_answer": r"2 x + \cos{\left(x \right)}"},
            r"[[2x + \cos(x)]]",
            r"[[2x + \sin(x)]]",
        ),
        (
            "KorOperationUnicode25c6",
            {"correct_answer": "(1 - cos(1))*sin(1)", "format_type": "fraction"},
            "[[29/75]]",
            "[[1/2]]",
        ),
        (
            "Nonograms",
            {"rows": [[2], [1], [], [], []], "columns": [[1], [2], [], [], []]},
            "[answer]\nXX\n X\n\n\n \n[/answer]",
            "[answer]\nXX\nX\n\n\n \n[/answer]",
        ),
    ],
)
def test_the_asked_format_may_be_refused(data_source: str, truth: Any, refused: str, wrong: str) -> None:
    """What the prompt asks for is told from a wrong answer by the verdict on its accepted form."""
    asked = ASKED_FORMATS[data_source]
    for text, expected in ((refused, True), (wrong, False)):
        spans = asked.block.spans(text)
        assert is_asked_format_refused(spans, asked, truth, lambda text: verify(data_source, text, truth)) is expected
        assert not is_asked_format_refused(spans, asked, truth, None)
    assert found(data_source, refused, truth) is Cause.ASKED_FORMAT_REFUSED
    assert found(data_source, wrong, truth) is not Cause.ASKED_FORMAT_REFUSED


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{7}", "7"),
        ("[[7]]", "7"),
        ("<answer>7</answer>", "7"),
        ("[ANSWER]7[/ANSWER]", "7"),
        ("```\n7\n```", "\n7\n"),
        ("【【7】】", "7"),
        ("[answer]7", "7"),
        ("[answer]seven[/answer]", "seven"),
    ],
)
def test_contents_of_other_blocks_are_found(text: str, content: str) -> None:
    """Blocks of other kinds, misspelt, unclosed or unreadable ones of the asked kind give their contents."""
    assert content in other_contents(text, TAGS.spans(text), ASKED_FORMATS["Aquarium"])


@pytest.mark.parametrize("text", ["", "So it is 7.", "[answer] [/answer]", "[answer]...[/answer]", "see [1] and (2)"])
def test_without_another_block_there_are_no_contents(text: str) -> None:
    """Prose, footnotes, empty blocks and the dots of an example hold nothing."""
    assert other_contents(text, TAGS.spans(text), ASKED_FORMATS["Aquarium"]) == []


def test_a_solution_may_be_written_loosely() -> None:
    """The last block counts, in the bootcamp's form of comparison."""
    solutions = frozenset({"B"})
    assert has_loose_solution(BRACKETS.spans("[[A]] [[(b). because]]"), solutions, as_choice)
    assert not has_loose_solution(BRACKETS.spans("[[B]] [[A]]"), solutions, as_choice)
    assert not has_loose_solution(BRACKETS.spans("B"), solutions, as_choice)
    assert not has_loose_solution(BRACKETS.spans("[[B]]"), frozenset(), as_choice)


def test_a_long_solution_outside_the_block_is_found() -> None:
    """A stored grid in the prose counts; in the asked block, thinking or prompt it does not, nor a short one."""
    asked = ASKED_FORMATS["Binairo"]
    solutions = stored_solutions(asked, BINAIRO)
    assert stands_outside(f"The grid:\n{GRID}\n[answer]see above[/answer]", asked, solutions, "")
    assert not stands_outside(f"[answer]{GRID}[/answer]", asked, solutions, "")
    assert not stands_outside(concluding_part(f"<think>{GRID}</think>no"), asked, solutions, "")
    assert not stands_outside(GRID, asked, solutions, f"Which is right?\n{GRID}")
    assert not stands_outside("It is 7.", asked, frozenset({"7"}), "")


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("All in all, the answer is: B.", "B"),
        ("答案是：42。", "42"),
        ("**Final answer:** 1 2 3", "1 2 3"),
        ("So we have\n\n42", "42"),
        ("It must be **blue** then", "blue"),
        ("Hence\n[B]", "B"),
        (f"The solution:\n{GRID}", GRID),
    ],
)
def test_concluding_statements_are_found(text: str, statement: str) -> None:
    """What a text states as its answer is among its statements, without what stands around it."""
    assert statement in concluding_statements(text)


def test_thinking_is_no_conclusion() -> None:
    """The conclusion begins after the last end of thinking; thinking without an end has none."""
    assert concluding_part("<think>a</think>b</think>c") == "c"
    assert concluding_part("a</think>c") == "c"
    assert concluding_part("<think>a") == ""
    assert concluding_part("a") == "a"


# What is known of formats


@pytest.mark.parametrize(
    ("block", "text", "contents"),
    [
        (TAGS, "in [answer] tags: [answer]5[/answer] [/answer]", ["5"]),
        (BRACKETS, "[[a];[b]] and [[[c1][c2]x]]", ["a];[b", "[c1][c2]x"]),
        (BOXED, r"\boxed{\frac{1}{2}} \boxed {3} \boxed{", [r"\frac{1}{2}", "3"]),
        (JSON_FENCE, "```json\n[1]\n``` ```json[2]```", ["\n[1]\n", "[2]"]),
        (FENCE, "```python\na\n``` b ```c```", ["\na\n", ""]),
    ],
)
def test_blocks_are_found(block: Block, text: str, contents: list[str]) -> None:
    """A block starts at the last opener before its closer; braces balance; a fence names a language or none."""
    assert [span.content for span in block.spans(text)] == contents


@pytest.mark.parametrize(
    "block", list(dict.fromkeys(asked.block for asked in ASKED_FORMATS.values())), ids=lambda block: block.name
)
@given(content=st.text("ab1 \n,", min_size=1).map(str.strip).filter(bool))
def test_what_is_wrapped_is_found_again(block: Block, content: str) -> None:
    """A content put into a block is what the block holds."""
    assert [span.content.strip() for span in block.spans(block.wrapped(content))] == [content]


@pytest.mark.parametrize(
    ("loosen", "alike", "different"),
    [
        (as_words, ["1 2, 3", "[[1, 2], [3]]", "1\n2\n3."], ["1 2 4", "12 3"]),
        (as_words, ["No", "**no**", "'NO'."], ["No error", "not"]),
        (as_choice, ["B", "(B)", "b.", "Option B", "**B**", "B) because"], ["A", "A/B", "BB", "Because"]),
        (as_number, ["1234", "1,234", "1234.0", "= 1234 apples", "**1234**"], ["123", "1234 of 5", "-1234"]),
        (as_number, ["1/2", "0.5", "5e-1"], ["12", "1 2"]),
        (as_formula, ["(a+b)*c", "( a + b )*c", "$(a+b)*c$."], ["a+(b*c)", "(a-b)*c"]),
        (as_latex, [r"\cos{\left(x \right)}", r"\cos(x)", r"\cos (x)"], [r"\sin(x)", r"\cos(y)"]),
    ],
)
def test_forms_of_comparison(loosen: Callable[[str], str], alike: list[str], different: list[str]) -> None:
    """What is the same to a reader looks the same in a loose form, what is not does not."""
    assert len({loosen(text) for text in alike}) == 1
    assert loosen(alike[0]) not in {loosen(text) for text in different}


def test_only_known_bootcamps_are_described() -> None:
    """Every entry belongs to a bootcamp; one without an entry is possible."""
    assert set(ASKED_FORMATS) <= set(CATALOG)
    assert not cannot_be_won("Another", {})
    assert not is_defective("Another", {})


def test_no_verifier_imports_what_the_audit_knows() -> None:
    """The digests of verifiers do not change with what an audit knows of their formats."""
    folder = Path(__file__).parents[1] / "bootcamp_cli" / "bootcamps"
    users = [path.name for path in folder.rglob("*.py") if "import asked_formats" in path.read_text("utf-8")]
    users += [path.name for path in folder.rglob("*.py") if "asked_formats import" in path.read_text("utf-8")]
    assert users == []


# One answer, one cause


def test_a_third_party_bootcamp_gets_what_needs_no_knowledge() -> None:
    """Of an unknown data source only empty, looping, truncated and unread answers are told apart."""
    assert found("Mine", "", {}) is Cause.EMPTY
    assert found("Mine", "so " * 300, {}) is Cause.REPETITION_LOOP
    assert found("Mine", "so far", {}, finish_reason="length") is Cause.TRUNCATED
    assert found("Mine", r"\boxed{7}", {}) is Cause.NO_ANSWER_BLOCK
    assert found("Mine", "[[7]]", {}, extracted_output="7") is None


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        (f"[answer]\n{WRONG_GRID}\n[/answer]", None),
        ("", Cause.EMPTY),
        (DOUBTS * 6, Cause.REPETITION_LOOP),
        (f"[answer]{GRID}[/answer]\n\n[answer]{WRONG_GRID}[/answer]", Cause.EARLIER_BLOCK_RIGHT),
        (f"[answer]{GRID}[/answer] is what goes into [answer]...[/answer]", Cause.EARLIER_BLOCK_RIGHT),
        (f"<think>hm</think>\\boxed{{{GRID}}}", Cause.OTHER_FORMAT),
        (f"[answer]{BINAIRO['solution']}[/answer]", Cause.OTHER_FORMAT),
        (f"```\n{WRONG_GRID}\n```", Cause.OTHER_FORMAT),
        (f"The answer is:\n\n{GRID}", Cause.SOLUTION_OUTSIDE_BLOCK),
        (f"{GRID}\n\nAs asked: [answer]0 1[/answer]", Cause.SOLUTION_OUTSIDE_BLOCK),
        ("I could not find an answer that I trust.", Cause.NO_ANSWER_BLOCK),
        ("[answer][/answer]", Cause.NO_ANSWER_BLOCK),
    ],
)
def test_each_answer_has_one_cause(output: str, cause: Cause | None) -> None:
    """Of the answers to one row, each has the cause that it was written for."""
    assert found("Binairo", output, BINAIRO) is cause


def test_the_order_of_causes_decides() -> None:
    """A row that cannot be won comes before anything else, a loop before its cut at the limit."""
    lost = {"type": "puzzle_solution", "city": "x", "params": {}}
    assert found("KorLogicEquivalenceCalculus", "", lost) is Cause.UNWINNABLE
    assert found("Binairo", DOUBTS * 6, BINAIRO, finish_reason="length") is Cause.REPETITION_LOOP
    assert found("Binairo", DOUBTS, BINAIRO, finish_reason="length") is Cause.TRUNCATED
    assert found("Binairo", f"\\boxed{{{GRID}", BINAIRO, finish_reason="length") is Cause.TRUNCATED


def test_what_was_right_in_substance_is_told() -> None:
    """Another format with right contents is told from one with wrong contents."""
    for content, is_right in (("7", True), ("6", False)):
        zero = zero_score(record("BbehGeometricShapes", f"[answer]{content}[/answer]", SHAPES))
        assert zero is not None
        assert examine(zero) == Finding(cause=Cause.OTHER_FORMAT, is_right=is_right)


def test_the_verifier_tells_where_nothing_is_stored() -> None:
    """A grid in another block is right by the verdict on it in the asked one; without a verifier it is not known."""
    truth = {"size": 2, "initial": [[0, 0], [0, 0]], "inequalities": []}
    zero = zero_score(record("Futoshiki", "```\n[[1, 2], [2, 1]]\n```", truth))
    assert zero is not None
    assert examine(zero) == Finding(cause=Cause.OTHER_FORMAT)
    assert examine(zero, lambda text: verify("Futoshiki", text, truth)) == Finding(
        cause=Cause.OTHER_FORMAT, is_right=True
    )


def test_a_lenient_verifier_is_not_asked() -> None:
    """Where any text passes, a pass is no sign of a right answer."""
    truth = {"assignments": [{"year": 1700, "windmill": "A", "family": "2"}]}
    assert found("KorPuzzleLogicPuzzle", "It is not known. [[1700 A 3]] ", truth) is None
    assert found("KorPuzzleLogicPuzzle", r"\boxed{who knows what it is}", truth) is Cause.OTHER_FORMAT


def test_reasoning_kept_apart_counts_as_thinking() -> None:
    """Separate reasoning is verified with the answer, and is no place for an answer."""
    assert found("Binairo", "Done.", BINAIRO, reasoning_content=f"The answer is:\n\n{GRID}") is Cause.NO_ANSWER_BLOCK
    assert found("Binairo", GRID, BINAIRO, reasoning_content="Hm.") is Cause.SOLUTION_OUTSIDE_BLOCK


TEXTS = (
    st.text()
    | st.text("[]{}()<>`\\/ \n.,0a*答【】")
    | st.lists(
        st.sampled_from(
            ["[answer]", "[/answer]", "[[", "]]", r"\boxed{", "}", "```json", "```", "<think>", "</think>", "7", " "]
        )
    ).map("".join)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(
    data_source=st.sampled_from([*ASKED_FORMATS, "Mine"]),
    text=TEXTS,
    truth=JSON,
    extracted=JSON,
    reason=st.none() | st.just("length"),
)
def test_no_text_and_no_ground_truth_raises(
    data_source: str, text: str, truth: Any, extracted: Any, reason: str | None
) -> None:
    """Whatever a model wrote and a test file holds, there is a cause or none."""
    zero = ZeroScore(
        data_source=data_source,
        text=text,
        answer=text,
        prompt=text,
        ground_truth=truth,
        extracted=extracted,
        finish_reason=reason,
    )
    assert examine(zero, lambda _: 0.0) is None or cause_of(zero) is not None


@pytest.mark.parametrize(
    "piece", ["[[", "[answer]", r"\boxed{", "```", "[ ", "answer: ", "**", "a", "0 1\n", "{", "<think>", "答案是", "7,"]
)
def test_two_megabytes_take_no_time(piece: str) -> None:
    """Outputs of 2 MB, of any piece over and over, are examined in linear time."""
    text = piece * (2_000_000 // len(piece))
    for data_source, truth in (("Binairo", BINAIRO), ("BbehGeometricShapes", SHAPES), ("Arc", {}), ("Maze", {})):
        for end in ("", " and 7."):
            zero = ZeroScore(data_source=data_source, text=text + end, answer=text + end, ground_truth=truth)
            start = time.process_time()
            examine(zero, lambda _: 0.0)
            assert time.process_time() - start < 2


# Audits


def faulty_run() -> Iterator[tuple[str, Record]]:
    """Twenty answers to Binairo and ten to a bootcamp with rows that cannot be won, whose faults are known."""
    outputs = [
        *[f"[answer]{GRID}[/answer]"] * 6,
        *[f"[answer]{WRONG_GRID}[/answer]"] * 4,
        *[f"\\boxed{{{GRID}}}"] * 3,
        *["I am not sure: " + DOUBTS] * 2,
        *[""] * 2,
        *[DOUBTS * 8] * 3,
    ]
    for row, output in enumerate(outputs):
        reason = "length" if DOUBTS in output else "stop"
        yield "binairo.jsonl", record("Binairo", output, BINAIRO, row=row, finish_reason=reason)
    for row in range(10):
        truth = {"type": "compute" if row < 4 else "equation_type2", "expected": 3 if row < 4 else [0, 1]}
        yield "stars.jsonl", record("KorOperationUnicode2605", "[[0 or 1]]", truth, row=row)


def counts(result: Audit) -> dict[Cause, int]:
    """The number of answers by cause."""
    return {count.cause: count.n for count in result.causes}


def test_known_faults_are_counted_where_they_belong() -> None:
    """A right answer in another format, cut off, empty, looping, and rows that cannot be won: each under its cause."""
    result = audit(faulty_run(), verify)
    assert counts(result) == {
        Cause.UNWINNABLE: 4,
        Cause.EMPTY: 2,
        Cause.REPETITION_LOOP: 3,
        Cause.TRUNCATED: 2,
        Cause.OTHER_FORMAT: 3,
    }
    assert (result.n_scored, result.n_zero, result.n_unexplained, result.loss) == (30, 18, 4, 18.0)
    binairo, stars = result.groups
    assert [(count.cause, count.n_right) for count in binairo.causes if count.n_right] == [(Cause.OTHER_FORMAT, 3)]
    assert [count.share_of_loss for count in binairo.causes] == [2 / 14, 3 / 14, 2 / 14, 3 / 14]
    assert stars.causes[0].examples == tuple(SampleKey("stars.jsonl", row) for row in range(MAX_EXAMPLES))


def test_bounds_stand_beside_the_score() -> None:
    """The share of what can be reached and the forgiven score are bounds, and the score stays what it is."""
    result = audit(faulty_run(), verify)
    binairo, stars = result.groups
    assert (binairo.avg_score, stars.avg_score) == (0.3, 0.6)
    assert binairo.forgiven is not None
    assert (binairo.forgiven.low, binairo.forgiven.high) == (0.45, 0.45)
    assert stars.reached is not None
    assert (stars.reached.low, stars.reached.high) == (1.0, 1.0)
    assert result.avg_score == pytest.approx(0.45)
    assert result.reached is not None
    assert result.reached.low == pytest.approx(0.65)
    assert result.forgiven is not None
    assert result.forgiven.high == pytest.approx(0.525)


def test_a_refused_format_counts_in_the_upper_bound_only() -> None:
    """Rows whose asked format is refused can be won: they are left out of what can be reached in one bound."""
    truth = {"type": "calculation", "terms": [], "operator": "*", "correct": [48, 14]}
    answers = ["[[(48+14i)]]", "[[48+14i]]", "[[48+15i]]", "no"]
    records = [("a.jsonl", record("KorOperationUnicode25ce", text, truth, row=i)) for i, text in enumerate(answers)]
    (group,) = audit(records, verify).groups
    assert group.reached is not None
    assert (group.reached.low, group.reached.high) == (0.25, 1.0)
    assert group.forgiven is not None
    assert (group.forgiven.low, group.forgiven.high) == (0.5, 0.75)


def test_answers_without_a_score_do_not_count() -> None:
    """What was not verified is no loss; partial scores are one without a cause."""
    records = [
        ("a.jsonl", record("Mine", "", {}, score=None, failure="pending")),
        ("a.jsonl", record("Mine", "", {}, score=0.25)),
    ]
    result = audit(records)
    assert (result.n_scored, result.n_zero, result.loss, result.causes) == (1, 0, 0.75, ())
    assert audit([]) == Audit(groups=(), causes=())
    assert (audit([]).reached, audit([]).forgiven, audit([]).avg_score) == (None, None, None)


def test_several_answers_are_examined_at_once_in_their_order() -> None:
    """With an executor the audit is the same, examples included."""
    with ThreadPoolExecutor(4) as executor:
        assert audit(faulty_run(), verify, executor=executor) == audit(faulty_run(), verify)


def test_memory_does_not_grow_with_the_records() -> None:
    """20,000 answers of 1 kB leave counts and a few examples behind."""
    answer = record("Mine", "x" * 1000, {})
    tracemalloc.start()
    try:
        result = audit(("a.jsonl", copy.copy(answer)) for _ in range(20_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.n_zero == 20_000
    assert peak < 2_000_000


# The command


@pytest.fixture
def faulty_dir(tmp_path: Path) -> Path:
    """The answers of `faulty_run` as details, in files whose names a terminal must not see as they are."""
    details = tmp_path / "run" / "details"
    details.mkdir(parents=True)
    for file, answer in faulty_run():
        with (details / file.replace("stars", "\x1b[31mstars")).open("ab") as lines:
            lines.write(encode_line(answer))
    return tmp_path / "run"


def test_the_command_shows_causes_and_bounds(faulty_dir: Path, call_bootcamp: RunBootcamp) -> None:
    """Each cause has its line with count, share and examples; bounds are called bounds; nothing is written."""
    before = sorted(faulty_dir.rglob("*"))
    done = call_bootcamp("audit", faulty_dir)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "18 of 30 scored answers scored 0; points lost: 18.0"
    assert (
        "a block in another format than asked 3 16.7% 3 binairo.jsonl:10, binairo.jsonl:11, binairo.jsonl:12" in lines
    )
    assert (
        r"the row cannot be won 4 22.2% 0 \x1b[31mstars.jsonl:0, \x1b[31mstars.jsonl:1, \x1b[31mstars.jsonl:2" in lines
    )
    assert "none: wrong in the right format 4 22.2%" in lines
    assert sum(line.startswith("bounds, no scores: ") for line in lines) == 2
    assert "\x1b" not in done.stdout
    assert sorted(faulty_dir.rglob("*")) == before


def test_the_command_gives_json(faulty_dir: Path, call_bootcamp: RunBootcamp) -> None:
    """The figures of the run and of each entry, as the API gives them."""
    data = json.loads(call_bootcamp("audit", faulty_dir, "--json").stdout)
    assert [(cause["cause"], cause["n"]) for cause in data["causes"]] == [
        ("unwinnable", 4),
        ("empty", 2),
        ("repetition_loop", 3),
        ("truncated", 2),
        ("other_format", 3),
    ]
    assert [(entry["bootcamp"], entry["n_zero"], entry["n_unexplained"]) for entry in data["bootcamps"]] == [
        ("KorOperationUnicode2605bootcamp", 4, 0),
        ("Binairobootcamp", 14, 4),
    ]
    assert data["bounds"]["share_of_reachable"] == pytest.approx({"low": 0.65, "high": 0.65})
    assert data["bounds"]["if_format_losses_forgiven"] == pytest.approx({"low": 0.525, "high": 0.525})
    assert data["avg_score"] == pytest.approx(0.45)


def test_a_run_can_be_audited_from_python(faulty_dir: Path) -> None:
    """`Run.audit` gives what the command shows, and `audit_async` the same in a running loop."""
    run = open_run(faulty_dir)
    result = run.audit()
    assert counts(result) == counts(audit(faulty_run(), verify))
    assert anyio.run(run.audit_async) == result


def test_a_cancelled_audit_ends_at_once(faulty_dir: Path) -> None:
    """Cancelled while verifiers are asked, it ends and leaves no thread behind."""
    (details,) = faulty_dir.glob("details/binairo.jsonl")
    details.write_bytes(details.read_bytes() * 2000)
    run = open_run(faulty_dir)

    def threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("bootcamp audit")]

    async def cancel_once_begun(scope: anyio.CancelScope) -> None:
        while not threads():  # noqa: ASYNC110 - no event tells
            await anyio.sleep(0.001)
        scope.cancel()

    async def cancelled() -> bool:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel_once_begun, scope)
                await run.audit_async()
        return scope.cancelled_caught

    start = time.process_time()
    assert anyio.run(cancelled)
    assert time.process_time() - start < 20
    assert threads() == []


def test_a_damaged_line_is_named(faulty_dir: Path, call_bootcamp: RunBootcamp) -> None:
    """What is no record ends the audit, with file and line."""
    (details,) = faulty_dir.glob("details/binairo.jsonl")
    details.write_bytes(b"{}\n" + details.read_bytes())
    done = call_bootcamp("audit", faulty_dir)
    assert (done.returncode, done.stdout) == (1, "")
    assert "binairo.jsonl:1" in done.stderr


def test_nothing_to_audit_is_said(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """A run without a scored answer has no figures."""
    (tmp_path / "run" / "details").mkdir(parents=True)
    done = call_bootcamp("audit", "run")
    assert (done.returncode, done.stdout) == (0, "no answer has a score\n")


# The recorded outputs and the public rows


SHARED = Path(__file__).resolve().parents[2] / "shared"
needs_golden = pytest.mark.skipif(
    not (SHARED / "golden").is_dir(), reason="needs the public data set in ../shared beside the checkout"
)


def json_lines(path: Path) -> list[Any]:
    """Read a JSONL file."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def golden() -> Iterator[tuple[dict[str, Any], ZeroScore]]:
    """The recorded outputs of all bootcamps with what the detectors look at, whatever their score."""
    for path in sorted((SHARED / "golden").glob("*.jsonl")):
        cases = json_lines(path)
        rows = {file: json_lines(SHARED / "eval_data" / file) for file in {case["file"] for case in cases}}
        for case in cases:
            row = rows[case["file"]][case["row"]]
            yield (
                case,
                ZeroScore(
                    data_source=path.stem,
                    text=case["output"],
                    answer=case["output"],
                    prompt=row["prompt"],
                    ground_truth=row["ground_truth"],
                    extracted=case["extracted"],
                ),
            )


def golden_cause(zero: ZeroScore) -> Cause | None:
    """The cause of a recorded output, with the verifier in this process."""
    return cause_of(zero, lambda text: verify(zero.data_source, text, zero.ground_truth))


@needs_golden
def test_no_recorded_output_that_scored_1_is_flagged() -> None:
    """An output with score 1 has no cause; nor do the detectors of the text alone see anything in it."""
    for case, zero in golden():
        if case["score"] != 1:
            continue
        right = record(zero.data_source, zero.text, zero.ground_truth, prompt=zero.prompt)
        assert right.score == 1
        assert zero_score(right) is None
        assert not cannot_be_won(zero.data_source, zero.ground_truth)
        assert not is_empty(zero.text)
        assert not is_repetition_loop(zero.text)


@needs_golden
def test_few_wrong_contents_in_the_right_format_are_flagged() -> None:
    """Of the outputs recorded as wrong, with score 0 and something extracted, under 2 % have a cause.

    Those to rows that cannot be won are among them.
    """
    found = Counter(
        golden_cause(zero)
        for case, zero in golden()
        if case["kind"] == "wrong" and case["score"] == 0 and case["extracted"] is not None
    )
    assert found.total() > 600
    assert (found.total() - found[None]) / found.total() < 0.02


@needs_golden
def test_most_malformed_outputs_are_flagged() -> None:
    """Of the outputs recorded as malformed that scored 0, nearly all have a cause."""
    found = Counter(golden_cause(zero) for case, zero in golden() if case["kind"] == "malformed" and case["score"] == 0)
    assert found[None] / found.total() < 0.05
    assert set(found) >= {
        Cause.EMPTY,
        Cause.OTHER_FORMAT,
        Cause.SOLUTION_OUTSIDE_BLOCK,
        Cause.NO_ANSWER_BLOCK,
        Cause.ASKED_FORMAT_REFUSED,
    }


@needs_golden
def test_the_rows_that_cannot_be_won_are_those_of_the_ceilings() -> None:
    """What the ground truth tells agrees with the ceilings of all 80 public files, row by row."""
    for path in sorted((SHARED / "eval_data").glob("*.jsonl")):
        rows = json_lines(path)
        name = rows[0]["data_source"]
        truths = [row["ground_truth"] for row in rows]
        ceiling = ceilings()[name]
        assert {i for i, truth in enumerate(truths) if cannot_be_won(name, truth)} == ceiling.unwinnable
        assert {i for i, truth in enumerate(truths) if is_defective(name, truth)} == ceiling.format_defective


@needs_golden
def test_a_stored_solution_is_recognised_in_a_right_answer() -> None:
    """Where a solution is stored, most outputs with score 1 hold it in the loose form, of every bootcamp some."""
    stored = Counter[tuple[str, bool]]()
    for case, zero in golden():
        if case["score"] == 1 and case["kind"] == "correct" and zero.asked and zero.solutions:
            stored[zero.data_source, has_loose_solution(zero.spans, zero.solutions, zero.asked.loosen)] += 1
    assert sum(n for (_, is_found), n in stored.items() if is_found) / stored.total() > 0.85
    assert {name for name, is_found in stored if not is_found} <= {name for name, is_found in stored if is_found}
