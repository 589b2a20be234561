"""How well the statistics keep their promises, simulated: `python -m tests.benchmarks.coverage > coverage.md`.

Coverage of intervals, size of tests, findings in equal runs and in runs with a planted loss, decisions of gates. Every
figure comes from fixed seeds, which stand beside it, and is the same on every machine with the same version of numpy.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from bootcamp_cli.analysis.compare import RunComparison
from bootcamp_cli.analysis.paired import Gate, assumed_moments, sign_flip_p, smallest_detectable
from tests.simulated_runs import compared, equal_chances, group_coverage, mcnemar_size, run_coverage

MEANS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98)
SPREADS = (0.0, 0.3, 0.7)
REPEATS = (1, 4, 16)
SEED = 13
N_GROUPS_SIMULATED = 10_000
N_RUNS_SIMULATED = 4_000
FAMILIES = ("large",) * 12 + ("small",) * 4 + tuple(f"family {i // 8}" for i in range(64))


def main() -> None:
    """Print every table, in markdown."""
    print("# Statistics, simulated\n\nPrinted by `python -m tests.benchmarks.coverage`; about 4 minutes on one core.")
    for table in (
        group_intervals(),
        run_intervals(),
        mcnemar_sizes(),
        sign_flip_sizes(),
        equal_runs(),
        shared_prompts(),
        planted_losses(),
        gates(),
        powers(),
    ):
        print()
        for line in table:
            print(line, flush=True)


def group_intervals() -> Iterator[str]:
    """The coverage of the group's interval by questions, repeats and mean score."""
    yield f"## Interval of a group: coverage, {N_GROUPS_SIMULATED} groups each, seed {SEED}"
    yield ""
    yield "Spread: the variance of the questions' chances as a share of the largest possible."
    yield ""
    yield from head("n", "K", "spread", *(f"p = {mean}" for mean in MEANS))
    shares: dict[int, list[float]] = {}
    for n, repeats, spread in itertools.product((8, 30, 64, 200), REPEATS, SPREADS):
        if repeats == 1 and spread:
            continue  # one answer to a question is right with chance p, however the chances spread
        covered = [
            group_coverage(n=n, mean=mean, repeats=repeats, spread=spread, n_runs=N_GROUPS_SIMULATED, seed=SEED)
            for mean in MEANS
        ]
        shares.setdefault(n, []).extend(covered)
        yield row(n, repeats, spread, *(f"{share:.3f}" for share in covered))
    yield ""
    yield from head("n", "smallest", "mean")
    for n, found in shares.items():
        yield row(n, f"{min(found):.3f}", f"{np.mean(found):.3f}")
    large = [share for n, found in shares.items() if n > 8 for share in found]
    yield row("30 to 200", f"{min(large):.3f}", f"{np.mean(large):.3f}")


def run_intervals() -> Iterator[str]:
    """The coverage of the run's interval by groups and questions of each."""
    settings = list(itertools.product(REPEATS, SPREADS))
    yield f"## Interval of a run: coverage, {N_RUNS_SIMULATED} runs each (of 80 groups 1000), seed {SEED}"
    yield ""
    yield from head("groups", "n", *(f"K = {repeats}, spread {spread}" for repeats, spread in settings))
    for n_groups, n in itertools.product((2, 3, 4, 80), (1, 2, 8, 64)):
        n_runs = 1000 if n_groups == 80 else N_RUNS_SIMULATED
        covered = [
            run_coverage(n_groups=n_groups, n=n, repeats=repeats, spread=spread, n_runs=n_runs, seed=SEED)
            for repeats, spread in settings
        ]
        yield row(n_groups, n, *(f"{share:.3f}" for share in covered))


def mcnemar_sizes() -> Iterator[str]:
    """The size of the mid-p test by pairs and discordance."""
    discordances = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
    yield "## Mid-p McNemar: size where nothing changed, exact"
    yield ""
    yield from head("n", *(f"discordance {discordance}" for discordance in discordances))
    for n in (8, 16, 30, 64, 200):
        yield row(n, *(f"{mcnemar_size(n, discordance):.4f}" for discordance in discordances))


