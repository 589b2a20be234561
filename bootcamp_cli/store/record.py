"""A sample's record: one line of details, the fields of the reference first and in its order."""

from typing import Any

from bootcamp_cli.encoding import encode_line
from bootcamp_cli.records import Answer, Sample, Verdict, judged_text

REFERENCE_FIELDS = ("id", "prompt", "output", "output_len", "ground_truth", "score", "extracted_output")


def make_record(sample: Sample, answer: Answer, verdict: Verdict, *, attempts: int, latency_s: float) -> dict[str, Any]:
    """The record of an answered sample.

    `output_len` is the server's token count; without one the number of words of the judged text, marked as estimated.
    """
    n_tokens = answer.completion_tokens
    record: dict[str, Any] = {
        "id": sample.id,
        "prompt": sample.prompt,
        "output": answer.text,
        "output_len": n_tokens,
        "ground_truth": sample.ground_truth,
        "score": None,
        "extracted_output": None,
        "data_source": sample.data_source,
        "row": sample.row,
        "finish_reason": answer.finish_reason,
        "reasoning_content": answer.reasoning,
        "usage": answer.usage,
        "model": answer.model,
        "attempts": attempts,
        "latency_s": round(latency_s, 4),
    }
    if n_tokens is None:
        record["output_len"] = len(judged_text(answer.text, answer.reasoning).split())
        record["output_len_estimated"] = True
    return with_verdict(record, verdict)


def with_verdict(record: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    """The same record with another verdict."""
    changed = record | {"score": verdict.score, "extracted_output": verdict.extracted}
    for key, value in (("failure", verdict.failure), ("failure_message", verdict.error)):
        if value is None or verdict.failure is None:
            changed.pop(key, None)
        else:
            changed[key] = value
    return changed


def encode_record(record: dict[str, Any]) -> bytes:
    """The record as one line, newline included."""
    return encode_line(record)
