"""What a demo server is asked to be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from bootcamp_cli.demo.faults import Fault
from bootcamp_cli.errors import SettingsError

LatencyShape = Literal["exponential", "fixed"]

OTHER_BOOTCAMPS = "*"
"""The key in `skills` for every bootcamp that has no key of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoConfig:
    """A demo server: what it serves, how well, how fast, and what goes wrong.

    `port` 0 takes a free one. `skills` are the shares of right answers by data source; without an entry they differ
    from bootcamp to bootcamp, as with a real model. `latency_s` is the mean over prompts. `max_model_len` is listed and
    enforced as by vLLM. `reasoning_parser` puts the thoughts into `reasoning_content` in chat mode. `log_requests`
    adds one entry per request to the statistics. `by_turns` answers a prompt that several rows share, with different
    ground truths, for each of them in turn: right for requests in row order, one at a time.

    Raises:
        SettingsError: a value is out of range, or the host is not loopback: the server has no protection at all.
    """

    test_dir: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    models: tuple[str, ...] = ("demo",)
    api_key: str | None = field(default=None, repr=False)
    max_model_len: int | None = None
    latency_s: float = 0.0
    latency_shape: LatencyShape = "exponential"
    faults: tuple[Fault, ...] = ()
    skills: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    reasoning_parser: bool = False
    log_requests: bool = False
    by_turns: bool = False

    def __post_init__(self) -> None:
        if not _is_loopback(self.host):
            raise SettingsError(f"host: must be a loopback address such as 127.0.0.1, got {self.host!r}")
        if not 0 <= self.port < 65536:
            raise SettingsError(f"port: must be between 0 and 65535, got {self.port}")
        if not self.models:
            raise SettingsError("model: at least one name is needed")
        if not 0 <= self.latency_s < float("inf"):
            raise SettingsError(f"latency: must be at least 0 seconds, got {self.latency_s}")
        for name, skill in self.skills.items():
            if not 0 <= skill <= 1:
                raise SettingsError(f"skill: {name}: must be between 0 and 1, got {skill}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
