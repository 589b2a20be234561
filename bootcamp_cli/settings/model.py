"""Every parameter of an evaluation, declared once: name, type, default, meaning and effect.

Command-line options, `BOOTCAMP_*` variables, TOML keys, help, the README table, eval_args.json, the keys of the request
body, the identity of a run, what `resume` refuses and what the workbook lists all come from here: to add a parameter,
add a field to `Settings`.
"""

import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from bootcamp_cli.text import DataUrl, Secret
from bootcamp_cli.types import MAX_REPEATS, Shard

Kind = Literal[
    "text",  # any non-empty line of text
    "url",  # http or https, with a host
    "command",  # a command line, split as by a shell; what is secret in it is masked
    "secret",  # text that is never shown
    "prompt",  # text, or @FILE
    "path",
    "data",  # a path, or the URL of test data
    "integer",
    "number",
    "duration",  # seconds internally; written as `90s`, `10m`, `1h30m`, `250ms` or a bare number
    "switch",  # true or false
    "choice",  # one of the type's literals
    "words",  # texts, each taken as it is
    "globs",  # patterns, separated by commas in a variable
    "json",  # a JSON object
    "headers",  # a JSON object of header names and values
    "shard",  # a part of how many: `3/8`
    "endpoints",  # a list of JSON objects, each an `EndpointSettings`
]
"""How the raw value of a flag, a variable or a TOML key becomes the value."""

Group = Literal["Server", "TLS", "Test data", "Generation", "Requests", "Verification", "Run"]

BareUnit = Literal["ms", "s"]

Decides = Literal["answers", "scores"]

MAX_TOKENS = "max_tokens"
"""The usual key of the limit of an answer, which `max_tokens_field` replaces."""

STREAM_OPTIONS = "stream_options"
"""What is sent with `stream`, so that a stream has token counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """The metadata of one parameter, inside `Annotated[type, Param(...)]`.

    Attributes:
        help: One line for `--help` and the README.
        group: The heading below which `--help` lists it.
        kind: How raw values are converted.
        sent_as: The key of the request body that holds the value if it is set; None for what is not sent as it is.
        decides: What a different value would change: the answers, or the scores of the same answers. The identity of a
            run holds the effect, and `resume` refuses another one.
        held_as: The key of the identity that holds the parameter's effect, where that is not its name and value: for a
            template its text, not its name; for a verifier its origin and the digest of its code. The digests of the
            files cover `skip_invalid`: files with invalid rows cannot be run without it, and for others it has no
            effect.
        settled: For a choice whose default is settled with the server at the start of a run: what a run did that does
            not tell. The default then continues a run of either value.
        word: A word that may stand for an integer or a shard.
        unit: The unit of a number (`MiB`); for a duration `ms` if that is the unit of a bare number, else seconds.
        minimum, maximum: Inclusive bounds; for durations in seconds.
        above: An exclusive lower bound.
        fallback_env: A variable of another tool that takes precedence only over the default.
        default_text: The default in words, where the value is not clear.
        several: Whether the value may be several of its kind, as a tuple: the option is repeated, TOML and variable
            have a list. A single one stays as it is, also in eval_args.json.
        found_file: Whether a `./bootcamp.toml` that was merely found may set it.
        names_keys: Whether the value names keys of the request body: it says how others are sent, or that they are not.
        of_process: Whether it is about the process and not about the run: one that continues the run takes it anew from
            flag, environment or settings file.
        forbidden: Values, or single ones of several, that are refused, as no request can do without these keys.
    """

    help: str
    group: Group
    kind: Kind
    sent_as: str | None = None
    decides: Decides | None = None
    held_as: str | None = None
    word: str | None = None
    settled: str | None = None
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    fallback_env: str | None = None
    default_text: str | None = None
    several: bool = False
    found_file: bool = True
    names_keys: bool = False
    of_process: bool = False
    forbidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter as every consumer sees it: command line, environment, TOML, README, `config show`."""

    name: str
    type: Any
    default: Any
    param: Param

    @property
    def flag(self) -> str:
        """The option as help shows it: `--max-tokens`."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def guide_flag(self) -> str:
        """The option as the guide writes it, which is accepted as well: `--max_tokens`."""
        return f"--{self.name}"

    @property
    def env(self) -> str:
        """The variable: `BOOTCAMP_MAX_TOKENS`."""
        return f"BOOTCAMP_{self.name.upper()}"

    @property
    def repeatable(self) -> bool:
        """Whether the flag may be given several times."""
        return self.param.several or self.param.kind in ("words", "globs")

    @property
    def optional(self) -> bool:
        """Whether the value may be None: not set."""
        return type(None) in get_args(self.type) and get_origin(self.type) in (Union, types.UnionType)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a choice, else nothing."""
        return get_args(self.type) if self.param.kind == "choice" else ()

    @property
    def bare_unit(self) -> BareUnit:
        """What a bare number means for a duration."""
        return "ms" if self.param.unit == "ms" else "s"

    @property
    def metavar(self) -> str:
        """The placeholder of the value in `--help`; empty for a switch."""
        return _METAVARS[self.param.kind]