def sign_flip_sizes() -> Iterator[str]:
    """The size of the sign flip by questions, repeats and discordance."""
    discordances = (0.05, 0.2, 0.4)
    yield f"## Sign flip: size where nothing changed, 2000 groups each, seed {SEED}"
    yield ""
    yield from head("n", "K", *(f"discordance {discordance}" for discordance in discordances))
    for n, repeats in itertools.product((8, 16, 64, 600), (1, 4)):
        sizes = []
        for discordance in discordances:
            source = np.random.default_rng(SEED)
            chances = equal_chances(source, (2000, n), discordance)
            changes = source.binomial(repeats, chances) - source.binomial(repeats, chances)
            sizes.append(np.mean([sign_flip_p(group) < 0.05 for group in changes.tolist()]))
        yield row(n, repeats, *(f"{size:.4f}" for size in sizes))


def equal_runs() -> Iterator[str]:
    """How many of 200 pairs of equal runs have a finding at each level."""
    yield "## Equal runs of 80 bootcamps in 10 families: runs with a finding among seeds 0 to 199"
    yield ""
    yield from head("n", "K", "discordance", "run", "any family", "any bootcamp", "p and interval of the run disagree")
    for n, repeats, discordance in ((64, 1, 0.05), (64, 1, 0.2), (64, 1, 0.4), (64, 4, 0.2), (8, 1, 0.2)):
        runs = simulated(range(200), n=n, repeats=repeats, discordance=discordance)
        yield row(
            n,
            repeats,
            discordance,
            sum(found.run.significant for found in runs),
            sum(any(entry.significant for entry in found.families) for found in runs),
            sum(any(entry.significant for entry in found.bootcamps) for found in runs),
            sum(found.run.disagrees for found in runs),
        )


def shared_prompts() -> Iterator[str]:
    """What becomes of intervals and comparisons where rows share a prompt and a model answers these alike."""
    yield "## 64 rows that share prompts and are answered alike: intervals take rows, comparisons prompts"
    yield ""
    yield "Coverage of the group's interval at the mean scores 0.2 and 0.5; findings in equal runs of 80 bootcamps,"
    yield "seeds 0 to 199, discordance 0.2; a loss of 15 points on one family of 12 bootcamps, found among seeds 0 to"
    yield "99."
    yield ""
    yield from head("prompts", "coverage", "run", "any family", "any bootcamp", "the loss", "any other family")
    for prompts in (64, 32, 16, 5):
        coverage = [
            group_coverage(n=64, mean=mean, repeats=1, spread=0.0, n_runs=20_000, seed=SEED, prompts=prompts)
            for mean in (0.2, 0.5)
        ]
        equal = simulated(range(200), n=64, repeats=1, discordance=0.2, prompts=prompts)
        lossy = simulated(range(100), n=64, repeats=1, discordance=0.2, loss=0.15, lossy=FAMILIES[0], prompts=prompts)
        found = [{entry.name for entry in run.families if entry.significant} for run in lossy]
        yield row(
            prompts,
            ", ".join(f"{share:.2f}" for share in coverage),
            sum(run.run.significant for run in equal),
            sum(any(entry.significant for entry in run.families) for run in equal),
            sum(any(entry.significant for entry in run.bootcamps) for run in equal),
            sum(FAMILIES[0] in names for names in found),
            sum(bool(names - {FAMILIES[0]}) for names in found),
        )


def planted_losses() -> Iterator[str]:
    """How often a loss of 15 points on one family is found there and elsewhere."""
    yield "## A loss of 15 points on one family: findings among seeds 0 to 99"
    yield ""
    columns = ("that family", "any other family", "its bootcamps, share (Holm)", "any other bootcamp (Holm)")
    yield from head("bootcamps of the family", "n", "K", "discordance", *columns)
    for (family, start, end), (n, repeats, discordance) in itertools.product(
        (("large", 0, 12), ("small", 12, 16)), ((64, 1, 0.2), (64, 1, 0.4), (32, 1, 0.2), (64, 4, 0.2))
    ):
        runs = simulated(range(100), n=n, repeats=repeats, discordance=discordance, loss=0.15, lossy=family)
        families = [{entry.name: entry.significant for entry in found.families} for found in runs]
        bootcamps = np.array([[entry.significant for entry in found.bootcamps] for found in runs])
        inside = np.zeros(bootcamps.shape[1], dtype=np.bool_)
        inside[start:end] = True
        yield row(
            end - start,
            n,
            repeats,
            discordance,
            sum(found[family] for found in families),
            sum(any(is_found for name, is_found in found.items() if name != family) for found in families),
            f"{bootcamps[:, inside].mean():.2f}",
            int(bootcamps[:, ~inside].any(axis=1).sum()),
        )


