"""What an evaluation would send and take, told without sending anything: an example, counts and estimates."""

import json
from dataclasses import dataclass, field, replace

from bootcamp_cli.dataset.stream import iter_samples
from bootcamp_cli.engine.plan import Plan
from bootcamp_cli.engine.scheduler import earlier_lengths
from bootcamp_cli.errors import RunDirectoryError, UsageError
from bootcamp_cli.server.request import estimated_tokens
from bootcamp_cli.settings.model import AUTO
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.text import mask_mapping
from bootcamp_cli.types import Manifest, Sample

ASSUMED_TOKENS = 2000
"""Tokens of an answer where no earlier run of the test files tells."""

ASSUMED_TOKENS_PER_S = 30.0
"""Tokens a second of one answer among many, where no earlier run tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a million tokens cost, of prompts and of answers, in any currency."""

    prompt: float
    answer: float

    def of(self, n_prompt: int, n_answer: int) -> float:
        """What so many tokens cost."""
        return (n_prompt * self.prompt + n_answer * self.answer) / 1e6


def parse_price(text: str) -> Price:
    """Read `IN,OUT`: `0.5,1.5`.

    Raises:
        UsageError: it is not two numbers of at least 0.
    """
    parts = text.split(",")
    try:
        prompt, answer = map(float, parts)
    except ValueError:
        prompt = answer = -1.0
    if not (0 <= prompt < 1e9 and 0 <= answer < 1e9):
        raise UsageError(
            f"--price: must be two numbers IN,OUT, got {text!r}", hint="for example 0.5,1.5 per million tokens"
        )
    return Price(prompt=prompt, answer=answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """An evaluation before it starts.

    `example` is the first sample (of an empty shard the first of all), `prompt` how it is sent (rendered by the
    template in completion mode), `body` the request's body with what is secret masked. Tokens, time and cost are
    estimates: `based_on` is the earlier run whose lengths and speed they rest on, None where both are assumed. The
    `most_` ones are bounds, None where there is none.
    """

    url_path: str
    example: Sample
    prompt: str
    body: str
    n_files: int
    n_questions: int
    n_samples: int
    n_prompt_tokens: int
    n_answer_tokens: int
    most_answer_tokens: int | None
    tokens_per_s: float
    seconds: float
    cost: float | None
    most_cost: float | None
    based_on: str | None = None
    data_sources: dict[str, int] = field(default_factory=dict)


def forecast(plan: Plan, price: Price | None = None) -> Forecast:
    """Read all rows once and say what they would take. Blocks: call it in a thread."""
    settings, files = plan.settings, plan.test_set.files
    lengths, earlier = earlier_lengths(plan)
    manifest = _manifest(earlier)
    speed = (manifest.effort.tokens_per_second if manifest and manifest.effort else None) or ASSUMED_TOKENS_PER_S
    typical = sum(lengths.values()) / len(lengths) if lengths else ASSUMED_TOKENS
    most = None if settings.max_tokens == AUTO else int(settings.max_tokens)
    example: Sample | None = None
    n_prompt = n_answer = longest = 0.0
    sources: dict[str, int] = {}
    for file in files:
        for sample in iter_samples(file):
            example = example or sample
            n_prompt += plan.n_repeats * estimated_tokens(_sent(plan, sample))
        length = min(lengths.get(file.name, typical), most or float("inf"))
        n_answer += plan.n_samples_of(file) * length
        longest = max(longest, length)
        for name, n in file.taken:
            sources[name] = sources.get(name, 0) + n * plan.n_repeats
    example = example or next(iter_samples(replace(files[0], shard_rows=None)))  # an empty shard sends none
    n_at_once = max(1, min(settings.max_concurrent_requests, plan.n_samples))
    tokens = round(n_prompt), round(n_answer)
    most_tokens = None if most is None else plan.n_samples * most
    return Forecast(
        url_path="/chat/completions" if settings.api_mode == "chat_completion" else "/completions",
        example=example,
        prompt=_text(_sent(plan, example)),
        body=_body(plan, example),
        n_files=len(files),
        n_questions=sum(file.n_taken for file in files),
        n_samples=plan.n_samples,
        n_prompt_tokens=tokens[0],
        n_answer_tokens=tokens[1],
        most_answer_tokens=most_tokens,
        tokens_per_s=speed,
        seconds=max(n_answer / n_at_once, longest) / speed,
        cost=None if price is None else price.of(*tokens),
        most_cost=None if price is None or most_tokens is None else price.of(tokens[0], most_tokens),
        based_on=None if earlier is None else str(earlier.path),
        data_sources=sources,
    )


def _manifest(run_dir: RunDir | None) -> Manifest | None:
    try:
        return None if run_dir is None else run_dir.read_manifest()
    except RunDirectoryError:
        return None


def _sent(plan: Plan, sample: Sample) -> str | bytes:
    """The prompt as it is sent: rendered, or the list of messages as JSON."""
    if plan.prompt_template is not None:
        return plan.prompt_template.render(sample.prompt)
    return sample.prompt if sample.messages is None else sample.messages


def _text(sent: str | bytes) -> str:
    return sent if isinstance(sent, str) else json.dumps(json.loads(sent), ensure_ascii=False, indent=2)


def _body(plan: Plan, sample: Sample) -> str:
    """The body of the first request as it is sent, with what is secret masked."""
    body = plan.generation.extra_body
    extra = None if body is None else mask_mapping(body)
    sent = _sent(plan, sample)
    prompt, messages = (sent, None) if isinstance(sent, str) else (sample.prompt, sent)
    return replace(plan.generation, extra_body=extra).body(prompt, messages=messages).decode()
