"""Test data in a bucket: moto's S3 server on loopback, through s3fs as a user has it."""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from bootcamp_cli.dataset import remote
from tests.conftest import RunBootcamp, StartFaultServer

FILES = ("sudoku.jsonl", "binairo.jsonl", "aquarium.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket with a test dir below `sets/one/`, and what a process needs to read it."""

    client: Any
    env: Mapping[str, str]

    def put(self, key: str, content: bytes) -> None:
        """Put an object into the bucket."""
        self.client.put_object(Bucket="bucket", Key=key, Body=content)


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    """An S3 server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_url: str, demo_test_dir: Path) -> Bucket:
    """A new bucket."""
    env = {
        "AWS_ACCESS_KEY_ID": "key-of-the-bucket",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-bucket",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    client = boto3.client(
        "s3",
        endpoint_url=s3_url,
        region_name="us-east-1",
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket="bucket")
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="bucket"):
        for entry in page.get("Contents", ()):
            client.delete_object(Bucket="bucket", Key=entry["Key"])
    made = Bucket(client=client, env=env)
    for name in FILES:
        made.put(f"sets/one/{name}", (demo_test_dir / name).read_bytes())
    made.put("sets/one/", b"")  # as consoles mark a folder
    made.put("sets/one/README.md", b"about")
    made.put("sets/one/.hidden.jsonl", b"no row")
    made.put("sets/one/below/deep.jsonl", b"no row")
    made.put("sets/one-more/x.jsonl", b"no row")
    return made


def answers(run: Path) -> list[Any]:
    """What of the records does not depend on time."""
    texts = (path.read_text(encoding="utf-8") for path in sorted((run / "details").iterdir()))
    records = [json.loads(line) for text in texts for line in text.splitlines()]
    return [(record["id"], record["output"], record["score"]) for record in records]


def test_a_folder_of_a_bucket_is_a_test_dir(
    bucket: Bucket, run_bootcamp: RunBootcamp, fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path
) -> None:
    """A run of it has the records of one of local files; rows that are appended are owed, other rows are refused."""
    server = fault_server(test_dir=demo_test_dir)
    common = ("--url", server.url, "--model-name", "demo", "--quiet")
    done = run_bootcamp("eval", *common, "--test-dir", "s3://bucket/sets/one", env=bucket.env)
    assert done.returncode == 0, done.stderr
    [run] = (tmp_path / "output").iterdir()
    assert run.name.startswith("demo_one_")
    assert {path.name for path in (run / "details").iterdir()} == set(FILES)
    places = [word for name in FILES for word in ("--test-dir", demo_test_dir / name)]
    local = run_bootcamp("eval", *common, *places, "--output-dir", "local")
    assert local.returncode == 0, local.stderr
    [other] = (tmp_path / "local").iterdir()
    assert answers(run) == answers(other)

    rows = (demo_test_dir / FILES[0]).read_bytes()
    bucket.put(f"sets/one/{FILES[0]}", rows + rows.splitlines(keepends=True)[0])
    appended = run_bootcamp("resume", run, env=bucket.env)
    assert appended.returncode == 0, appended.stderr
    assert "fetching 1 test file" in appended.stderr  # the others are as they were
    assert "1 of 25 samples is owed" in appended.stderr
    bucket.put(f"sets/one/{FILES[0]}", rows[:-1].replace(b"Complete", b"Finish"))
    changed = run_bootcamp("resume", run, env=bucket.env)
    assert changed.returncode == 2
    assert f"{FILES[0]} changed since the run started" in changed.stderr
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"-of-the-bucket" not in path.read_bytes(), path


def test_one_object_and_one_excluded(bucket: Bucket, run_bootcamp: RunBootcamp) -> None:
    """A single object is a test file, packed or not; what is excluded by its name is not fetched."""
    words = ("eval", "--model-name", "demo", "--dry-run", "--json")
    one = run_bootcamp(*words, "--test-dir", f"s3://bucket/sets/one/{FILES[0]}", env=bucket.env)
    assert one.returncode == 0, one.stderr
    assert "fetching 1 test file" in one.stderr
    rest = run_bootcamp(
        *words, "--test-dir", "s3://bucket/sets/one/", "--exclude", FILES[0], "--exclude", "aq*", env=bucket.env
    )
    assert rest.returncode == 0, rest.stderr
    assert "fetching 1 test file" in rest.stderr
    assert "not test files, skipped: .hidden.jsonl, README.md, below" in rest.stderr
    assert "matches no test file" not in rest.stderr


@pytest.mark.parametrize(
    ("place", "env", "code", "words"),
    [
        ("s3://bucket/none/", {}, 2, "s3://bucket/none/: there is nothing"),
        ("s3://bucket/sets/one/none.jsonl", {}, 2, "none.jsonl: there is nothing"),
        ("s3://no-such-bucket/x/", {}, 2, "there is nothing (HTTP 404, NoSuchBucket)"),
        ("s3://bucket/sets/one/below/../", {}, 2, "there is nothing"),
        (
            "s3://bucket/",
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            2,
            "there are no credentials; set AWS_",
        ),
        ("s3://bucket/", {"AWS_PROFILE": "nobody"}, 2, "this profile is not known; set AWS_PROFILE"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(
    bucket: Bucket, run_bootcamp: RunBootcamp, place: str, env: dict[str, str], code: int, words: str
) -> None:
    """A wrong name, no credentials, an unknown profile: exit 2 and what to do."""
    told = run_bootcamp("eval", "--model-name", "demo", "--test-dir", place, env={**bucket.env, **env})
    assert told.returncode == code, told.stderr
    assert words in told.stderr.splitlines()[-1]
    assert "-of-the-bucket" not in told.stderr


def test_a_public_bucket_needs_no_credentials(bucket: Bucket, run_bootcamp: RunBootcamp) -> None:
    """Fsspec's own variables reach it, as the message about missing credentials says."""
    for name in FILES:
        bucket.client.put_object_acl(Bucket="bucket", Key=f"sets/one/{name}", ACL="public-read")
    env = {**bucket.env, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "FSSPEC_S3": '{"anon": true}'}
    told = run_bootcamp("eval", "--model-name", "demo", "--test-dir", "s3://bucket/sets/one/", "--dry-run", env=env)
    assert told.returncode == 0, told.stderr


def test_keys_are_taken_as_they_are(bucket: Bucket, run_bootcamp: RunBootcamp, demo_test_dir: Path) -> None:
    """Names with spaces, percent signs and other scripts are no patterns and are not decoded."""
    folder, name = "a b/%20 [1]*", "ü x.jsonl.gz"
    bucket.put(f"{folder}/{name}", gzip.compress((demo_test_dir / FILES[0]).read_bytes()))
    for place in (f"s3://bucket/{folder}/{name}", f"s3://bucket/{folder}/"):
        told = run_bootcamp("eval", "--model-name", "demo", "--dry-run", "--test-dir", place, env=bucket.env)
        assert told.returncode == 0, told.stderr


def test_a_presigned_url_is_a_test_file(bucket: Bucket, run_bootcamp: RunBootcamp, tmp_path: Path) -> None:
    """The URL works as it was signed, though HEAD is not what it was signed for; the signature stays out of files."""
    key = {"Bucket": "bucket", "Key": f"sets/one/{FILES[0]}"}
    url = bucket.client.generate_presigned_url("get_object", Params=key)
    told = run_bootcamp("eval", "--model-name", "demo", "--test-dir", url, "--dry-run")
    assert told.returncode == 0, told.stderr
    signature = url.partition("Signature=")[2].partition("&")[0]
    assert signature
    assert signature not in told.stderr + told.stdout
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and signature.encode() in p.read_bytes()]


def test_a_server_that_is_gone_is_exit_4(
    bucket: Bucket, call_bootcamp: RunBootcamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens: after a few attempts the command says so."""
    monkeypatch.setattr(remote, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(remote, "_LONGEST_WAIT_S", 0.01)
    env = {**bucket.env, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    told = call_bootcamp("eval", "--model-name", "demo", "--test-dir", "s3://bucket/", env=env)
    assert told.returncode == 4, told.stderr
    assert "check the network, a proxy and AWS_ENDPOINT_URL" in told.stderr
