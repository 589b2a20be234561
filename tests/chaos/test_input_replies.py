"""Whatever bytes a server sends, a request ends in an answer or in a failure of a known kind."""

import re
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bootcamp_cli.server.transport import TransportName
from bootcamp_cli.types import Answer
from tests.chaos.figure import tell
from tests.chaos.raw_replies import REPLY, outcome_of, raw_replies
from tests.chaos.strategies import tuned
from tests.raw_server import TRANSPORTS

_KINDS = re.compile(r"connection|bad_response|rate_limited|http_\d+")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_replies(transport: TransportName, long_form: bool) -> None:
    """No reply raises anything else, leaves an error in the event loop, or lets a request hang when it is over."""
    kinds: Counter[str] = Counter()

    @tuned(quick=60, long=10_000, is_long=long_form)
    @given(raw=raw_replies, stream=st.booleans())
    @example(raw=REPLY, stream=False)
    def check(raw: bytes, stream: bool) -> None:
        end = outcome_of(raw, transport, stream=stream)
        if not isinstance(end, Answer):
            assert _KINDS.fullmatch(end.kind), (end.kind, end.message)
        kinds["an answer" if isinstance(end, Answer) else end.kind] += 1

    check()
    answers = kinds.pop("an answer")
    tell(f"replies through {transport}: {kinds.total()} failures of {len(kinds)} kinds, {answers} answers")
