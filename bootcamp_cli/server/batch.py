"""The lines of batch files: requests as OpenAI's Batch API and `vllm run-batch` take them, results as they give them.

Source: https://platform.openai.com/docs/api-reference/batch/request-input
"""

import hashlib
import re
from typing import Any, NamedTuple

import msgspec

from bootcamp_cli.server.failures import (
    AttemptFailed,
    bad_response,
    error_within,
    server_words,
    status_failure,
    timed_out,
)
from bootcamp_cli.server.response import load_object, parse_reply
from bootcamp_cli.settings.model import ApiMode
from bootcamp_cli.types import Answer, Sample, encode, encode_line

URLS: dict[ApiMode, str] = {"completion": "/v1/completions", "chat_completion": "/v1/chat/completions"}
"""Where a request goes, by mode."""

_MAX_NAME_CHARS = 32
_SAFE_NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_DIGEST_CHARS = 16
_CUSTOM_ID = re.compile(
    rf"([A-Za-z0-9._-]{{1,{_MAX_NAME_CHARS}}}):([0-9]{{1,9}}):([0-9]{{1,5}}):([0-9a-f]{{16}})", re.ASCII
)
_EXPIRED = "batch_expired"
_NULL = b"null"


class CustomId(NamedTuple):
    """What a `custom_id` says: of which test file (`file_tag`), row and repeat a request is, and what it asked."""

    file_tag: str
    row: int
    repeat: int
    digest: str


def custom_id(sample: Sample, body: bytes) -> str:
    """The name of a request, `FILE:ROW:REPEAT:DIGEST`, in at most 64 characters, as some services allow no more.

    The digest is of sample and body: a result is taken for no other question, no other parameters and no other data.
    """
    key = encode((sample.file, sample.row, sample.repeat))
    digest = hashlib.sha256(key + b"\n" + body).hexdigest()[:_DIGEST_CHARS]
    return f"{file_tag(sample.file)}:{sample.row}:{sample.repeat}:{digest}"


def file_tag(file: str) -> str:
    """The name of a test file in a `custom_id`: as it is, or a digest of a name that is long or has odd characters."""
    if len(file) <= _MAX_NAME_CHARS and _SAFE_NAME.fullmatch(file):
        return file
    return hashlib.sha256(file.encode("utf-8", "surrogatepass")).hexdigest()[:_MAX_NAME_CHARS]


def parse_custom_id(text: str) -> CustomId | None:
    """What a `custom_id` says; None where this tool did not write it."""
    found = _CUSTOM_ID.fullmatch(text)
    return None if found is None else CustomId(found[1], int(found[2]), int(found[3]), found[4])


def request_line(sample: Sample, body: bytes, api_mode: ApiMode) -> bytes:
    """The line of a request, line feed included; `body` is that of a POST."""
    return encode_line(
        {"custom_id": custom_id(sample, body), "method": "POST", "url": URLS[api_mode], "body": msgspec.Raw(body)}
    )


def id_of_result(line: bytes) -> str:
    """The `custom_id` in a line of results.

    Raises:
        ValueError: it is not a JSON object that has one, and a result.
    """
    try:
        found = _head(line)
        named, is_result = found.custom_id, not (found.response is msgspec.UNSET and found.error is msgspec.UNSET)
    except (msgspec.DecodeError, RecursionError):
        try:
            parts = load_object(line)
        except AttemptFailed as failure:
            raise ValueError(failure.message.replace("a reply", "a line", 1)) from None
        named, is_result = parts.get("custom_id"), not parts.keys().isdisjoint(("response", "error"))
    if not isinstance(named, str):
        raise ValueError("a line without custom_id")  # noqa: TRY004 - of what was read
    if not is_result:
        raise ValueError("a line with neither response nor error, as a request has neither")
    return named


def parse_result(line: bytes, api_mode: ApiMode, *, now_s: float) -> Answer:
    """The answer in a line of results, read as a reply over HTTP is.

    Raises AttemptFailed of the kind that the same reply or status has there; of kind timeout where the batch was over
    before the request was done.
    """
    result = _parts(line)
    response, error = result.response, result.error
    if response is None:
        raise _failure_of(error)
    body = bytes(response.body)
    if not 200 <= response.status_code < 300:
        said = bytes(error) if body == _NULL else body
        raise status_failure(response.status_code, {}, said, now_s=now_s)
    if body == _NULL:
        raise _failure_of(error)
    return parse_reply(body, api_mode)


def _failure_of(error: msgspec.Raw) -> AttemptFailed:
    """What an error in place of a reply means; vLLM puts an error object or a text there, OpenAI code and message."""
    said: Any = msgspec.json.decode(error)
    if isinstance(said, dict) and said.get("code") == _EXPIRED:
        return timed_out(server_words(said) or "the batch expired before this request was done")
    if not said:
        return bad_response("a result with neither a reply nor an error")
    return error_within(
        said if isinstance(said, dict) and "error" in said else {"error": said}, "an error of the batch"
    )


class _Head(msgspec.Struct):
    custom_id: Any = None
    response: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Response(msgspec.Struct):
    status_code: int = 200
    body: msgspec.Raw = msgspec.Raw(_NULL)


class _Result(msgspec.Struct):
    response: _Response | None = None
    error: msgspec.Raw = msgspec.Raw(_NULL)


_head = msgspec.json.Decoder(_Head).decode
_decode = msgspec.json.Decoder(_Result).decode


def _parts(line: bytes) -> _Result:
    """Reply and error of a line; what msgspec refuses in it (NaN, lone surrogates) is read as in a reply."""
    try:
        return _decode(line)
    except (msgspec.DecodeError, RecursionError):
        found = load_object(line)
    response, error = found.get("response"), msgspec.Raw(encode(found.get("error")))
    if not isinstance(response, dict):
        return _Result(error=error)
    status = response.get("status_code", 200)
    if not isinstance(status, int):
        raise bad_response("a result whose status_code is not a number")
    return _Result(response=_Response(status_code=status, body=msgspec.Raw(encode(response.get("body")))), error=error)
