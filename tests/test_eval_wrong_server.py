"""What is said, and what is made, where URL, api_mode or key are wrong; told from what is found by looking."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunBootcamp, WriteRows

LIST = {"data": [{"id": "m", "object": "model"}]}
COMPLETION = {"model": "m", "choices": [{"index": 0, "text": "42", "finish_reason": "stop"}]}
CHAT = {
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "42"}, "finish_reason": "stop"}],
}
NOTHING = (404, {"detail": "Not Found"})
WRONG_KEY = (401, {"error": {"message": "wrong key"}})
Answers = Mapping[str, Any]


@contextmanager
def answering(paths: Answers, *, key: str | None = None) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Run a server with these JSON bodies by path and 404 for any other; gives its root and the paths and keys asked.

    With a `key`, what is there is 401 without it, but for a path that ends in `!`.
    """
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            sent = self.headers.get("authorization")
            asked.append((self.path, sent))
            body = paths.get(f"{self.path}!")
            if body is None and (body := paths.get(self.path)) is not None and key and sent != f"Bearer {key}":
                status, body = WRONG_KEY
            else:
                status, body = NOTHING if body is None else (200, body)
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = reply  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as above
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def words(tmp_path: Path, write_rows: WriteRows) -> tuple[str | Path, ...]:
    """The command line of an evaluation of two rows, without its URL."""
    rows = [{"data_source": "Game24", "prompt": f"p{n}", "ground_truth": {"puzzle": "1 2 4 8"}} for n in range(2)]
    test_dir = write_rows(tmp_path / "set" / "a.jsonl", rows).parent
    return ("eval", "--model-name", "m", "--test-dir", test_dir, "--wait", "0", "--url")


@pytest.mark.parametrize("path", ["/v1", "/api/v1", "/given/v1"])
@pytest.mark.parametrize("page", [None, b"<!DOCTYPE html><title>Welcome</title>"])
def test_an_api_at_another_path_is_told(
    words: Any, call_bootcamp: RunBootcamp, tmp_path: Path, path: str, page: bytes | None
) -> None:
    """A URL that leaves out the path of the API ends the start with the right one, at which no key is sent."""
    html = {"/given/models": page} if page else {}
    with answering({f"{path}/models": LIST, f"{path}/completions": COMPLETION, **html}) as (root, asked):
        done = call_bootcamp(*words, f"{root}/given", "--api-key", "sk-of-mine-0123456789")
    assert done.returncode == 4
    assert f"the server answers at {root}{path}; give --url {root}{path}\n" in done.stderr
    assert {place for place, sent in asked if sent} <= {"/given/models", "/given/completions"}
    assert f"{path}/completions" not in dict(asked)
    assert not (tmp_path / "output").exists()


def test_a_server_without_list_that_answers_is_used(words: Any, call_bootcamp: RunBootcamp) -> None:
    """Where the given URL has completions, another API on the same host is none of its business."""
    with answering({"/x/completions": COMPLETION, "/v1/models": LIST}) as (root, _):
        done = call_bootcamp(*words, f"{root}/x")
    assert done.returncode == 0, done.stderr
    assert "cannot tell whether model m is there" in done.stderr


def test_no_api_at_all(words: Any, call_bootcamp: RunBootcamp, tmp_path: Path) -> None:
    """A URL with neither list nor completions is refused before a run directory is made."""
    with answering({}) as (root, _):
        done = call_bootcamp(*words, root)
    assert done.returncode == 4
    assert f"{root} has neither a model list nor completions: HTTP 404: Not Found; check --url" in done.stderr
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("listed", [{"/v1/models": LIST}, {}])
@pytest.mark.parametrize(
    ("mode", "other", "found"),
    [
        ("completion", "chat_completion", {"/v1/chat/completions": CHAT}),
        ("chat_completion", "completion", {"/v1/completions": COMPLETION}),
    ],
)
def test_a_server_of_the_other_mode(
    words: Any, call_bootcamp: RunBootcamp, tmp_path: Path, mode: str, other: str, found: Answers, listed: Answers
) -> None:
    """Where only the other mode is answered, the flag is named, and no directory is left that nothing can continue."""
    with answering({**found, **listed}) as (root, _):
        done = call_bootcamp(*words, f"{root}/v1", "--api-mode", mode)
        assert done.returncode == 4
        assert f"takes no requests of api_mode {mode} (HTTP 404: Not Found), but those of {other}" in done.stderr
        assert f"give --api-mode {other}\n" in done.stderr
        assert not list((tmp_path / "output").glob("*"))
        assert call_bootcamp(*words, f"{root}/v1", "--api-mode", other).returncode == 0
        probed = call_bootcamp("check-model", "--url", f"{root}/v1", "--model-name", "m", "--probe", "--api-mode", mode)
        assert f"give --api-mode {other}\n" in probed.stderr


@pytest.mark.parametrize(
    ("flags", "env", "toml", "said"),
    [
        ((), {}, "", "no key was sent; "),
        ((), {"OPENAI_API_KEY": "sk-o"}, "", "OPENAI_API_KEY is set, but goes only to api.openai.com or a URL from "),
        (
            (),
            {"BOOTCAMP_API_KEY": "sk-b"},
            "",
            "key that was sent is from BOOTCAMP_API_KEY, the URL is from --url; ",
        ),
        (("--api-key", "sk-f"), {}, "", "the key that was sent is from --api-key; "),
        ((), {}, 'api_key = "sk-t"', "the key that was sent is from ./bootcamp.toml: api_key, the URL is from --url; "),
    ],
)
@pytest.mark.parametrize("public", ["", "!"])
def test_a_refused_key_is_told_by_its_source(
    words: Any, call_bootcamp: RunBootcamp, tmp_path: Path, flags: Any, env: Any, toml: str, said: str, public: str
) -> None:
    """A 401 names where the key came from, at the start and, where the list is public, at the first request."""
    (tmp_path / "bootcamp.toml").write_text(toml)
    with answering({f"/v1/models{public}": LIST, "/v1/completions": COMPLETION}, key="right") as (root, _):
        done = call_bootcamp(*words, f"{root}/v1", *flags, env=env)
    assert done.returncode == 4
    assert said in done.stderr
    assert not any(key in done.stderr for key in ("sk-o", "sk-b", "sk-f", "sk-t"))
    made = list((tmp_path / "output").glob("*"))
    assert len(made) == bool(public)  # it can be continued with the right key
    if made:
        assert f"`bootcamp resume {made[0]}`" in done.stderr
