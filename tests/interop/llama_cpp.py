"""A real llama.cpp server as a process: `python -m tests.interop.llama_cpp MODEL` prints its URL and ends with stdin.

The code is that of `llama-server`, which the wheel of `xllamacpp` brings as a library. One thread computes: the model
is tiny, and threads that wait for each other on a busy machine cost more than they bring.
"""

import argparse
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

MODEL_NAME = "tiny"

SHOWS_SLOTS = {"LLAMA_SERVER_SLOTS_DEBUG": "1"}
"""With this in its environment, the server's `/slots` shows the prompts as they arrived, tokens turned into text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaConfig:
    """How the server is started: `n_context` is the context length of each slot, `port` 0 takes a free one."""

    model: Path
    port: int = 0
    n_slots: int = 8
    n_context: int = 4096
    api_key: str | None = None


def llama_command(config: LlamaConfig) -> list[str]:
    """The command that starts the server, in this interpreter."""
    options = {"--port": config.port, "--slots": config.n_slots, "--context": config.n_context}
    command = [sys.executable, "-m", "tests.interop.llama_cpp", str(config.model)]
    command += [str(part) for option in options.items() for part in option]
    return command + (["--api-key", config.api_key] if config.api_key else [])


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("model", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--api-key")
    parser.add_argument("--until-killed", action="store_true", help="do not end with stdin")
    given = parser.parse_args()
    url = _serve(
        LlamaConfig(
            model=given.model,
            port=given.port,
            n_slots=given.slots,
            n_context=given.context,
            api_key=given.api_key,
        )
    )
    sys.stdout.write(f"{url}/v1\n")
    sys.stdout.flush()
    if given.until_killed:
        threading.Event().wait()
    sys.stdin.read()
    os._exit(0)  # the server's own end waits for connections that are kept alive


def _serve(config: LlamaConfig) -> str:
    """Start the server's threads and give its address; they run as long as the process does."""
    import xllamacpp  # noqa: PLC0415 - the tests import the rest of this module before they know whether it is there

    params = xllamacpp.CommonParams()
    params.model.path = str(config.model)
    params.model_alias = {MODEL_NAME}
    params.port = config.port
    params.n_parallel = config.n_slots
    params.n_ctx = config.n_slots * config.n_context
    params.api_keys = [config.api_key] if config.api_key else []
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_threads_http = config.n_slots + 4
    params.cache_prompt = False  # what was asked before does not change what is computed
    params.cache_ram_mib = 0
    params.fit_params = False
    params.warmup = False
    params.verbosity = 0
    server = xllamacpp.Server(params)
    _running.append(server)
    return str(server.listening_address)


_running: list[object] = []

if __name__ == "__main__":
    main()
