"""The rows of a test dir as only tests ask for them: by the place of their prompt, and all that share it."""

from collections.abc import Iterable

from bootcamp_cli.demo.model import KnownSample, SampleIndex, digest


class Rows:
    """The samples of a test dir, given with their prompts in the order of files and rows."""

    def __init__(self, samples: Iterable[tuple[str, KnownSample]]) -> None:
        self._index = SampleIndex()
        self._by_prompt: dict[str, list[KnownSample]] = {}
        for prompt, sample in samples:
            self._index.add(prompt, sample)
            self._by_prompt.setdefault(digest(prompt), []).append(sample)
        self._numbers = {prompt: number for number, prompt in enumerate(self._by_prompt)}

    def find(self, text: str) -> tuple[str, KnownSample | None]:
        """The digest of the prompt that a request's text holds, and its first sample; see `SampleIndex.find`."""
        return self._index.find(text)

    def number(self, prompt: str) -> int | None:
        """The place of a prompt, given by its digest, among the known ones, from 0; None where it is not known."""
        return self._numbers.get(prompt)

    def row(self, prompt: str, n_attempts: int) -> KnownSample | None:
        """The sample that a request is taken for after `n_attempts` earlier ones for its prompt, given by its digest.

        Where the rows with this prompt differ in their ground truth it is each of them in turn, else the first one.
        """
        samples = self._by_prompt.get(prompt)
        if not samples:
            return None
        differ = len({sample.ground_truth for sample in samples}) > 1
        return samples[n_attempts % len(samples) if differ else 0]