_METAVARS: dict[Kind, str] = {
    "text": "NAME",
    "url": "URL",
    "command": "COMMAND",
    "secret": "KEY",
    "prompt": "TEXT|@FILE",
    "path": "PATH",
    "data": "PATH",
    "integer": "N",
    "number": "X",
    "duration": "DURATION",
    "switch": "",
    "choice": "MODE",
    "words": "TEXT",
    "globs": "GLOB",
    "json": "JSON",
    "headers": "JSON",
    "shard": "I/N",
    "endpoints": "JSON",
}


AUTO: Final = "auto"
"""What a parameter is set to that follows from the server."""

ApiMode = Literal["completion", "chat_completion"]
BosChoice = Literal["auto", "drop", "keep"]
BootcampChoice = Literal["auto", "builtin", "upstream"]
TransportChoice = Literal["auto", "aiohttp", "httpx"]
ExecutorChoice = Literal["local", "ray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """One of several servers of the same model; what is None is as for all of them.

    `data_parallel_ranks` is the number of ranks behind the URL that take requests by the header X-data-parallel-rank.
    """

    url: str = field(repr=False)
    api_key: Secret | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    max_concurrent_requests: int | None = None
    data_parallel_ranks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """The parameters of an evaluation, converted and checked.

    A text is converted as on the command line (`timeout="90s"`, `test_dir="tests"`); a number that is a duration is in
    seconds. `model_name` None means the model that the server lists, if it lists exactly one. `test_dir` may be several
    paths and URLs, a URL given as text; None is an error of the functions that need it. The repr masks secrets.

    Raises:
        SettingsError: a value is not one of its parameter.
    """

    url: Annotated[
        str | tuple[str, ...],
        Param(
            help="base URL of the OpenAI-compatible server; of several servers of one model, repeated",
            group="Server",
            kind="url",
            several=True,
            fallback_env="OPENAI_BASE_URL",
        ),
    ] = "http://127.0.0.1:8000/v1"
    endpoints: Annotated[
        tuple[EndpointSettings, ...],
        Param(
            help="servers of one model in place of url, [[endpoints]] in TOML: url, api_key, headers, "
            "max_concurrent_requests, data_parallel_ranks",
            group="Server",
            kind="endpoints",
        ),
    ] = ()
    url_file: Annotated[
        Path | None,
        Param(
            help="file with a base URL per line in place of url, read again when it changes: servers join and leave",
            group="Server",
            kind="path",
            default_text="none",
            found_file=False,
        ),
    ] = None
    api_key: Annotated[
        Secret,
        Param(
            help="key of the server; OPENAI_API_KEY only for api.openai.com or a URL from OPENAI_BASE_URL",
            group="Server",
            kind="secret",
        ),
    ] = Secret("EMPTY")  # noqa: RUF009 - immutable
    model_name: Annotated[
        str | None,
        Param(
            help="model to evaluate, as the server names it",
            group="Server",
            kind="text",
            sent_as="model",
            decides="answers",
            default_text="the only model that the server lists",
        ),
    ] = None
    headers: Annotated[
        dict[str, str] | None,
        Param(help="further request headers; their values are masked everywhere", group="Server", kind="headers"),
    ] = None
    serve: Annotated[
        str | None,
        Param(
            help="command that starts the server, which is ended with the run; {port} is a free port, and then the URL",
            group="Server",
            kind="command",
            default_text="a server that runs",
            found_file=False,
            of_process=True,
        ),
    ] = None
    check_model_url: Annotated[
        bool,
        Param(help="wait until the server lists the model before the first request", group="Server", kind="switch"),
    ] = True
    wait: Annotated[
        float,
        Param(
            help="longest wait for server and model, at the start and in a pause",
            group="Server",
            kind="duration",
            minimum=0.0,
        ),
    ] = 3600.0
    poll_interval: Annotated[
        float,
        Param(help="time between two checks of the server while waiting", group="Server", kind="duration", above=0.0),
    ] = 60.0

    ca_bundle: Annotated[
        Path | None,
        Param(
            help="PEM file of the certificate authorities to trust",
            group="TLS",
            kind="path",
            default_text="the usual authorities",
        ),
    ] = None
    client_cert: Annotated[
        Path | None,
        Param(
            help="PEM file of the certificate that the server asks for, with its chain",
            group="TLS",
            kind="path",
            default_text="none",
            found_file=False,
        ),
    ] = None
    client_key: Annotated[
        Path | None,
        Param(
            help="PEM file of the key of client_cert",
            group="TLS",
            kind="path",
            default_text="in client_cert",
            found_file=False,
        ),
    ] = None
    insecure: Annotated[
        bool, Param(help="do not verify the server's certificate", group="TLS", kind="switch", found_file=False)
    ] = False

    test_dir: Annotated[
        Path | DataUrl | tuple[Path | DataUrl, ...] | None,
        Param(
            help="directory of test files (*.jsonl, *.jsonl.gz), or one such file; also s3://, and files by https://",
            group="Test data",
            kind="data",
            several=True,
            default_text="required",
        ),
    ] = None
    limit: Annotated[
        int | None,
        Param(
            help="take only the first rows of each file",
            group="Test data",
            kind="integer",
            minimum=1,
            decides="answers",
            default_text="all rows",
        ),
    ] = None
    sample: Annotated[
        int | None,
        Param(
            help="draw so many questions from each file, spread over it; with limit, over its first rows",
            group="Test data",
            kind="integer",
            minimum=1,
            decides="answers",
            default_text="all rows",
        ),
    ] = None
    sample_seed: Annotated[
        int,
        Param(
            help="seed of the draw: the same seed draws the same questions",
            group="Test data",
            kind="integer",
            decides="answers",
        ),
    ] = 0
    include: Annotated[
        tuple[str, ...],
        Param(
            help="take only what matches: glob on test file name or data_source",
            group="Test data",
            kind="globs",
            decides="answers",
            default_text="everything",
        ),
    ] = ()
    exclude: Annotated[
        tuple[str, ...],
        Param(
            help="leave out what matches: glob on test file name or data_source",
            group="Test data",
            kind="globs",
            decides="answers",
            default_text="nothing",
        ),
    ] = ()
    skip_invalid: Annotated[
        bool,
        Param(
            help="continue without the rows that cannot be read",
            group="Test data",
            kind="switch",
            decides="answers",
            held_as="files",
        ),
    ] = False
    shard: Annotated[
        Shard | Literal["auto"] | None,
        Param(
            help="take only part I of N of the questions, to be merged; auto: by the array job that this is",
            group="Test data",
            kind="shard",
            word=AUTO,
            decides="answers",
            default_text="all",
        ),
    ] = None
    repeats: Annotated[
        int | None,
        Param(
            help="how often each question is asked; with a seed, repeat r is sent seed + r",
            group="Test data",
            kind="integer",
            minimum=1,
            maximum=MAX_REPEATS,
            default_text="1, or as many as the run that is continued",
        ),
    ] = None

    api_mode: Annotated[
        ApiMode,
        Param(
            help="completion: the template is applied here; chat_completion: by the server",
            group="Generation",
            kind="choice",
            decides="answers",
        ),
    ] = "completion"
    template: Annotated[
        str,
        Param(
            help="chat template of completion mode (`bootcamp templates list`)",
            group="Generation",
            kind="text",
            decides="answers",
            held_as="template_text",
        ),
    ] = "chatml"
    bos: Annotated[
        BosChoice,
        Param(
            help="the template's begin-of-sentence token; auto: dropped where the server adds one of its own",
            group="Generation",
            kind="choice",
            decides="answers",
            settled="keep",
        ),
    ] = AUTO
    sys_prompt: Annotated[
        str | None,
        Param(
            help="system prompt of chat mode; @FILE reads a UTF-8 file without its last line break, @@ is a literal @",
            group="Generation",
            kind="prompt",
            decides="answers",
            default_text="that of a chosen template, if it has one",
        ),
    ] = None
    max_tokens: Annotated[
        int | Literal["auto"],
        Param(
            help="maximum number of tokens per answer; auto: what the model's context leaves",
            group="Generation",
            kind="integer",
            word=AUTO,
            minimum=1,
            sent_as="max_tokens",
            decides="answers",
        ),
    ] = 32768
    temperature: Annotated[
        float,
        Param(
            help="sampling temperature",
            group="Generation",
            kind="number",
            minimum=0.0,
            sent_as="temperature",
            decides="answers",
        ),
    ] = 0.0
    top_p: Annotated[
        float | None,
        Param(
            help="nucleus sampling",
            group="Generation",
            kind="number",
            above=0.0,
            maximum=1.0,
            sent_as="top_p",
            decides="answers",
            default_text="not sent",
        ),
    ] = None
    top_k: Annotated[
        int | None,
        Param(
            help="sample among the k most likely tokens",
            group="Generation",
            kind="integer",
            minimum=-1,
            sent_as="top_k",
            decides="answers",
            default_text="not sent",
        ),
    ] = None
    min_p: Annotated[
        float | None,
        Param(
            help="minimum probability of a token, relative to the most likely one",
            group="Generation",
            kind="number",
            minimum=0.0,
            maximum=1.0,
            sent_as="min_p",
            decides="answers",
            default_text="not sent",
        ),
    ] = None
    repetition_penalty: Annotated[
        float | None,
        Param(
            help="penalty for tokens that the prompt or the answer already contains; 1 is none",
            group="Generation",
            kind="number",
            above=0.0,
            sent_as="repetition_penalty",
            decides="answers",
            default_text="not sent",
        ),
    ] = None
    presence_penalty: Annotated[
        float | None,
        Param(
            help="penalty for tokens that the answer already contains, once per token; 0 is none",
            group="Generation",
            kind="number",
            minimum=-2.0,
            maximum=2.0,
            sent_as="presence_penalty",
            decides="answers",
            default_text="not sent",
        ),
    ] = None
    frequency_penalty: Annotated[
        float | None,
        Param(
            help="penalty for tokens that the answer already contains, per occurrence; 0 is none",
            group="Generation",
            kind="number",
            minimum=-2.0,
            maximum=2.0,
            sent_as="frequency_penalty",
            decides="answers",
            default_text="not sent",
        ),
    ] = None
    seed: Annotated[
        int | None,
        Param(
            help="sampling seed",
            group="Generation",
            kind="integer",
            sent_as="seed",
            decides="answers",
            default_text="not sent",
        ),
    ] = None
    max_tokens_field: Annotated[
        str,
        Param(
            help="key of the request body that holds max_tokens; OpenAI's reasoning models want max_completion_tokens",
            group="Generation",
            kind="text",
            decides="answers",
            names_keys=True,
            forbidden=("model", "prompt", "messages", "stream", "stream_options"),
        ),
    ] = "max_tokens"
    omit: Annotated[
        tuple[str, ...],
        Param(
            help="key of the request body that is not sent (temperature, stop, stream_options, ...)",
            group="Generation",
            kind="words",
            decides="answers",
            default_text="nothing",
            names_keys=True,
            forbidden=("model", "prompt", "messages"),
        ),
    ] = ()
    stop: Annotated[
        tuple[str, ...],
        Param(
            help="stop word, added to the template's",
            group="Generation",
            kind="words",
            sent_as="stop",
            decides="answers",
            default_text="the template's",
        ),
    ] = ()
    extra_body: Annotated[
        dict[str, Any] | None,
        Param(
            help="further keys of the request body (chat_template_kwargs, add_special_tokens, ...)",
            group="Generation",
            kind="json",
            decides="answers",
        ),
    ] = None

    max_concurrent_requests: Annotated[
        int, Param(help="requests in flight, across all files", group="Requests", kind="integer", minimum=1)
    ] = 128
    timeout: Annotated[
        float,
        Param(
            help="deadline of one attempt, from connecting to the last byte; a bare number is in milliseconds",
            group="Requests",
            kind="duration",
            unit="ms",
            above=0.0,
        ),
    ] = 6000.0
    max_retries: Annotated[
        int, Param(help="retries after the first attempt", group="Requests", kind="integer", minimum=0)
    ] = 16
    max_retrying_delay: Annotated[
        float, Param(help="longest wait between two attempts", group="Requests", kind="duration", minimum=0.0)
    ] = 60.0
    keep_going: Annotated[
        bool,
        Param(
            help="go on although the server refuses every request, even a short neutral one",
            group="Requests",
            kind="switch",
        ),
    ] = False
    stream: Annotated[
        bool,
        Param(
            help="request server-sent events, for gateways that cut silent connections",
            group="Requests",
            kind="switch",
            sent_as="stream",
        ),
    ] = False
    idle_timeout: Annotated[
        float,
        Param(
            help="longest silence of a stream before the attempt is given up",
            group="Requests",
            kind="duration",
            above=0.0,
        ),
    ] = 300.0
    transport: Annotated[
        TransportChoice,
        Param(
            help="HTTP library of the requests; auto: aiohttp, but httpx through a SOCKS proxy",
            group="Requests",
            kind="choice",
        ),
    ] = "auto"

    bootcamps: Annotated[
        BootcampChoice,
        Param(
            help="where verifiers come from: built-in before the internbootcamp package, or one of them first",
            group="Verification",
            kind="choice",
            decides="scores",
            held_as="verifiers",
        ),
    ] = "auto"
    bootcamps_path: Annotated[
        Path | None,
        Param(
            help="directory that holds the internbootcamp package",
            group="Verification",
            kind="path",
            decides="scores",
            held_as="verifiers",
            default_text="the installed package",
            found_file=False,
        ),
    ] = None
    allow_unscored: Annotated[
        bool, Param(help="keep outputs without a bootcamp for a later `rescore`", group="Verification", kind="switch")
    ] = False
    verify_timeout: Annotated[
        float, Param(help="time limit of one verification", group="Verification", kind="duration", above=0.0)
    ] = 10.0
    verify_memory: Annotated[
        int,
        Param(
            help="memory limit of a verifier process, in MiB",
            group="Verification",
            kind="integer",
            unit="MiB",
            minimum=64,
        ),
    ] = 2048
    verify_workers: Annotated[
        int | None,
        Param(
            help="verifier processes; with Ray, on each node",
            group="Verification",
            kind="integer",
            minimum=1,
            default_text="usable CPUs, at most 8; with Ray all of the node's",
        ),
    ] = None

    executor: Annotated[
        ExecutorChoice,
        Param(
            help="where outputs are verified: by processes of this machine, or on the nodes of a Ray cluster",
            group="Verification",
            kind="choice",
        ),
    ] = "local"
    ray_address: Annotated[
        str | None,
        Param(
            help="HOST:PORT of the Ray cluster's head",
            group="Verification",
            kind="text",
            default_text="RAY_ADDRESS, or the cluster that this machine belongs to",
            found_file=False,
        ),
    ] = None

    output_dir: Annotated[Path, Param(help="where run directories are created", group="Run", kind="path")] = Path(
        "output"
    )
    max_total_tokens: Annotated[
        int | None,
        Param(
            help="stop as on SIGTERM, to be resumed, when prompts and answers of the run have so many tokens",
            group="Run",
            kind="integer",
            minimum=1,
            default_text="no limit",
        ),
    ] = None
    resume: Annotated[
        bool, Param(help="continue the newest run with the same settings, if there is one", group="Run", kind="switch")
    ] = False
    stop_after: Annotated[
        float | None,
        Param(
            help="stop after this time as on SIGTERM, to be resumed (exit code 130); for jobs with a time limit",
            group="Run",
            kind="duration",
            above=0.0,
            default_text="not",
            of_process=True,
        ),
    ] = None

    def __post_init__(self) -> None:
        from bootcamp_cli.settings.convert import argument_value  # noqa: PLC0415 - as in __repr__

        for parameter in parameters():
            value = getattr(self, parameter.name)
            if value is not parameter.default:
                object.__setattr__(self, parameter.name, argument_value(parameter, value))

    @property
    def servers(self) -> tuple[EndpointSettings, ...]:
        """Where requests go, but for a `url_file`, which stands for all of these and may change."""
        urls = self.url if isinstance(self.url, tuple) else (self.url,)
        return self.endpoints or tuple(EndpointSettings(url=url) for url in urls)

    def __repr__(self) -> str:
        from bootcamp_cli.settings.convert import shown_argument  # noqa: PLC0415 - conversion builds on this module

        shown = ", ".join(f"{p.name}={shown_argument(p, getattr(self, p.name))!r}" for p in parameters())
        return f"Settings({shown})"


@cache
def parameters() -> tuple[Parameter, ...]:
    """The parameters in the order of their declaration."""
    hints = get_type_hints(Settings, include_extras=True)
    found = []
    for declaration in fields(Settings):
        declared, param = get_args(hints[declaration.name])
        found.append(Parameter(name=declaration.name, type=declared, default=declaration.default, param=param))
    return tuple(found)


@cache
def parameters_by_name() -> dict[str, Parameter]:
    """The parameters by name."""
    return {parameter.name: parameter for parameter in parameters()}


def body_values(settings: Settings) -> dict[str, Any]:
    """What the parameters put into the request body, by key, in the order of their declaration.

    What is not set is not sent: None, an empty list, and a switch that is off unless it has a third state.
    """
    values = {}
    for parameter in parameters():
        value = getattr(settings, parameter.name)
        is_off = value is False and not parameter.optional
        if parameter.param.sent_as and value is not None and value != () and not is_off:
            values[parameter.param.sent_as] = value
    return values


@cache
def sent_keys() -> tuple[str, ...]:
    """The keys under which the tool sends something besides the prompt."""
    return (*(parameter.param.sent_as for parameter in parameters() if parameter.param.sent_as), STREAM_OPTIONS)


def is_omitted(settings: Settings, parameter: Parameter) -> bool:
    """Whether the key under which a parameter is sent is one that the settings leave out of the body."""
    key = parameter.param.sent_as
    keys = (key, settings.max_tokens_field) if key == MAX_TOKENS else (key,)
    return any(key in settings.omit for key in keys)


@cache
def identity_keys() -> tuple[str, ...]:
    """The keys of a run's identity: what decides its answers and its scores."""
    deciding = (parameter for parameter in parameters() if parameter.param.decides is not None)
    return tuple(dict.fromkeys(parameter.param.held_as or parameter.name for parameter in deciding))


@cache
def listed_keys() -> tuple[str, ...]:
    """The keys of eval_args.json and of the identity that the workbook lists, in its order.

    These are what decides the answers, with the choice of rows last: patterns first, then limit and draw. The digests
    of the files are not a parameter.
    """
    deciding = [p for p in parameters() if p.param.decides == "answers" and p.param.held_as != "files"]
    rows = [parameter for parameter in deciding if parameter.param.group == "Test data"]
    rest = [parameter for parameter in deciding if parameter not in rows]
    ordered = [*rest, *sorted(rows, key=lambda parameter: parameter.param.kind != "globs")]
    return tuple(key for p in ordered for key in (p.name, p.param.held_as) if key is not None)
