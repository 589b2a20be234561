"""Copies of remote test files: which are taken, which are kept, and which are removed."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from bootcamp_cli.dataset.cache import MAX_UNUSED_S, DataCache

VERSION = {"size": 5, "ETag": '"1"'}


def kept(cache: DataCache, url: str, content: bytes) -> Path:
    """A copy of what was fetched from a URL."""
    with cache.incoming() as incoming:
        incoming.add(content)
        return cache.keep(incoming, url, "x.jsonl", VERSION)


def kept_by_another(root: Path, url: str, content: bytes, *, used: float = 0) -> Path:
    """A copy that a process made which is gone since."""
    code = "import sys; from pathlib import Path; from tests.test_dataset_cache import DataCache, kept; "
    code += "print(kept(DataCache(Path(sys.argv[1])), sys.argv[2], sys.argv[3].encode()))"
    words = [sys.executable, "-c", code, str(root), url, content.decode()]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    path = Path(done.stdout.strip())
    os.utime(path.parent, (used, used))
    return path


def test_a_copy_is_found_by_url_name_and_version(tmp_path: Path) -> None:
    """Nothing else is taken for it, nor is a damaged index."""
    cache = DataCache(tmp_path / "cache")
    copy = kept(cache, "https://host/x.jsonl", b"rows\n")
    found = cache.find("https://host/x.jsonl", "x.jsonl", VERSION)
    assert found is not None
    assert found == copy
    assert cache.find("https://host/x.jsonl?2", "x.jsonl", VERSION) is None
    assert cache.find("https://host/x.jsonl", "x.jsonl", VERSION | {"ETag": '"2"'}) is None
    for text in ("", "[]", "{}", json.dumps({"digest": "../..", "version": VERSION}), json.dumps({"digest": 1})):
        [entry] = (tmp_path / "cache" / "urls").iterdir()
        entry.write_text(text, encoding="utf-8")
        assert cache.find("https://host/x.jsonl", "x.jsonl", VERSION) is None


def test_what_others_may_not_read_stays_private(tmp_path: Path) -> None:
    """Neither a copy nor its place can be read by other users, whatever the umask is."""
    path = kept(DataCache(tmp_path / "cache"), "u", b"rows\n")
    assert path.stat().st_mode & 0o77 == 0
    assert (tmp_path / "cache").stat().st_mode & 0o77 == 0


def test_what_a_process_reads_stays_as_it_is(tmp_path: Path) -> None:
    """A new version of a file is another copy, and the old one is there until the process ends."""
    cache = DataCache(tmp_path)
    first, second = kept(cache, "u", b"old\n"), kept(cache, "u", b"new\n")
    cache.prune(max_bytes=0)
    assert (first.read_bytes(), second.read_bytes()) == (b"old\n", b"new\n")


def test_only_what_nobody_reads_is_removed_the_longest_unused_first(tmp_path: Path) -> None:
    """Copies beyond the limit and those that are old go, with their index entries; one that is read never does."""
    cache = DataCache(tmp_path)
    read = kept(cache, "u0", b"A" * 100)
    os.utime(read.parent, (1000, 1000))
    others = [kept_by_another(tmp_path, f"u{n}", bytes([65 + n]) * 100, used=1000 + n) for n in range(1, 4)]
    assert len([*(tmp_path / "readers").iterdir()]) == 4
    cache.prune(now=1010, max_bytes=250)
    assert [path.exists() for path in (read, *others)] == [True, False, False, True]
    assert len([*(tmp_path / "urls").iterdir()]) == 2
    assert len([*(tmp_path / "readers").iterdir()]) == 1
    cache.prune(now=1010 + MAX_UNUSED_S)
    assert [path.exists() for path in (read, *others)] == [True, False, False, False]


def test_many_copies_take_one_descriptor(tmp_path: Path) -> None:
    """A run may have more test files than a process may open."""
    cache = DataCache(tmp_path)
    kept(cache, "u", b"rows\n")
    n_open = len([*Path("/dev/fd").iterdir()])
    for n in range(20):
        kept(cache, f"u{n}", b"%d\n" % n)
        assert cache.find(f"u{n}", "x.jsonl", VERSION)
    assert len([*Path("/dev/fd").iterdir()]) == n_open


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path: Path) -> None:
    """A temporary file stays while it may be written to, and goes afterwards."""
    cache = DataCache(tmp_path)
    kept(cache, "u", b"rows\n")
    left = tmp_path / ".tmp-left"
    left.write_bytes(b"part")
    at = left.stat().st_mtime
    cache.prune(now=at + 3600)
    assert left.exists()
    cache.prune(now=at + 2 * 24 * 3600)
    assert not left.exists()


def test_a_block_that_raises_leaves_nothing(tmp_path: Path) -> None:
    """What came in goes with the block, unless it was kept."""
    cache = DataCache(tmp_path)
    with suppress(RuntimeError), cache.incoming() as incoming:
        incoming.add(b"part")
        raise RuntimeError
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
