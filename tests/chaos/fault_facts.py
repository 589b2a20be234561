"""What the tool makes of each failure of one request, as data: the tests prove it, the table in README.md shows it."""

from dataclasses import dataclass
from typing import Any, Literal

Form = Literal["whole", "stream"]

BOTH: tuple[Form, ...] = ("whole", "stream")
WHOLE: tuple[Form, ...] = ("whole",)
STREAM: tuple[Form, ...] = ("stream",)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFact:
    """A request that meets `fault` (in the notation of the fault server's `--fault`).

    `kind` is that of the failure, None where the reply is an answer; `retried` says whether another try is made. The
    fact holds for the `forms` of request. `deadline` names the time limit that ends the try, where one has to. `also`
    is what happens to others meanwhile. `hangs_up` says that the connection ends behind the reply: the next request may
    already be on its way on it. With `is_limit` the reply is about the number of requests: the tries cost no retry.
    With `is_unanswered` the connection ends before any reply: on one that was kept each try is made twice.
    """

    does: str
    fault: str
    kind: str | None = None
    retried: bool = False
    forms: tuple[Form, ...] = BOTH
    deadline: Literal["", "timeout", "idle_timeout"] = ""
    also: str = ""
    hangs_up: bool = False
    is_limit: bool = False
    is_unanswered: bool = False


def _lost(does: str, fault: str, **more: Any) -> SampleFact:
    return SampleFact(does=does, fault=fault, kind="connection", retried=True, **more)


def _bad(does: str, fault: str, **more: Any) -> SampleFact:
    return SampleFact(does=does, fault=fault, kind="bad_response", retried=True, **more)


def _status(status: int, *, retried: bool, does: str = "", fault: str = "", kind: str = "") -> SampleFact:
    return SampleFact(
        does=does or f"answers {status}",
        fault=fault or str(status),
        kind=kind or f"http_{status}",
        retried=retried,
    )


def _limited(does: str, fault: str, also: str = "") -> SampleFact:
    return SampleFact(does=does, fault=fault, kind="rate_limited", retried=True, also=also, is_limit=True)


def _late(does: str, fault: str, kind: Literal["timeout", "idle_timeout"], forms: tuple[Form, ...]) -> SampleFact:
    return SampleFact(does=does, fault=fault, kind=kind, retried=True, deadline=kind, forms=forms)


_HELD = "until then, but at most for `max_retrying_delay`, no request is sent"

_TWICE = "where the connection was kept from before, each try is made once more on a new one, at once and uncounted"

SAMPLE_FACTS: tuple[SampleFact, ...] = (
    _lost("closes the connection without a reply", "drop", is_unanswered=True, also=_TWICE),
    _lost("closes the connection in mid-body", "drop-body"),
    _lost("resets the connection without a reply", "reset", is_unanswered=True, also=_TWICE),
    _lost("resets the connection in mid-body", "reset-body"),
    SampleFact(does="resets the connection after the answer", fault="reset-after", hangs_up=True),
    SampleFact(does="closes the kept-alive connection after the answer, unannounced", fault="close", hangs_up=True),
    SampleFact(does="answers in HTTP/1.0, without a length", fault="http10"),
    _lost("speaks a protocol other than HTTP", "no-http"),
    _lost("sends endless headers", "endless-head"),
    _lost("sends a chunk whose size is not a number", "broken-chunks"),
    _late("never answers", "hang", "timeout", BOTH),
    _late("sends headers a byte a second", "slow-head", "timeout", BOTH),
    _late("sends a byte now and then, for longer than the deadline", "drip:seconds=0.05", "timeout", BOTH),
    _late("falls silent in mid-body", "stall", "timeout", WHOLE),
    _late("falls silent in mid-stream", "stall", "idle_timeout", STREAM),
    _late("sends only comments in its stream", "pings", "timeout", STREAM),
    _status(400, retried=False),
    _status(400, retried=False, does="answers 400, the context length is exceeded", fault="400-context:limit=1"),
    _status(404, retried=False, does="answers 404, the model does not exist, but lists it", fault="404-model"),
    _status(408, retried=True),
    _status(409, retried=True),
    _status(413, retried=False),
    _status(422, retried=False),
    _status(425, retried=True),
    _limited("answers 429", "429"),
    _limited("answers 429 with Retry-After in seconds", "429:retry-after=0.02", _HELD),
    _limited("answers 429 with Retry-After as a date", "429:retry-after-date=3600", _HELD),
    _limited("answers 429 with a Retry-After of a year", "429:retry-after=31536000", _HELD),
    _limited("answers 429 with a Retry-After that is not a time", "429-nonsense"),
    _status(500, retried=True),
    _status(500, retried=True, does="answers 500 with 42 kB of tags that are never closed", fault="markup"),
    _status(502, retried=True, does="answers 502 with a gateway's HTML page", fault="html:status=502"),
    _status(503, retried=True, does="answers 503 with a gateway's HTML page", fault="html:status=503"),
    _status(504, retried=True, does="answers 504 with a gateway's HTML page", fault="html:status=504"),
    SampleFact(
        does="answers 503 with Retry-After",
        fault="503:retry-after=0.02",
        kind="http_503",
        retried=True,
        also=_HELD,
        is_limit=True,
    ),
    _status(307, retried=False, does="redirects to another port (not followed)", fault="redirect"),
    _bad("sends HTML with status 200", "html"),
    _bad("sends an error body with status 200", "error-200"),
    _bad("sends an empty body with status 200", "no-content"),
    _bad("cuts off the JSON, or the stream", "truncated-json"),
    SampleFact(does="sends its answer as plain text in Latin-1", fault="wrong-type"),
    _bad("sends text that is not UTF-8", "invalid-utf8"),
    SampleFact(does="counts NaN tokens", fault="nan"),
    _bad("nests 100,000 lists", "deep-json"),
    SampleFact(does="nests 980 lists in the usage", fault="deep-usage:levels=980:kib=300", forms=WHOLE),
    _bad("sends a body of 1 GiB", "huge:mib=1024"),
    _bad("announces a body of 1 GiB", "huge:mib=1024:declared=1", forms=WHOLE),
    _bad("compresses its answer unasked", "gzip"),
    _bad("sends a gzip bomb of 1 GiB", "gzip-bomb:mib=1024"),
    _bad("sends a million empty gzip members", "gzip-members:mib=20"),
    _bad("claims an encoding that was not offered", "other-encoding"),
    _bad("sends an empty list of choices", "empty-choices"),
    _bad("sends neither text nor finish_reason", "null-choice"),
    SampleFact(
        does="cuts the answer off and says so by its finish_reason", fault="cut-off", kind="cut_off", retried=True
    ),
    SampleFact(does="sends null text with a finish_reason", fault="null-content"),
    SampleFact(does="sends no usage", fault="no-usage"),
    SampleFact(does="counts a negative number of tokens", fault="negative-usage"),
    SampleFact(does="counts 10^400 tokens", fault="huge-usage"),
    SampleFact(does="names another model", fault="other-model"),
    SampleFact(does="names a model with 1 MiB of text", fault="long-model"),
    _bad("sends a stream where none was requested", "unasked-stream", forms=WHOLE),
    SampleFact(does="sends a whole reply where a stream was requested", fault="unasked-stream", forms=STREAM),
    _bad("reports an error in mid-stream", "stream-error", forms=STREAM),
)
