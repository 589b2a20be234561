"""Questions that are asked several times: runs that are killed, continued and extended."""

import time
from collections.abc import Callable
from dataclasses import replace

from tests.chaos.conftest import StartEvaluation
from tests.chaos.runs import Evaluation, assert_undisturbed, kill_group, left_by, seeded
from tests.conftest import StartFaultServer

SAMPLING = ("--seed", "11", "--temperature", "0.7")


def test_killed_and_extended(
    start_evaluation: StartEvaluation,
    fault_server: StartFaultServer,
    tell: Callable[[str], None],
    long_form: bool,
) -> None:
    """A run of 4 repeats, killed twice and extended to 8, leaves what an undisturbed run of 8 leaves, each once."""
    random = seeded("repeats")
    begun = start_evaluation(rows=60 if long_form else 3, latency=0.02)
    begun.server.stop()
    server = fault_server(test_dir=begun.test_dir, latency=0.02, latency_shape="fixed", by_seed=True)
    four = replace(begun, server=server, options=(*SAMPLING, "--repeats", "4"))
    n_questions = four.n_samples()
    for _ in range(2):
        process = four.start()
        until = four.n_requests() + random.randint(n_questions // 2, n_questions)
        while four.n_requests() < until and process.poll() is None:
            time.sleep(0.01)
        kill_group(process)
    assert four.finish().code == 0
    assert four.finish("resume", str(four.run_dir()), "--repeats", "8").code == 0
    calm = replace(four, output=four.output.with_name("calm"), options=(*SAMPLING, "--repeats", "8"), started=[])
    assert calm.finish().code == 0
    undisturbed = left_by(calm.run_dir())
    assert_undisturbed(four.run_dir(), undisturbed, four.test_dir, repeats=8)
    assert n_different(four, undisturbed.records) > n_questions // 2
    tell(f"{n_questions} questions, 8 repeats, {four.n_requests()} requests for two runs of {8 * n_questions} samples")


def n_different(evaluation: Evaluation, records: dict[str, list[dict[str, object]]]) -> int:
    """How many questions have repeats that differ."""
    outputs: dict[tuple[str, object], set[object]] = {}
    for file, lines in records.items():
        for record in lines:
            outputs.setdefault((file, record["row"]), set()).add(record["output"])
    assert len(outputs) == evaluation.n_samples()
    return sum(len(found) > 1 for found in outputs.values())
