"""Test data by URL over HTTP: what is fetched, what is kept of it, and what a server may do meanwhile."""

import gzip
import json
import logging
import signal
import threading
import time
import traceback
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bootcamp_cli.dataset.scan import scan_test_dir
from bootcamp_cli.errors import BootcampError, DatasetError, DataUnavailableError, DiskError, SettingsError, UsageError
from bootcamp_cli.settings.convert import secrets_of
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.settings.stored import to_eval_args
from bootcamp_cli.text import DataUrl
from tests.conftest import RunBootcamp, StartBootcamp, StartFaultServer
from tests.data_server import DataServer, data_server

pytest.importorskip("fsspec")

from bootcamp_cli.dataset import remote  # the import above decides

ROWS = b"".join(
    json.dumps({"data_source": "Sudoku", "prompt": f"question {n}", "ground_truth": n}).encode() + b"\n"
    for n in range(50)
)
QUERY = "X-Amz-Signature=5ad6c5295f9e9a40fc65dbf5&X-Amz-Expires=60&note=marked-in-the-query"
MARKED = ("5ad6c5295f9e9a40fc65dbf5", "marked-in-the-query")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks, and short waits between attempts."""
    monkeypatch.setattr(remote, "_BLOCK_BYTES", 1000)
    monkeypatch.setattr(remote, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(remote, "_LONGEST_WAIT_S", 0.002)


@pytest.fixture
def server() -> Iterator[DataServer]:
    """A server of one test file."""
    with data_server(files={"/set/x.jsonl": ROWS}, etags={"/set/x.jsonl": '"1"'}) as served:
        yield served


def fetched(url: str, cache: Path, **options: Any) -> bytes:
    """What a run would read of the test file at a URL."""
    [file] = remote.Fetching(cache, **options).fetch(DataUrl(url)).files
    assert file.path is not None
    return file.path.read_bytes()


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"ranges": False},
        {"has_head": False},
        {"has_length": False},
        {"has_length": False, "has_head": False, "ranges": False, "etags": {}},
        {"encoding": "gzip"},  # called so, but sent as it is
    ],
    ids=str,
)
def test_a_file_comes_as_it_is(server: DataServer, tmp_path: Path, how: dict[str, Any]) -> None:
    """Whatever a server tells, or keeps to itself, of ranges, lengths and versions: the bytes are the file's."""
    for name, value in how.items():
        setattr(server, name, value)
    assert fetched(f"{server.url}/set/x.jsonl", tmp_path) == ROWS
    assert not [*tmp_path.glob(".tmp-*")]


def test_a_packed_file_is_checked_as_a_local_one(server: DataServer, tmp_path: Path) -> None:
    """A `.jsonl.gz` stays packed on its way and in the cache; its rows, name and digest are those of its contents."""
    server.files["/a%20b/x.jsonl.gz"] = gzip.compress(ROWS)
    server.files["/x.jsonl"] = ROWS
    fetching = remote.Fetching(tmp_path)
    [packed] = scan_test_dir(fetching.fetch(DataUrl(f"{server.url}/a%20b/x.jsonl.gz"))).files
    [plain] = scan_test_dir(fetching.fetch(DataUrl(f"{server.url}/x.jsonl"))).files
    assert (packed.name, packed.digest, packed.n_rows) == (plain.name, plain.digest, 50)


def test_a_copy_is_taken_while_the_server_has_that_version(server: DataServer, tmp_path: Path) -> None:
    """A file is fetched once, again when its ETag changes, and each time where nothing tells a version."""
    url = f"{server.url}/set/x.jsonl"
    fetched(url, tmp_path)
    n = len(server.bodies)
    assert fetched(url, tmp_path) == ROWS
    assert len(server.bodies) == n
    server.files["/set/x.jsonl"] = ROWS.replace(b"question", b"problem.")
    server.etags["/set/x.jsonl"] = '"2"'
    assert b"problem" in fetched(url, tmp_path)
    assert len(server.bodies) == 2 * n
    server.etags.clear()
    fetched(url, tmp_path)
    fetched(url, tmp_path)
    assert len(server.bodies) == 4 * n


