"""Evaluations through nginx, in front of a real llama.cpp server: what a gateway adds, and what it makes of outages."""

from pathlib import Path
from typing import get_args

import pytest

from bootcamp_cli import evaluate
from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.events import RunPaused, SampleRecorded
from bootcamp_cli.settings.model import ApiMode
from tests.interop.conftest import Happened, StartLlama, StartNginx, evaluate_while, settings_for

MODES: tuple[ApiMode, ...] = get_args(ApiMode)

RATE = """
    limit_req_zone $binary_remote_addr zone=requests:1m rate=4r/s;
    limit_req_status 429;
"""


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("api_mode", MODES)
def test_64_slots(
    api_mode: ApiMode,
    stream: bool,  # noqa: FBT001 - pytest's
    llama: StartLlama,
    nginx: StartNginx,
    demo_test_dir: Path,
    tmp_path: Path,
) -> None:
    """Through a gateway that keeps its connections, each sample takes one request, streamed or not."""
    gateway = nginx(llama(n_slots=64, n_context=2048).url)
    settings = settings_for(
        gateway.url,
        demo_test_dir,
        tmp_path,
        api_mode=api_mode,
        stream=stream,
        max_concurrent_requests=64,
        max_retries=0,
    )
    assert evaluate(settings).summary.complete
    assert gateway.statuses() == [200] * 112


def test_tls(llama: StartLlama, nginx: StartNginx, certificate: Path, demo_test_dir: Path, tmp_path: Path) -> None:
    """TLS of a certificate that is trusted works; of one that is not, the run ends before its first request."""
    gateway = nginx(
        llama(n_slots=16, n_context=2048).url,
        listen=" ssl",
        http=f"ssl_certificate {certificate}; ssl_certificate_key {certificate};",
    )
    url = gateway.url.replace("http:", "https:")
    with pytest.raises(ServerUnavailableError, match="certificate"):
        evaluate(settings_for(url, demo_test_dir, tmp_path))
    run = evaluate(settings_for(url, demo_test_dir, tmp_path, ca_bundle=certificate, max_retries=0))
    assert run.summary.complete
    assert gateway.statuses() == [200] * 112


def test_an_outage_behind_the_gateway(
    llama: StartLlama, nginx: StartNginx, demo_test_dir: Path, tmp_path: Path
) -> None:
    """The server behind the gateway dies, which answers 502 in its stead: it costs each sample at most one attempt."""
    server = llama(n_slots=16, n_context=2048)
    gateway = nginx(server.url)

    def act(happened: Happened) -> None:
        happened.wait_for(SampleRecorded, 20)
        server.kill()
        happened.wait_for(RunPaused)
        server.start()

    settings = settings_for(gateway.url, demo_test_dir, tmp_path, max_concurrent_requests=16, max_retries=1)
    run = evaluate_while(settings, act)
    assert (run.summary.n_failed, run.summary.complete, run.summary.n_samples) == (0, True, 112)


def test_a_gateway_that_waits_too_short(
    llama: StartLlama, nginx: StartNginx, demo_test_dir: Path, tmp_path: Path
) -> None:
    """The server behind the gateway stands still, and the gateway answers 504: what it cut off is sent again."""
    server = llama(n_slots=16, n_context=2048)
    gateway = nginx(server.url, location="proxy_read_timeout 1s;")

    def act(happened: Happened) -> None:
        happened.wait_for(SampleRecorded, 20)
        server.freeze()
        try:
            gateway.wait_for(504, 8)
        finally:
            server.thaw()

    settings = settings_for(gateway.url, demo_test_dir, tmp_path, max_concurrent_requests=8)
    run = evaluate_while(settings, act)
    assert (run.summary.complete, run.summary.n_samples) == (True, 112)


def test_too_many_a_second(llama: StartLlama, nginx: StartNginx, demo_test_dir: Path, tmp_path: Path) -> None:
    """A gateway allows 4 requests a second and answers 429 without Retry-After to the others: all are answered."""
    gateway = nginx(llama(n_slots=16, n_context=2048).url, http=RATE, location="limit_req zone=requests burst=4;")
    settings = settings_for(
        gateway.url, demo_test_dir, tmp_path, limit=2, max_concurrent_requests=28, max_retrying_delay=2
    )
    run = evaluate(settings)
    assert (run.summary.n_failed, run.summary.complete, run.summary.n_samples) == (0, True, 28)
    assert {*gateway.statuses()} == {200, 429}
