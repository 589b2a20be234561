"""What the tool makes of a server that fails for all requests, as data: what pauses the run, and what stops it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFact:
    """A server with these `faults` and this `config` that a whole run faces.

    The run ends with `exit_code` and prints `said`; the server has counted `n_sent` completion requests, and
    `n_answered` samples have a record; with `or_more` further ones were sent while the list of models was requested.
    `is_up` False: nothing listens. `quick` facts are tested in the quick share.
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

N_REFUSALS_TO_STOP = 32
"""How many identical refusals from the start stop a run that has no more slots than that."""


_WAITS = "asked for its models again until `wait` is over"
_ASKED = "a short neutral completion is requested"
_ALIKE = f"all of the first {N_REFUSALS_TO_STOP} requests were refused alike"

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
        said="no complete reply",
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
        effect="a warning; the run continues",
        exit_code=0,
        said="cannot tell whether model demo is there",
        n_sent=N_RUN_SAMPLES,
        n_answered=N_RUN_SAMPLES,
        faults=("404:on=models",),
    ),
    RunFact(
        does="nests 980 lists in the entry of the model",
        again="no",
        effect="the run continues",
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
        does="answers that the balance is used up (402) in mid-run",
        again="no",
        effect="the run stops",
        exit_code=4,
        said="HTTP 402: balance used up",
        n_sent=11,
        n_answered=10,
        faults=("402:after=10",),
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
        does="forbids some prompts (403)",
        again="no",
        effect=f"{_ASKED} after the first and after each further max(32, slots) in a row; "
        "the run continues, and these samples fail (`http_403`)",
        exit_code=3,
        said="warning: a request was forbidden, but a short neutral one was answered: the run continues: HTTP 403",
        n_sent=N_RUN_SAMPLES + 1,
        n_answered=N_RUN_SAMPLES - 3,
        faults=("403:sample=2", "403:sample=3", "403:sample=30"),
        quick=True,
    ),
    RunFact(
        does="forbids everything (403) in mid-run",
        again="no",
        effect=f"{_ASKED}; as it is refused, too, the run stops",
        exit_code=4,
        said="a request was forbidden, and so was a short neutral one: HTTP 403",
        n_sent=12,
        n_answered=10,
        faults=("403:after=10",),
    ),
    RunFact(
        does="answers 404 in mid-run and no longer lists the model, for a while",
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
        does="answers 404 in mid-run and no longer lists the model, forever",
        again="no",
        effect="the run pauses, and stops when `wait` is over",
        exit_code=4,
        said="the server does not list the model demo; waited 1 s",
        n_sent=11,
        n_answered=10,
        or_more=True,
        faults=("404-model:after=10", "unlisted:on=models:after=1"),
    ),
    RunFact(
        does="has a context length that every prompt exceeds",
        again="no",
        effect=f"{_ASKED} after max(32, slots) requests; as it is answered, every sample fails by itself and is owed",
        exit_code=3,
        said=f"{_ALIKE}, but a short neutral one was answered: the run continues: HTTP 400: 'max_tokens'",
        n_sent=N_RUN_SAMPLES + 1,
        n_answered=0,
        config={"max_model_len": 100},
        flags=("--max-tokens", "5000", "--max-concurrent-requests", "16"),
        quick=True,
    ),
    RunFact(
        does="refuses the first requests alike (422)",
        again="no",
        effect=f"{_ASKED} after max(32, slots) requests; as it is answered, the run continues",
        exit_code=3,
        said="but a short neutral one was answered: the run continues: HTTP 422",
        n_sent=N_RUN_SAMPLES + 1,
        n_answered=N_RUN_SAMPLES - N_REFUSALS_TO_STOP,
        faults=(f"422:first={N_REFUSALS_TO_STOP}",),
        flags=("--max-concurrent-requests", "16"),
    ),
    RunFact(
        does="refuses every request alike (422)",
        again="no",
        effect=f"{_ASKED} after max(32, slots) requests; as it is refused, too, the run stops",
        exit_code=4,
        said=f"{_ALIKE}, and so was a short neutral one: HTTP 422",
        n_sent=N_REFUSALS_TO_STOP + 1,
        n_answered=0,
        faults=("422",),
        flags=("--max-concurrent-requests", "16"),
        quick=True,
    ),
    RunFact(
        does="refuses every request alike (422), with `--keep-going`",
        again="no",
        effect="every sample fails by itself and is owed",
        exit_code=3,
        said="",
        n_sent=N_RUN_SAMPLES,
        n_answered=0,
        faults=("422",),
        flags=("--max-concurrent-requests", "16", "--keep-going"),
    ),
    RunFact(
        does="redirects every request",
        again="no",
        effect=f"{_ASKED} after max(32, slots) requests; as it is redirected, too, the run stops",
        exit_code=4,
        said=f"{_ALIKE}, and so was a short neutral one: HTTP 307",
        n_sent=N_REFUSALS_TO_STOP + 1,
        n_answered=0,
        faults=("redirect",),
        flags=("--max-concurrent-requests", "16"),
    ),
    RunFact(
        does="has a storm of 100 errors (500)",
        again="yes",
        effect="the run continues",
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
        effect="one warning per name; the run continues",
        exit_code=0,
        said="warning: the server's replies name the model another-model, earlier ones demo",
        n_sent=N_RUN_SAMPLES,
        n_answered=N_RUN_SAMPLES,
        faults=("other-model:0.5:after=1",),
    ),
)


LOSS_FACTS: tuple[LossFact, ...] = (
    LossFact(
        does="dies in mid-run and is started again",
        again="yes; refused connections cost no retry while the run pauses",
        effect="the run pauses, then continues",
        exit_code=0,
        said="continuing after a pause",
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