def test_a_damaged_copy_is_not_taken(server: DataServer, tmp_path: Path) -> None:
    """A copy whose bytes are not those of its digest is fetched again."""
    url = DataUrl(f"{server.url}/set/x.jsonl")
    [file] = remote.Fetching(tmp_path).fetch(url).files
    assert file.path is not None
    file.path.write_bytes(ROWS[:-5])
    assert fetched(url.reveal(), tmp_path) == ROWS


@pytest.mark.parametrize("ranges", [True, False])
def test_what_breaks_is_fetched_again(server: DataServer, tmp_path: Path, *, ranges: bool) -> None:
    """Connections that break and passing errors cost further requests and nothing else; the user is told."""
    server.ranges, server.n_torn, server.statuses = ranges, 5, [503]
    told: list[str] = []
    assert fetched(f"{server.url}/set/x.jsonl", tmp_path, notify=told.append) == ROWS
    again = [text for text in told if "trying again" in text]
    assert len(again) >= 2  # HEAD got the 503, and the GET in its place was none of a body
    assert all(text.startswith(f"{server.url}/set/x.jsonl: ") for text in again)


def test_blocks_that_came_are_not_fetched_again(server: DataServer, tmp_path: Path) -> None:
    """Where ranges can be asked for, a broken connection costs one block and not the file."""
    server.n_torn = 2
    fetched(f"{server.url}/set/x.jsonl", tmp_path)
    ranges = [headers["Range"] for method, _, headers in server.requests if method == "GET"]
    assert len(ranges) == len(set(ranges)) + 2


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"files": {}}, DatasetError, ("there is nothing (HTTP 404)", "spelling")),
        ({"query": "other"}, DatasetError, ("access is refused (HTTP 403)", "expired")),
        ({"statuses": [503] * 50}, DataUnavailableError, ("HTTP 503", "run the command again")),
        ({"statuses": [418] * 50}, DatasetError, ("HTTP 418",)),
        ({"n_torn": 50}, DataUnavailableError, ("after several attempts",)),
    ],
    ids=str,
)
def test_what_a_server_refuses_is_told_without_secrets(
    server: DataServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    how: dict[str, Any],
    error: type[BootcampError],
    words: tuple[str, ...],
) -> None:
    """Each failure is one error of its kind; neither its text, its traceback nor the log shows the query."""
    for name, value in how.items():
        setattr(server, name, value)
    with caplog.at_level(logging.INFO), pytest.raises(error) as raised:
        fetched(f"{server.url}/set/x.jsonl?{QUERY}", tmp_path)
    assert all(word in str(raised.value) for word in (f"{server.url}/set/x.jsonl?***", *words))
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert not [word for word in MARKED if word in shown]
    assert not [*tmp_path.rglob("x.jsonl")]


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """Where nobody listens, and where no such host exists, the error has exit code 4 and the system's reason."""
    with data_server() as gone:
        pass
    with pytest.raises(DataUnavailableError, match=r"refused|Connect") as raised:
        fetched(f"{gone.url}/x.jsonl", tmp_path)
    assert raised.value.exit_code == 4
    with pytest.raises(DataUnavailableError):
        fetched("http://nowhere.invalid/x.jsonl", tmp_path)


def test_user_and_password_are_sent_and_not_shown(server: DataServer, tmp_path: Path) -> None:
    """Credentials in front of the host go to that server as Basic authorization, and into nothing that is shown."""
    server.userinfo = "me:pass/word-7"
    url = f"{server.url.replace('://', '://me:pass%2Fword-7@')}/set/x.jsonl"
    fetched_ = remote.Fetching(tmp_path).fetch(DataUrl(url))
    assert fetched_.shown == f"{server.url.replace('://', '://***@')}/set/x.jsonl"
    server.userinfo = "me:other"
    with pytest.raises(DatasetError, match=r"access is refused") as raised:
        remote.Fetching(tmp_path / "2").fetch(DataUrl(url))
    assert "word-7" not in "".join(traceback.format_exception(raised.value))


def test_a_redirect_is_followed_without_credentials(server: DataServer, tmp_path: Path) -> None:
    """A file may be on another host, which does not get what belongs to the first."""
    with data_server(userinfo="me:secret-of-the-first") as first:
        first.redirects["/x.jsonl"] = f"{server.url}/set/x.jsonl"
        first.userinfo = ""
        url = f"{first.url.replace('://', '://me:secret-of-the-first@')}/x.jsonl"
        assert fetched(url, tmp_path) == ROWS
        assert all("Authorization" in headers for _, _, headers in first.requests)
    assert server.requests
    assert not any("Authorization" in headers for _, _, headers in server.requests)


