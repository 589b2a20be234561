"""A server for `--serve`: `python tests/own_server.py PORT [OPTIONS]`, which dies as it is told to.

It needs nothing but the standard library and answers every prompt with the same word. `--count` is a file that has a
line for each completion that was asked for, in all of its lives; `--die-at` are the numbers of those at which it dies
instead of answering.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODEL = "own"
LIFETIME_S = 120


def main() -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("port", type=int)
    parser.add_argument("--count", type=Path)
    parser.add_argument("--die-at", type=int, nargs="*", default=[])
    parser.add_argument("--loading", type=float, default=0.0, help="seconds before it listens")
    parser.add_argument("--unready", type=int, default=0, help="how often /health says that it is not")
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--pids", type=Path, help="gets a line for this process and for a child of its own")
    parser.add_argument("--stubborn", action="store_true", help="ignore SIGTERM, and so does the child")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--environment", type=Path, help="gets the environment")
    given = parser.parse_args()
    threading.Timer(LIFETIME_S, os._exit, [1]).start()
    if given.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if given.environment:
        given.environment.write_text(json.dumps({**os.environ}))
    if given.pids:
        ignored = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " if given.stubborn else ""
        child = subprocess.Popen([sys.executable, "-c", f"{ignored}import time; time.sleep({LIFETIME_S})"])
        earlier = [int(pid) for pid in given.pids.read_text().split()] if given.pids.exists() else []
        sys.stderr.write(f"{len(earlier)} processes before it, {sum(map(is_alive, earlier))} of them alive\n")
        with given.pids.open("a") as file:
            file.write(f"{os.getpid()}\n{child.pid}\n")
    sys.stderr.write(f"\x1b[31mloading\x1b[0m with key {given.api_key}\n")
    time.sleep(given.loading)
    ThreadingHTTPServer(("127.0.0.1", given.port), _handler(given)).serve_forever()


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pids: list[int]) -> None:
    """Wait until none of the processes runs."""
    deadline = time.monotonic() + 30
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, f"{pids} should have ended"
        time.sleep(0.02)


def _handler(given: argparse.Namespace) -> type[BaseHTTPRequestHandler]:
    lock, n_unready = threading.Lock(), [given.unready]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Give the list of models, or say whether it is ready."""
            if self.path == "/health":
                n_unready[0] -= 1
                self._reply({"error": "loading"} if n_unready[0] >= 0 else {}, 503 if n_unready[0] >= 0 else 200)
            else:
                self._reply({"object": "list", "data": [{"id": MODEL}]})

        def do_POST(self) -> None:
            """Answer, or die."""
            self.rfile.read(int(self.headers["Content-Length"]))
            if given.count:
                with lock:
                    with given.count.open("a") as file:
                        file.write("\n")
                    n = given.count.read_bytes().count(b"\n")
                if n in given.die_at:
                    sys.stderr.write("CUDA error: out of memory\n")
                    os._exit(3)
            time.sleep(given.latency)
            usage = {"prompt_tokens": 1000, "completion_tokens": 1}
            self._reply({"choices": [{"text": "word", "finish_reason": "stop"}], "usage": usage, "model": MODEL})

        def _reply(self, reply: dict[str, Any], status: int = 200) -> None:
            body = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Write no line for each request."""

    return Handler


if __name__ == "__main__":
    main()
