"""The viewer's server: who gets an answer, what the page asks for, and that hostile text stays text."""

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession, CookieJar
from msgspec.structs import replace

from bootcamp_cli import Settings
from bootcamp_cli.cli.view import has_desktop
from bootcamp_cli.errors import UsageError
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import encode_line
from bootcamp_cli.viewer.server import HEADERS, serve
from tests.conftest import RunBootcamp, StartBootcamp
from tests.run_directories import write_run, write_run_of_run_eval
from tests.test_store_journal import a_failure, a_record

HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(1)>=HYPERLINK("x")\x1b[2J\u202e'


@asynccontextmanager
async def viewer(*runs: Path) -> AsyncIterator["Viewer"]:
    """A viewer of runs, with a client that has its cookie."""
    async with (
        serve([RunDir(run) for run in runs], Settings(verify_workers=1)) as url,
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as client,
    ):
        shown = Viewer(url, client)
        async with client.get(url) as reply:
            assert reply.status == 200
        yield shown


class Viewer:
    """A running viewer as its page sees it."""

    def __init__(self, url: str, client: ClientSession) -> None:
        """Know where it is."""
        self.url = url
        self.base = url.partition("/?")[0]
        self.client = client

    async def get(self, path: str, **query: Any) -> Any:
        """The JSON of a reply."""
        async with self.client.get(self.base + path, params=query) as reply:
            assert reply.status == 200, await reply.text()
            return await reply.json()

    async def until(self, path: str, is_so: Callable[[Any], bool], **query: Any) -> Any:
        """The first reply of which something is so."""
        async with asyncio.timeout(60):
            while True:
                if is_so(found := await self.get(path, **query)):
                    return found
                await asyncio.sleep(0.02)

    async def read(self) -> Any:
        """The state once every run is read."""
        return await self.until("/api/state", lambda state: all(run["complete"] for run in state["runs"]))


def places(page: Any) -> list[tuple[str, int, int]]:
    """The samples of a list."""
    return [(item["file"], item["row"], item["repeat"]) for item in page["items"]]


@pytest.mark.anyio
async def test_only_the_page_with_its_token_gets_an_answer(tmp_path: Path) -> None:
    """Without token or cookie, or with a wrong one, every path is refused; with it the page and its parts are there."""
    run = write_run(tmp_path / "run", {"Sums": [[1.0]]})
    async with viewer(run) as shown, ClientSession(cookie_jar=CookieJar(unsafe=True)) as stranger:
        for path in (
            "/",
            "/viewer.js",
            "/api/state",
            "/?token=",
            "/?token=wrong",
            "/api/state?token=" + shown.url.partition("=")[2],
        ):
            async with stranger.get(shown.base + path) as reply:
                assert reply.status == 403
                assert shown.url.partition("=")[2] not in await reply.text()
        for path in ("/", "/viewer.js", "/viewer.css", "/icon.svg", "/api/state"):
            async with shown.client.get(shown.base + path) as reply:
                assert reply.status == 200
            async with shown.client.head(shown.base + path) as reply:
                assert (reply.status, await reply.read()) == (200, b"")


@pytest.mark.anyio
async def test_the_cookie_is_for_this_page_only(tmp_path: Path) -> None:
    """Scripts cannot read it and other sites cannot have it sent; each viewer has a name of its own for it."""
    run = write_run(tmp_path / "run", {"Sums": [[1.0]]})
    names = set()
    for _ in range(2):
        async with viewer(run) as shown, shown.client.get(shown.url) as reply:
            cookie = reply.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            names.add(cookie.partition("=")[0])
    assert len(names) == 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:1234", 200),
        ("LOCALHOST", 200),
        ("[::1]:9", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost@evil.example", 403),
        ("evil.example@localhost", 403),
        ("localhost:x", 403),
        ("localhost/..", 403),
        ("", 403),
    ],
)
async def test_only_this_machines_names_are_answered(tmp_path: Path, host: str, status: int) -> None:
    """Any port will do, since SSH forwards another one; a name that only leads here will not."""
    async with (
        viewer(write_run(tmp_path / "run", {"Sums": [[1.0]]})) as shown,
        shown.client.get(shown.base + "/api/state", headers={"Host": host}) as reply,
    ):
        assert reply.status == status


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
async def test_only_reading_is_possible(tmp_path: Path, method: str) -> None:
    """Every other method is refused, whatever the path."""
    async with viewer(write_run(tmp_path / "run", {"Sums": [[1.0]]})) as shown:
        for path in ("/", "/api/state", "/none"):
            async with shown.client.request(method, shown.base + path) as reply:
                assert reply.status == 405