@pytest.mark.parametrize("change", ["etag", "size"])
def test_a_file_that_changes_meanwhile_is_refused(server: DataServer, tmp_path: Path, change: str) -> None:
    """A copy is of one version: where the server's changed while it was fetched, there is none."""
    n_before: list[int] = []

    def replace_file() -> None:
        n_before.append(0)
        if len(n_before) == 2:
            server.etags["/set/x.jsonl"] = '"2"' if change == "etag" else '"1"'
            server.files["/set/x.jsonl"] = ROWS if change == "etag" else ROWS + ROWS[:100]

    server.after_body = replace_file
    with pytest.raises(DatasetError, match=r"x\.jsonl changed while it was fetched; run the command again"):
        fetched(f"{server.url}/set/x.jsonl", tmp_path)
    assert not [*tmp_path.rglob("x.jsonl")]


def test_an_excluded_file_is_not_asked_for(server: DataServer, tmp_path: Path) -> None:
    """What `exclude` names is neither fetched nor read, as a local file is not."""
    result = remote.Fetching(tmp_path, exclude=("x",)).fetch(DataUrl(f"{server.url}/set/x.jsonl"))
    assert not server.bodies
    with pytest.raises(DatasetError, match=r"no row of test file http.*x\.jsonl is selected with --exclude 'x'"):
        scan_test_dir(result, exclude=("x",))


def test_two_files_of_one_name_are_told_by_their_places(server: DataServer, tmp_path: Path) -> None:
    """A local and a remote file of the same name are refused, named by path and masked URL."""
    (tmp_path / "x.jsonl").write_bytes(ROWS)
    result = remote.Fetching(tmp_path / "cache").fetch(DataUrl(f"{server.url}/set/x.jsonl?{QUERY}"))
    with pytest.raises(DatasetError) as raised:
        scan_test_dir(tmp_path / "x.jsonl", result)
    assert f"{tmp_path}/x.jsonl and {server.url}/set/x.jsonl?***" in str(raised.value)


def test_a_fetch_ends_at_once_when_it_is_to(server: DataServer, tmp_path: Path) -> None:
    """A server that sends nothing any more does not keep a cancelled command from ending."""
    server.stalls = threading.Event()

    def check() -> None:
        if server.bodies:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fetched(f"{server.url}/set/x.jsonl", tmp_path, check=check)


