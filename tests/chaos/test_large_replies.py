"""Bodies without end and gzip bombs, in all slots at once: the memory of the tool and of the server stays small."""

from pathlib import Path

import pytest

from tests.chaos.fault_facts import BOTH, Form
from tests.chaos.fault_runs import eval_args, peak_mib_of, read_ledger, run_tool, settled
from tests.conftest import StartFaultServer

MAX_PEAK_MIB = 450
N_SLOTS = 16

# what is within the limit of 64 MiB is an answer, what exceeds it is none
REPLIES = {
    "huge:mib=60": True,
    "gzip-bomb:mib=60": False,
    "gzip-bomb:mib=1024": False,
    "gzip-members:mib=60": False,
    "huge:mib=1024": False,
}
STREAMED = ("huge:mib=60", "huge:mib=1024")


@pytest.mark.parametrize("form", BOTH)
def test_memory_is_bounded(
    fault_server: StartFaultServer,
    demo_test_dir: Path,
    clean_environment: dict[str, str],
    tmp_path: Path,
    form: Form,
    *,
    long_form: bool,
) -> None:
    """Sixteen slots that all receive such bodies at once take less than 450 MiB, and each sample ends as it should."""
    if not long_form:
        pytest.skip("in the long form; the quick share has a few such bodies among the other faults")
    n_bodies = 0
    for number, (fault, is_answer) in enumerate(REPLIES.items()):
        if form == "stream" and fault not in STREAMED:
            continue
        cwd = tmp_path / str(number)
        cwd.mkdir()
        server = fault_server(test_dir=demo_test_dir, faults=[fault])
        flags = ("--max-concurrent-requests", str(N_SLOTS), "--max-retries", "1", "--limit", "2")
        ended = run_tool(eval_args(server.url, demo_test_dir, *flags, form=form), clean_environment, cwd)
        assert ended.code == (0 if is_answer else 3), ended.stderr
        assert ended.peak_mib < MAX_PEAK_MIB
        ledger = read_ledger(cwd / "out", demo_test_dir)
        assert {failure["kind"] for failure in ledger.failures.values()} == (set() if is_answer else {"bad_response"})
        n_bodies += settled(server)["received"]
        peak_mib = peak_mib_of(server.pid)
        assert peak_mib < MAX_PEAK_MIB
        server.stop()
        print(f"\n{form}, {fault}: peak {ended.peak_mib} MiB, of the server {peak_mib} MiB")
    print(f"{form}: {n_bodies} large bodies")