def gates() -> Iterator[str]:
    """How often gates pass, fail and are undecided where nothing changed, beside what is predicted."""
    yield "## Gates on equal runs: shares among seeds 0 to 199, predicted in brackets"
    yield ""
    yield from head("bootcamps", "n", "K", "discordance", "margin", "pass", "fail", "undecided")
    for n_groups, n, repeats, discordance, margin in (
        (80, 64, 1, 0.2, -0.01),
        (40, 64, 1, 0.2, -0.01),
        (40, 64, 1, 0.2, -0.02),
        (40, 64, 4, 0.2, -0.01),
        (10, 64, 1, 0.05, -0.02),
        (20, 32, 4, 0.4, -0.02),
    ):
        gate = Gate(name="overall", margin=margin)
        results = [
            found.gates[0]
            for found in simulated(
                range(200), families=("f",) * n_groups, n=n, repeats=repeats, discordance=discordance, gates=[gate]
            )
        ]
        found = Counter(result.outcome for result in results)
        predicted = [result.if_unchanged for result in results]
        yield row(
            n_groups,
            n,
            repeats,
            discordance,
            f"{margin:.0%}",
            f"{found['pass'] / 200:.3f} ({np.mean([shares.passed for shares in predicted]):.3f})",
            f"{found['fail'] / 200:.3f} ({np.mean([shares.failed for shares in predicted]):.3f})",
            f"{found['undecided'] / 200:.3f} ({np.mean([shares.undecided for shares in predicted]):.3f})",
        )


def powers() -> Iterator[str]:
    """How often a loss of the smallest detectable size is found."""
    yield "## Losses of the smallest detectable size: share found, seeds 0 to 199 (promised 0.80)"
    yield ""
    yield from head("bootcamps", "n", "K", "discordance", "loss", "found")
    for n_groups, n, repeats, discordance in (
        (1, 64, 1, 0.05),
        (1, 64, 1, 0.2),
        (1, 200, 1, 0.2),
        (1, 64, 4, 0.2),
        (20, 64, 1, 0.05),
        (20, 64, 1, 0.2),
        (20, 64, 4, 0.2),
    ):
        assumed = assumed_moments(n=n, discordance=discordance, repeats=repeats)
        loss = smallest_detectable([assumed] * n_groups, repeats=repeats) or 1.0
        runs = simulated(
            range(200), families=("f",) * n_groups, n=n, repeats=repeats, discordance=discordance, loss=loss
        )
        entries = [found.bootcamps[0] if n_groups == 1 else found.run for found in runs]
        share = np.mean([entry.p < 0.05 for entry in entries])
        yield row(n_groups, n, repeats, discordance, f"{loss:.3f}", f"{share:.2f}")


def simulated(
    seeds: Sequence[int],
    *,
    n: int,
    repeats: int,
    discordance: float,
    families: tuple[str, ...] = FAMILIES,
    loss: float = 0.0,
    lossy: str | None = None,
    gates: Sequence[Gate] = (),
    prompts: int | None = None,
) -> list[RunComparison]:
    """A pair of runs for each seed."""
    return [
        compared(
            seed,
            families=families,
            n=n,
            repeats=repeats,
            discordance=discordance,
            loss=loss,
            lossy=lossy,
            gates=gates,
            prompts=prompts,
        )
        for seed in seeds
    ]


def head(*titles: object) -> Iterator[str]:
    """The head of a table."""
    yield row(*titles)
    yield "|" + "---|" * len(titles)


def row(*cells: object) -> str:
    """A row of a table."""
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