def test_a_full_disk_is_told_before_and_while_it_fills(
    server: DataServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for the copy is exit 1, with the place that can be moved; nothing is left behind."""
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
        with pytest.raises(DiskError, match=r"have no room in .*XDG_CACHE_HOME"):
            fetched(f"{server.url}/set/x.jsonl", tmp_path)
    assert not server.bodies
    with pytest.raises(DiskError, match=r"cannot keep test data in /dev/full.*XDG_CACHE_HOME") as raised:
        fetched(f"{server.url}/set/x.jsonl", Path("/dev/full"))
    assert raised.value.exit_code == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://host.example/sets/", "folder cannot be listed over https"),
        ("https://host.example/get?id=4", "whose name ends in .jsonl"),
        ("https://host.example/a%2Fb.jsonl", "usable file name"),
        ("https:///x.jsonl", "usable host"),
        ("https://host.example:0/x.jsonl", "usable host"),
        ("https://host.example/x y.jsonl", "no spaces"),
        ("https://host.example/x.jsonl#part", "fragment"),
        ("s3://KEY:SECRET@bucket/x.jsonl", "without key, secret"),
        ("s3://bucket/x.jsonl?versionId=1", "without query"),
        ("s3:///x.jsonl", "bucket"),
        ("ftp://host.example/x.jsonl", "begins with s3, http, https"),
        ("file:///x.jsonl", "begins with s3, http, https"),
    ],
)
def test_what_cannot_be_test_data_is_refused_in_one_line(text: str, words: str) -> None:
    """A URL of which no test file can come is a wrong value, told without its secrets."""
    with pytest.raises(SettingsError) as raised:
        Settings(test_dir=text)  # type: ignore[arg-type] # text is converted
    assert words in str(raised.value)
    assert "SECRET" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_run_directory_stays_on_this_machine() -> None:
    """A URL is no place for what a run writes, nor is one that was made a Path of."""
    with pytest.raises(
        SettingsError, match=r"output_dir: must be a path on this machine, got the URL s3://bucket/runs"
    ):
        Settings(output_dir="s3://bucket/runs")  # type: ignore[arg-type] # text is converted
    with pytest.raises(SettingsError, match=r"be given as text where it is a URL"):
        Settings(test_dir=Path("s3://bucket/runs"))


def test_the_demo_takes_paths(call_bootcamp: RunBootcamp) -> None:
    """Its server answers test files of this machine; a URL is refused without its query."""
    told = call_bootcamp("demo", "--test-dir", f"https://host.example/x.jsonl?{QUERY}")
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert "must be a path on this machine, got the URL https://host.example/x.jsonl\n" in told.stderr


def test_settings_show_a_url_without_its_secrets() -> None:
    """What is stored, shown or kept out of messages: the query as a whole, credentials, and every long value of it."""
    settings = Settings(test_dir=(f"https://me:secret-9@host.example/x.jsonl?{QUERY}", "tests"))  # type: ignore[arg-type]
    assert to_eval_args(settings)["test_dir"] == ["https://***@host.example/x.jsonl?***", str(Path("tests").absolute())]
    assert not [word for word in (*MARKED, "secret-9") if word in repr(settings)]
    assert {*MARKED, "secret-9", QUERY} <= {*secrets_of(settings)}


def test_without_the_extra_one_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package that is missing is exit 2 with the command that installs it."""
    monkeypatch.setattr(remote, "find_spec", lambda name: None if name == "s3fs" else True)
    with pytest.raises(
        UsageError, match=r"s3://bucket/x: the package s3fs is not installed; pip install 'bootcamp-cli"
    ):
        remote.Fetching(tmp_path).fetch(DataUrl("s3://bucket/x"))


# the commands


def test_a_run_by_url_is_the_local_run(
    server: DataServer,
    call_bootcamp: RunBootcamp,
    fault_server: StartFaultServer,
    demo_test_dir: Path,
    tmp_path: Path,
) -> None:
    """The records are those of local files, no file of run or cache has the query, and resume asks for it again."""
    test_file = demo_test_dir / "sudoku.jsonl"
    server.files, server.etags, server.query = {"/s/sudoku.jsonl": test_file.read_bytes()}, {}, QUERY
    answering = fault_server(test_dir=demo_test_dir)
    common = ("--url", answering.url, "--model-name", "demo", "--quiet")
    url = f"{server.url}/s/sudoku.jsonl?{QUERY}"
    done = call_bootcamp("eval", *common, "--test-dir", url)
    assert done.returncode == 0, done.stderr
    [run] = (tmp_path / "output").iterdir()
    assert run.name.startswith("demo_sudoku_")
    local = call_bootcamp("eval", *common, "--test-dir", test_file, "--output-dir", "local")
    assert local.returncode == 0, local.stderr
    [other] = (tmp_path / "local").iterdir()
    assert answers(run) == answers(other)
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert not [word for word in MARKED if word.encode() in path.read_bytes()], path
    assert not [word for word in MARKED if word in done.stderr + done.stdout]

    refused = call_bootcamp("resume", run)
    assert refused.returncode == 2
    assert f"only masks are stored for test_dir (the credentials or the query of {server.url}/s/" in refused.stderr
    for place in (url, str(test_file)):
        again = call_bootcamp("resume", run, "--test-dir", place)
        assert again.returncode == 0, again.stderr
        assert "nothing is owed" in again.stderr
    by_variable = call_bootcamp("resume", run, env={"BOOTCAMP_TEST_DIR": url})
    assert by_variable.returncode == 0, by_variable.stderr
    server.files["/s/sudoku.jsonl"] = test_file.read_bytes()[:-1].replace(b"Complete", b"Finish")
    changed = call_bootcamp("resume", run, "--test-dir", url)
    assert changed.returncode == 2
    assert "sudoku.jsonl changed since the run started" in changed.stderr


def answers(run: Path) -> list[tuple[Any, ...]]:
    """What of the records does not depend on time."""
    lines = (line for path in (run / "details").iterdir() for line in path.read_text(encoding="utf-8").splitlines())
    records = map(json.loads, lines)
    return [(record["id"], record["output"], record["score"]) for record in records]


@pytest.mark.parametrize("way", ["bearer", "netrc"])
def test_credentials_of_the_environment_stay_with_their_host(
    server: DataServer, run_bootcamp: RunBootcamp, tmp_path: Path, way: str
) -> None:
    """Fsspec's variable and ~/.netrc count for the host of the URL, and not for that where it leads."""
    with data_server() as first:
        first.redirects["/x.jsonl"] = f"{server.url.replace('127.0.0.1', 'localhost')}/set/x.jsonl"
        env = {"FSSPEC_HTTPS": '{"headers": {"Authorization": "Bearer token-7"}}'} if way == "bearer" else {}
        if way == "netrc":
            (tmp_path / ".home" / ".netrc").write_text(
                "machine 127.0.0.1 login me password token-7\n", encoding="utf-8"
            )
            (tmp_path / ".home" / ".netrc").chmod(0o600)
        words = ("eval", "--model-name", "demo", "--dry-run", "--test-dir", f"{first.url}/x.jsonl")
        done = run_bootcamp(*words, env=env)
        assert done.returncode == 0, done.stderr
        expected = "Bearer token-7" if way == "bearer" else f"Basic {b64encode(b'me:token-7').decode()}"
        assert {headers.get("Authorization") for _, _, headers in first.requests} == {expected}
    assert server.requests
    assert not any("Authorization" in headers for _, _, headers in server.requests)


def test_a_certificate_has_to_be_trusted(certificate: Path, run_bootcamp: RunBootcamp, server: DataServer) -> None:
    """An unknown authority is exit 4, one that SSL_CERT_FILE names is trusted, and TLS is not left by a redirect."""
    with data_server(certificate, files={"/x.jsonl": ROWS}) as served:
        served.redirects["/plain.jsonl"] = f"{server.url}/set/x.jsonl"
        words = ("eval", "--model-name", "demo", "--dry-run", "--test-dir")
        unknown = run_bootcamp(*words, f"{served.url}/x.jsonl")
        assert unknown.returncode == 4
        assert "certificate is not trusted; name your authorities by SSL_CERT_FILE" in unknown.stderr
        env = {"SSL_CERT_FILE": str(certificate)}
        known = run_bootcamp(*words, f"{served.url}/x.jsonl", env=env)
        assert known.returncode == 0, known.stderr
        plain = run_bootcamp(*words, f"{served.url}/plain.jsonl", env=env)
        assert plain.returncode == 2
        assert "the server redirects to http, which nobody protects" in plain.stderr


def test_a_url_is_sent_as_it_was_written(server: DataServer, tmp_path: Path) -> None:
    """A signature is of the path and query as they stand there; only what is not ASCII is encoded."""
    server.files = {"/a%2Bb+c/%C3%BC.jsonl": ROWS}
    fetched(f"{server.url}/a%2Bb+c/ü.jsonl?sig=a%2Fb%3D&x=1+2", tmp_path)
    assert {path for _, path, _ in server.requests} == {"/a%2Bb+c/%C3%BC.jsonl?sig=a%2Fb%3D&x=1+2"}


def test_a_proxy_of_the_environment_is_used(server: DataServer, run_bootcamp: RunBootcamp) -> None:
    """Requests for data go through the proxy that the usual variable names."""
    server.files = {"http://data.invalid/x.jsonl": ROWS}
    words = ("eval", "--model-name", "demo", "--dry-run", "--test-dir", "http://data.invalid/x.jsonl")
    done = run_bootcamp(*words, env={"http_proxy": server.url})
    assert done.returncode == 0, done.stderr


def test_ctrl_c_ends_a_fetch(server: DataServer, start_bootcamp: StartBootcamp, tmp_path: Path) -> None:
    """SIGINT while a server sends nothing: the command ends with 130, and leaves no run directory and no part."""
    server.stalls = threading.Event()
    process = start_bootcamp("eval", "--model-name", "demo", "--test-dir", f"{server.url}/set/x.jsonl")
    while not server.bodies and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err.splitlines()[-1]) == (130, "bootcamp: interrupted")
    assert not (tmp_path / "output").exists()
