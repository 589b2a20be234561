"""Run directories of any size for the benchmarks of what is done after a run."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bootcamp_cli.bootcamps.registry import CATALOG
from bootcamp_cli.store.records import make_record
from bootcamp_cli.types import Answer, Sample, Verdict, encode_line
from tests.run_directories import write_run

_N_FILES = 80
_TEXT = "the cell in row 3 has \\(\\frac{1}{2}\\) so we place a “7” → and check: \n\n**step** 12 + 30 = 42, then"
_WORDS = _TEXT.split(" ")


@contextmanager
def run_of(n: int, *, repeats: int = 1, seed: int = 0) -> Iterator[Path]:
    """A complete run of n samples of about 1 kB in 80 files.

    As answers are: texts and lengths that differ, one in twenty truncated, one in two hundred tried twice. Runs of
    other seeds have the same questions and other answers.
    """
    names = sorted(CATALOG)[:_N_FILES]
    n_rows = n // _N_FILES // repeats
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder:
        planned = dict.fromkeys(names, n_rows)
        run_dir = write_run(Path(folder) / "run", dict.fromkeys(names, ()), planned=planned, repeats=repeats)
        for at, name in enumerate(names):
            random_ = random.Random(1000 * seed + at)  # noqa: S311 - answers, not secrets
            with (run_dir / "details" / f"{name}.jsonl").open("wb") as file:
                file.writelines(_line(name, row, repeat, random_) for row in range(n_rows) for repeat in range(repeats))
        yield run_dir


def _line(name: str, row: int, repeat: int, random_: random.Random) -> bytes:
    text = " ".join(random_.choices(_WORDS, k=75))
    n_tokens = random_.randint(50, 400)
    is_right, is_cut = random_.random() < 0.6, random_.random() < 0.05
    sample = Sample(
        file=f"{name}.jsonl",
        row=row,
        repeat=repeat,
        id=row,
        data_source=name,
        prompt=f"{name}, puzzle {row}: " + "fill the grid so that each row has every number once.\n" * 4,
        ground_truth={"answer": [row, row % 7], "size": 4},
    )
    answer = Answer(
        text=f"{text}\n\\boxed{{{row}}}",
        finish_reason="length" if is_cut else "stop",
        usage={"prompt_tokens": 70, "completion_tokens": n_tokens, "total_tokens": 70 + n_tokens},
        model="demo",
    )
    is_tried_again = random_.random() < 0.005
    record = make_record(
        sample,
        answer,
        Verdict(score=float(is_right and not is_cut), extracted=None if is_cut else str(row)),
        attempts=1 + is_tried_again,
        latency_s=random_.expovariate(1 / 3),
        retries=("http_503",) if is_tried_again else (),
    )
    return encode_line(record)
