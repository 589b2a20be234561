"""What the tool makes of each failure of a server, as data: the tests prove it and the README's table shows it.

A `SampleFact` is about one request, whatever becomes of the others; a `RunFact` about what pauses or stops the run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Form = Literal["whole", "stream"]

BOTH: tuple[Form, ...] = ("whole", "stream")
WHOLE: tuple[Form, ...] = ("whole",)
STREAM: tuple[Form, ...] = ("stream",)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFact:
    """A request that meets `fault` (in the notation of the demo server's `--fault`).

    `kind` is that of the failure, None where the reply is an answer; `retried` says whether another try is made. The
    fact holds for the `forms` of request. `deadline` names the time limit that ends the try, where one has to. `also`
    is what happens to others meanwhile. `hangs_up` says that the connection ends behind the reply: the next request may
    already be on its way on it.
    """

    does: str
    fault: str
    kind: str | None = None
    retried: bool = False
    forms: tuple[Form, ...] = BOTH
    deadline: Literal["", "timeout", "idle_timeout"] = ""
    also: str = ""
    hangs_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFact:
    """A server with these `faults` and this `config` that meets a whole run.

    The run ends with `exit_code` and says `said`; the server has counted `n_sent` completion requests, and `n_answered`
    samples have a record; with `or_more` further ones were sent while the list of models was looked at. `is_up` False:
    nobody listens. `quick` facts are tried in the quick share.
    """

    does: str
    again: str
    effect: str
    exit_code: int
    said: str
    n_sent: int
    n_answered: int
    faults: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    or_more: bool = False
    is_up: bool = True
    quick: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LossFact:
    """A server that dies in mid-run; `comes_back` says which model the one in its place serves, if there is one."""

    does: str
    again: str
    effect: str
    exit_code: int
    said: str
    comes_back: str | None
    quick: bool = False


N_RUN_SAMPLES = 42
"""Samples of the runs that the run facts are about."""

N_PROBATION = 32
"""Refusals alike from the start on that stop a run, where it has no more slots than that."""


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
    return SampleFact(does=does, fault=fault, kind="rate_limited", retried=True, also=also)


def _late(does: str, fault: str, kind: Literal["timeout", "idle_timeout"], forms: tuple[Form, ...]) -> SampleFact:
    return SampleFact(does=does, fault=fault, kind=kind, retried=True, deadline=kind, forms=forms)


_HELD = "until then, but for `max_retrying_delay` at most, no request is sent"

SAMPLE_FACTS: tuple[SampleFact, ...] = (
    _lost("closes the connection without a reply", "drop"),
    _lost("closes the connection in mid-body", "drop-body"),
    _lost("resets the connection without a reply", "reset"),
    _lost("resets the connection in mid-body", "reset-body"),
    SampleFact(does="resets the connection behind the answer", fault="reset-after", hangs_up=True),
    SampleFact(does="closes the kept-alive connection behind the answer, unannounced", fault="close", hangs_up=True),
    SampleFact(does="answers by HTTP/1.0, without a length", fault="http10"),
    _lost("speaks another protocol than HTTP", "no-http"),
    _lost("sends headers without end", "endless-head"),
    _lost("sends a chunk whose size is no number", "broken-chunks"),
    _late("never answers", "hang", "timeout", BOTH),
    _late("sends headers a byte a second", "slow-head", "timeout", BOTH),
    _late("sends a byte now and then, for longer than the deadline", "drip:seconds=0.05", "timeout", BOTH),
    _late("falls silent in mid-body", "stall", "timeout", WHOLE),
    _late("falls silent in mid-stream", "stall", "idle_timeout", STREAM),
    _late("sends comments only in its stream", "pings", "timeout", STREAM),
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
    _limited("answers 429 with a Retry-After that is no time", "429-nonsense"),
    _status(500, retried=True),
    _status(500, retried=True, does="answers 500 with 42 kB of tags that are never closed", fault="markup"),
    _status(502, retried=True, does="answers 502 with a gateway's HTML page", fault="html:status=502"),
    _status(503, retried=True, does="answers 503 with a gateway's HTML page", fault="html:status=503"),
    _status(504, retried=True, does="answers 504 with a gateway's HTML page", fault="html:status=504"),
    _status(503, retried=True, does="answers 503 with Retry-After", fault="503:retry-after=0.02"),
    _status(307, retried=False, does="redirects to another port (not followed)", fault="redirect"),
    _bad("sends HTML with status 200", "html"),
    _bad("sends an error body with status 200", "error-200"),
    _bad("sends an empty body with status 200", "no-content"),
    _bad("cuts off the JSON, or the stream", "truncated-json"),
    SampleFact(does="sends its answer as plain text in Latin-1", fault="wrong-type"),
    _bad("sends a text that is no UTF-8", "invalid-utf8"),
    SampleFact(does="counts NaN tokens", fault="nan"),
    _bad("nests 100,000 lists", "deep-json"),
    SampleFact(does="nests 980 lists in the usage", fault="deep-usage:levels=980:kib=300", forms=WHOLE),
    _bad("sends a body of 1 GiB", "huge:mib=1024"),
    _bad("announces a body of 1 GiB", "huge:mib=1024:declared=1", forms=WHOLE),
    SampleFact(does="compresses its answer unasked", fault="gzip", forms=WHOLE),
    _bad("compresses its stream unasked", "gzip", forms=STREAM),
    _bad("sends a gzip bomb of 1 GiB", "gzip-bomb:mib=1024"),
    _bad("sends a million empty gzip members", "gzip-members:mib=20"),
    _bad("claims an encoding that was not offered", "other-encoding"),
    _bad("sends an empty list of choices", "empty-choices"),
    _bad("sends neither text nor finish_reason", "null-choice"),
    SampleFact(does="sends null text with a finish_reason", fault="null-content"),
    SampleFact(does="sends no usage", fault="no-usage"),
    SampleFact(does="counts a negative number of tokens", fault="negative-usage"),
    SampleFact(does="counts 10^400 tokens", fault="huge-usage"),
    SampleFact(does="names another model", fault="other-model"),
    SampleFact(does="names a model by 1 MiB of text", fault="long-model"),
    _bad("sends a stream where none was asked for", "unasked-stream", forms=WHOLE),
    SampleFact(does="sends a whole reply where a stream was asked for", fault="unasked-stream", forms=STREAM),
    _bad("reports an error in mid-stream", "stream-error", forms=STREAM),
)

_WAITS = "asked for its models again until `wait` is over"

RUN_FACTS: tuple[RunFact, ...] = (
    RunFact(
        does="is not there when the run starts",
        again=_WAITS,
        effect="the run ends before its first request",
        exit_code=4,
        said="cannot connect",
        n_sent=0,
        n_answered=0,
        is_up=False,
    ),
    RunFact(
        does="never answers when the run starts",
        again=_WAITS,
        effect="the run ends before its first request",
        exit_code=4,
        said="no whole reply",
        n_sent=0,
        n_answered=0,
        faults=("hang:on=models",),
        flags=("--timeout", "500ms"),
    ),
    RunFact(
        does="is not ready (502 of a gateway) when the run starts",
        again=_WAITS,
        effect="the run ends before its first request",
        exit_code=4,
        said="is not ready: HTTP 502: 502 Bad Gateway",
        n_sent=0,
        n_answered=0,
        faults=("html:status=502:on=models",),
    ),
    RunFact(
        does="lists another model when the run starts",
        again=_WAITS,
        effect="the run ends before its first request",
        exit_code=4,
        said="model demo is not listed, only another-model",
        n_sent=0,
        n_answered=0,
        faults=("unlisted:on=models",),
    ),
    RunFact(
        does="redirects when asked for its models",
        again="no",
        effect="the run ends before its first request",
        exit_code=4,
        said="is not followed",
        n_sent=0,
        n_answered=0,
        faults=("redirect:on=models",),
    ),
    RunFact(
        does="has no list of models (404)",
        again="no",
        effect="a warning; the run goes on",
        exit_code=0,
        said="whether model demo is there is not known",
        n_sent=N_RUN_SAMPLES,
        n_answered=N_RUN_SAMPLES,
        faults=("404:on=models",),
    ),
    RunFact(
        does="nests 980 lists in the entry of the model",
        again="no",
        effect="the run goes on",
        exit_code=0,
        said="",
        n_sent=N_RUN_SAMPLES,
        n_answered=N_RUN_SAMPLES,
        faults=("deep-list:on=models:kib=300:levels=980",),
    ),
    RunFact(
        does="refuses the key (401) when the run starts",
        again="no",
        effect="the run ends before its first request",
        exit_code=4,
        said="HTTP 401",
        n_sent=0,
        n_answered=0,
        faults=("401:on=models",),
    ),
    RunFact(
        does="refuses the key (401) in mid-run",
        again="no",
        effect="the run stops",
        exit_code=4,
        said="HTTP 401",
        n_sent=11,
        n_answered=10,
        faults=("401:after=10",),
    ),
    RunFact(
        does="forbids (403) in mid-run",
        again="no",
        effect="the run stops",
        exit_code=4,
        said="HTTP 403",
        n_sent=11,
        n_answered=10,
        faults=("403:after=10",),
    ),
    RunFact(
        does="answers 404 in mid-run and does not list the model any more, for a while",
        again="yes, when the model is listed again; it costs no retry",
        effect="the run pauses",
        exit_code=0,
        said="warning: paused, no new requests: the server does not list the model demo",
        n_sent=N_RUN_SAMPLES + 1,
        n_answered=N_RUN_SAMPLES,
        faults=("404-model:after=10:first=11", "unlisted:on=models:after=1:first=3"),
        flags=("--max-retries", "0", "--wait", "10m"),
        quick=True,
    ),
    RunFact(
        does="answers 404 in mid-run and does not list the model any more, for ever",
        again="no",
        effect="the run pauses, and stops when `wait` is over",
        exit_code=4,
        said="the server does not list the model demo, and that for 1 s",
        n_sent=11,
        n_answered=10,
        or_more=True,
        faults=("404-model:after=10", "unlisted:on=models:after=1"),
    ),
    RunFact(
        does="has a context length that every prompt exceeds",
        again="no",
        effect="the run stops after max(32, slots) requests",
        exit_code=4,
        said=f"all of the first {N_PROBATION} requests were refused alike: HTTP 400: 'max_tokens'",
        n_sent=N_PROBATION,
        n_answered=0,
        config={"max_model_len": 100},
        flags=("--max-tokens", "5000", "--max-concurrent-requests", "16"),
        quick=True,
    ),
    RunFact(
        does="refuses every request alike (422)",
        again="no",
        effect="the run stops after max(32, slots) requests",
        exit_code=4,
        said=f"all of the first {N_PROBATION} requests were refused alike: HTTP 422",
        n_sent=N_PROBATION,
        n_answered=0,
        faults=("422",),
        flags=("--max-concurrent-requests", "16"),
    ),
    RunFact(
        does="redirects every request",
        again="no",
        effect="the run stops after max(32, slots) requests",
        exit_code=4,
        said=f"all of the first {N_PROBATION} requests were refused alike: HTTP 307",
        n_sent=N_PROBATION,
        n_answered=0,
        faults=("redirect",),
        flags=("--max-concurrent-requests", "16"),
    ),
    RunFact(
        does="has a storm of 100 errors (500)",
        again="yes",
        effect="the run goes on",
        exit_code=0,
        said="",
        n_sent=N_RUN_SAMPLES + 100,
        n_answered=N_RUN_SAMPLES,
        faults=("500:first=100",),
        flags=("--max-retries", "100", "--max-concurrent-requests", "16"),
    ),
    RunFact(
        does="answers nothing but 500",
        again="yes",
        effect="every sample fails and is owed",
        exit_code=3,
        said="",
        n_sent=N_RUN_SAMPLES * 3,
        n_answered=0,
        faults=("500",),
        flags=("--max-concurrent-requests", "16"),
    ),
    RunFact(
        does="answers as another model in mid-run, now and then",
        again="no",
        effect="one warning for each name; the run goes on",
        exit_code=0,
        said="warning: the server's replies name the model another-model, before demo",
        n_sent=N_RUN_SAMPLES,
        n_answered=N_RUN_SAMPLES,
        faults=("other-model:0.5:after=1",),
    ),
)


LOSS_FACTS: tuple[LossFact, ...] = (
    LossFact(
        does="dies in mid-run and is started again",
        again="yes; refused connections cost no retry while the run pauses",
        effect="the run pauses, and goes on",
        exit_code=0,
        said="going on after a pause",
        comes_back="demo",
        quick=True,
    ),
    LossFact(
        does="dies in mid-run and never comes back",
        again="looked for until `wait` is over",
        effect="the run pauses, and stops when `wait` is over",
        exit_code=4,
        said="the server cannot be reached",
        comes_back=None,
    ),
    LossFact(
        does="dies in mid-run and comes back with another model",
        again="looked for until `wait` is over",
        effect="the run pauses, and stops when `wait` is over",
        exit_code=4,
        said="the server does not list the model demo",
        comes_back="another-model",
    ),
)