@pytest.mark.anyio
async def test_no_path_leads_to_a_file(tmp_path: Path) -> None:
    """Paths with `..`, and names of files that are not of the run, are not there."""
    run = write_run(tmp_path / "run", {"Sums": [[1.0]]})
    (tmp_path / "secret.jsonl").write_bytes(encode_line(a_record(0)))
    async with viewer(run) as shown:
        token = shown.url.partition("=")[2]
        cookie = next(iter(shown.client.cookie_jar))
        port = urlsplit(shown.base).port
        for path in (
            "/../viewer.js",
            "/..%2f..%2fetc/passwd",
            "/api/../../run/details/Sums.jsonl",
            "//etc/passwd",
            "/page/index.html",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            headers = f"Host: localhost\r\nCookie: {cookie.key}={token}\r\nConnection: close"
            writer.write(f"GET {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode())
            status = (await reader.read()).split(b" ", 2)[1]
            assert status == b"404", path
            writer.close()
        for name in (
            "../../secret.jsonl",
            "..%2F..%2Fsecret.jsonl",
            str(tmp_path / "secret.jsonl"),
            "../manifest.json",
        ):
            async with shown.client.get(
                shown.base + "/api/sample", params={"sample_file": name, "sample_row": 0}
            ) as reply:
                assert reply.status == 404


@pytest.mark.anyio
@pytest.mark.parametrize(
    "query",
    ["run=7", "run=x", "status=none", "cause=x", "pairs=x", "start=-1", "n=1e9", "sample_file=a&sample_row=%20"],
)
async def test_nonsense_is_refused(tmp_path: Path, query: str) -> None:
    """What the page never sends is a bad request, not an error of the server."""
    async with (
        viewer(write_run(tmp_path / "run", {"Sums": [[1.0]]})) as shown,
        shown.client.get(f"{shown.base}/api/samples?{query}") as reply,
    ):
        assert reply.status == 400


@pytest.mark.anyio
async def test_every_reply_keeps_the_page_to_itself(tmp_path: Path) -> None:
    """Pages, data and refusals carry the headers: nothing inline or from elsewhere, no frame, no guess, no trace."""
    async with viewer(write_run(tmp_path / "run", {"Sums": [[1.0]]})) as shown:
        policy = HEADERS["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        for method, path in (("GET", "/"), ("GET", "/api/state"), ("GET", "/none"), ("POST", "/")):
            async with shown.client.request(method, shown.base + path) as reply:
                assert {name: reply.headers[name] for name in HEADERS} == HEADERS
        async with shown.client.get(shown.base + "/") as reply:
            page = await reply.text()
        assert "style=" not in page
        assert "onclick" not in page
        async with shown.client.get(shown.base + "/viewer.js") as reply:
            script = await reply.text()
        for door in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "createContextualFragment",
        ):
            assert door not in script


@pytest.mark.anyio
async def test_lists_come_in_pages_and_find_a_sample(tmp_path: Path) -> None:
    """A page has as many as were asked for, in the order of the run; a linked sample brings its page."""
    run = write_run(tmp_path / "run", {"Sums": [[float(row % 2)] for row in range(250)]})
    async with viewer(run) as shown:
        state = (await shown.read())["runs"][0]
        assert (state["n"], state["status"]) == (250, {"right": 125, "wrong": 125})
        page = await shown.get("/api/samples", status="wrong", start=100, n=10)
        assert (page["n"], [item["row"] for item in page["items"]]) == (125, list(range(200, 220, 2)))
        linked = {"sample_file": "Sums.jsonl", "sample_row": 122}
        page = await shown.get("/api/samples", status="wrong", n=50, **linked)
        assert (page["start"], page["at"], page["items"][11]["row"]) == (50, 61, 122)
        page = await shown.get("/api/samples", status="right", n=50, **linked)
        assert (page["start"], page["at"]) == (0, None)
        page = await shown.get("/api/samples", pairs="only_a", n=50)  # a link of a page over two runs
        assert (page["n"], page["done"], page["pairing"]) == (250, True, False)


@pytest.mark.anyio
async def test_hostile_text_is_sent_as_text(tmp_path: Path) -> None:
    """Tags stay what they are, as strings of JSON; controls and overrides come as escapes, in names as in outputs."""
    run = write_run(tmp_path / "run", {"Sums": [[0.0]]})
    record = replace(
        a_record(0), data_source="Sums", output=HOSTILE * 3, prompt=HOSTILE, model=HOSTILE, ground_truth=HOSTILE
    )
    (run / "details" / "Sums.jsonl").write_bytes(encode_line(record))
    async with viewer(run) as shown:
        await shown.read()
        async with shown.client.get(
            shown.base + "/api/sample", params={"sample_file": "Sums.jsonl", "sample_row": 0}
        ) as reply:
            assert reply.content_type == "application/json"
            sample = json.loads(await reply.text())["sample"]
        escaped = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
        assert "".join(part["text"] for part in sample["parts"]) == escaped * 3
        assert sample["prompt"]["text"] == sample["ground_truth"]["text"] == sample["model"] == escaped
        copied = await shown.get("/api/record", sample_file="Sums.jsonl", sample_row=0)
        assert copied["output"] == HOSTILE * 3


@pytest.mark.anyio
async def test_odd_file_names_lead_to_their_samples(tmp_path: Path) -> None:
    """Names with markup, spaces or bytes that are no text can be asked for by what the list gives."""
    run = tmp_path / "run"
    (run / "details").mkdir(parents=True)
    names = [b"<b>&x.jsonl", b"a b%2e.jsonl", "ü:1:2.jsonl".encode(), b"no\xfftext.jsonl"]
    for name in names:
        (run / "details" / os.fsdecode(name)).write_bytes(encode_line(a_record(0)))
    async with viewer(run) as shown:
        await shown.read()
        page = await shown.get("/api/samples")
        assert len(page["items"]) == len(names)
        for item in page["items"]:
            assert item["ref"].isascii()
            found = await shown.get("/api/sample", sample_file=item["ref"], sample_row=0)
            assert found["sample"]["file"] == item["file"]
            assert (await shown.get("/api/samples", file=item["ref"]))["n"] == 1


@pytest.mark.anyio
async def test_long_texts_are_cut_until_they_are_asked_for(tmp_path: Path) -> None:
    """Of 2 MB the two ends come first, and all of it on demand; the answer block at the end is marked."""
    run = write_run(tmp_path / "run", {"Sudoku": [[0.0]]})
    output = "x" * 2_000_000 + "[answer]1[/answer]"
    record = replace(a_record(0), data_source="Sudoku", output=output)
    (run / "details" / "Sudoku.jsonl").write_bytes(encode_line(record))
    async with viewer(run) as shown:
        await shown.read()
        asked = {"sample_file": "Sudoku.jsonl", "sample_row": 0}
        first, answer = (await shown.get("/api/sample", **asked))["sample"]["parts"]
        assert (len(first["text"]) + len(first["rest"]), first["n"]) == (100_000, 2_000_000)
        assert (answer["answer"], answer["text"]) == (True, "[answer]1[/answer]")
        whole = (await shown.get("/api/sample", whole=1, **asked))["sample"]["parts"]
        assert "".join(part["text"] for part in whole) == output


@pytest.mark.anyio
async def test_a_run_that_goes_on_is_followed(tmp_path: Path) -> None:
    """What is appended while the page is open appears, and failures turn into answers."""
    run = write_run(tmp_path / "run", {"Sums": [[1.0]]}, planned={"Sums": 3})
    (run / "failures.jsonl").write_bytes(encode_line(replace(a_failure(1), file="Sums.jsonl")))
    async with viewer(run) as shown:
        state = (await shown.read())["runs"][0]
        assert (state["n_planned"], state["status"]) == (3, {"right": 1, "failed": 1})
        failed = await shown.get("/api/sample", sample_file="Sums.jsonl", sample_row=1)
        assert failed["sample"]["failure_message"] == "why"
        with (run / "details" / "Sums.jsonl").open("ab") as file:
            file.write(encode_line(replace(a_record(1), data_source="Sums")))
            file.write(encode_line(replace(a_record(2), data_source="Sums"))[:20])
        state = await shown.until("/api/state", lambda state: state["runs"][0]["status"] == {"right": 2})
        assert state["runs"][0]["error"] is None


@pytest.mark.anyio
async def test_a_damaged_run_is_told_and_what_could_be_read_is_shown(tmp_path: Path) -> None:
    """The line is named on the page, and the viewer lives on."""
    run = write_run(tmp_path / "run", {"Sums": [[1.0], [0.0]]})
    with (run / "details" / "Sums.jsonl").open("ab") as file:
        file.write(b"nonsense\n")
    async with viewer(run) as shown:
        state = await shown.until("/api/state", lambda state: state["runs"][0]["error"])
        assert "details/Sums.jsonl:3" in state["runs"][0]["error"]
        lines = (run / "details" / "Sums.jsonl").read_bytes().splitlines(keepends=True)
        (run / "details" / "Sums.jsonl").write_bytes(b"".join(lines[:2]))
        assert (await shown.read())["runs"][0]["n"] == 2


@pytest.mark.anyio
async def test_text_is_searched_among_what_fits(tmp_path: Path) -> None:
    """Samples that fit and contain the text are listed, and it is told when all were looked at."""
    run = write_run(tmp_path / "run", {"Sums": [[float(row % 2)] for row in range(30)]})
    async with viewer(run) as shown:
        await shown.read()
        found = await shown.until("/api/samples", lambda page: page["done"], q="WHAT IS 2", status="wrong")
        assert [item["row"] for item in found["items"]] == [2, 20, 22, 24, 26, 28]
        assert found["looked_at"] == found["of"] == 15


@pytest.mark.anyio
async def test_causes_are_found_when_they_are_asked_for(tmp_path: Path) -> None:
    """The filter by cause audits the run, with the same verifiers as `audit`, and the sample tells its cause then."""
    run = write_run(tmp_path / "run", {"Game24": [[0.0], [0.0]]})
    truth = {"puzzle": "1 2 4 8", "target": 24}
    right = "so it is [answer](8 - 2) * 4 * 1[/answer]"
    records = [
        replace(
            a_record(row), data_source="Game24", output=output, score=0.0, ground_truth=truth, extracted_output=None
        )
        for row, output in enumerate((right, "   "))
    ]
    (run / "details" / "Game24.jsonl").write_bytes(b"".join(map(encode_line, records)))
    async with viewer(run) as shown:
        await shown.read()
        found = await shown.until("/api/samples", lambda page: page["done"], cause="other_format")
        assert (places(found), found["audited"]) == ([("Game24.jsonl", 0, 0)], [2, 2])
        assert places(await shown.get("/api/samples", cause="empty")) == [("Game24.jsonl", 1, 0)]
        sample = await shown.get("/api/sample", sample_file="Game24.jsonl", sample_row=0)
        assert sample["sample"]["cause"] == "other_format"


@pytest.mark.anyio
async def test_two_runs_stand_side_by_side(tmp_path: Path) -> None:
    """Questions pair by their prompts, also with a run of run_eval.py; filters tell who was right."""
    a = write_run(tmp_path / "a", {"Sums": [[1.0], [0.0], [0.0]]})
    b = write_run_of_run_eval(tmp_path / "b", {"Sums": [[0.0], [1.0], [0.0]]})
    async with viewer(a, b) as shown:
        await shown.until("/api/state", lambda state: state["pairing"]["ready"])
        for kind, row in (("only_a", 0), ("only_b", 1)):
            assert places(await shown.get("/api/samples", pairs=kind)) == [("Sums.jsonl", row, 0)]
        page = await shown.get("/api/samples", pairs="both_wrong")
        assert places(page) == [("Sums.jsonl", 2, 0)]
        assert page["items"][0]["other"] == {"status": "wrong"}
        both = await shown.get("/api/sample", sample_file="Sums.jsonl", sample_row=1)
        assert (both["sample"]["status"], both["other"]["status"]) == ("wrong", "right")


@pytest.mark.anyio
async def test_runs_without_a_common_question_are_still_shown(tmp_path: Path) -> None:
    """The page says that nothing pairs, and shows the first run."""
    a, b = (write_run(tmp_path / name, {name: [[1.0]]}) for name in ("Sums", "Maze"))
    async with viewer(a, b) as shown:
        state = await shown.until("/api/state", lambda state: state["pairing"]["error"])
        assert "no question in common" in state["pairing"]["error"]
        assert (await shown.get("/api/samples"))["n"] == 1


@pytest.mark.anyio
async def test_a_taken_port_is_the_users_error(tmp_path: Path) -> None:
    """The message names the port and the way out."""
    run = write_run(tmp_path / "run", {"Sums": [[1.0]]})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"--port: cannot listen at 127\.0\.0\.1:{port}"):
            async with serve([RunDir(run)], Settings(), port=port):
                pass


def test_the_command_prints_where_it_is_and_ends_with_ctrl_c(start_bootcamp: StartBootcamp, tmp_path: Path) -> None:
    """The address is the result, the ssh line stands beside it, Ctrl-C ends it with 0, the run is as it was."""
    run = write_run(tmp_path / "run", {"Sums": [[1.0]]})
    before = sorted(path.relative_to(run) for path in run.rglob("*"))
    process = start_bootcamp("view", run)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    port = urlsplit(url).port
    assert url.startswith(f"http://127.0.0.1:{port}/?token=")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"ssh -L {port}:127.0.0.1:{port} " in stderr
    assert sorted(path.relative_to(run) for path in run.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "run", "run"], "3 run directories"),
        (["run", "--port", "70000"], "--port: must be from 0 to 65535"),
        (["none"], "no such run directory"),
    ],
)
def test_wrong_use_of_the_command_is_told(
    call_bootcamp: RunBootcamp, tmp_path: Path, words: list[str], message: str
) -> None:
    """One line says what is wrong, before any server starts."""
    write_run(tmp_path / "run", {"Sums": [[1.0]]})
    done: subprocess.CompletedProcess[str] = call_bootcamp("view", *words)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("env", "platform", "has_one"),
    [
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "w"}, "linux", True),
        ({}, "linux", False),
        ({"DISPLAY": "localhost:10", "SSH_CONNECTION": "x"}, "linux", False),
        ({}, "darwin", True),
        ({"SSH_TTY": "/dev/pts/1"}, "darwin", False),
    ],
)
def test_a_browser_opens_only_where_it_is_seen(env: dict[str, str], platform: str, *, has_one: bool) -> None:
    """In a desktop session, and not over SSH."""
    assert has_desktop(env, platform) is has_one
