"""Copies of remote test files: which are taken, which are kept, and which are removed."""

import json
import os
from contextlib import suppress
from pathlib import Path

from bootcamp_cli.dataset.cache import MAX_UNUSED_S, CachedFile, DataCache

VERSION = {"size": 5, "ETag": '"1"'}


def kept(cache: DataCache, url: str, content: bytes, name: str = "x.jsonl") -> CachedFile:
    """A copy of what was fetched from a URL."""
    with cache.incoming() as incoming:
        incoming.add(content)
        return cache.keep(incoming, url, name, VERSION)


def test_a_copy_is_found_by_url_name_and_version(tmp_path: Path) -> None:
    """Nothing else is taken for it, nor is a damaged index."""
    cache = DataCache(tmp_path / "cache")
    copy = kept(cache, "https://host/x.jsonl", b"rows\n")
    found = cache.find("https://host/x.jsonl", "x.jsonl", VERSION)
    assert found is not None
    assert found.path == copy.path
    assert cache.find("https://host/x.jsonl?2", "x.jsonl", VERSION) is None
    assert cache.find("https://host/x.jsonl", "x.jsonl", VERSION | {"ETag": '"2"'}) is None
    for text in ("", "[]", "{}", json.dumps({"digest": "../..", "version": VERSION}), json.dumps({"digest": 1})):
        [entry] = (tmp_path / "cache" / "urls").iterdir()
        entry.write_text(text, encoding="utf-8")
        assert cache.find("https://host/x.jsonl", "x.jsonl", VERSION) is None


def test_what_others_may_not_read_stays_private(tmp_path: Path) -> None:
    """Neither a copy nor its place can be read by other users, whatever the umask is."""
    path = kept(DataCache(tmp_path / "cache"), "u", b"rows\n").path
    assert path.stat().st_mode & 0o77 == 0
    assert (tmp_path / "cache").stat().st_mode & 0o77 == 0


def test_runs_that_share_a_copy_do_not_change_it_for_each_other(tmp_path: Path) -> None:
    """A new version of a file is another copy, and the old one stays as it is while it is held."""
    cache = DataCache(tmp_path)
    first = kept(cache, "u", b"old\n")
    second = kept(cache, "u", b"new\n")
    cache.prune(max_bytes=0)
    assert (first.path.read_bytes(), second.path.read_bytes()) == (b"old\n", b"new\n")


def test_only_what_nobody_holds_is_removed_the_longest_unused_first(tmp_path: Path) -> None:
    """Copies beyond the limit and those that are old go, with their index entries; one that is held never does."""
    cache = DataCache(tmp_path)
    copies = [kept(cache, f"u{n}", bytes([65 + n]) * 100) for n in range(4)]
    for n, copy in enumerate(copies):
        os.utime(copy.path.parent / ".lock", (1000 + n, 1000 + n))
        if n:
            copy.hold.release()
    cache.prune(now=1010, max_bytes=250)
    assert [copy.path.exists() for copy in copies] == [True, False, False, True]
    assert len([*(tmp_path / "urls").iterdir()]) == 2
    cache.prune(now=1010 + MAX_UNUSED_S)
    assert [copy.path.exists() for copy in copies] == [True, False, False, False]
    del copy, copies[0]
    cache.prune(now=1010 + MAX_UNUSED_S)
    assert not [*(tmp_path / "files").iterdir()]


def test_a_hold_ends_with_what_has_it(tmp_path: Path) -> None:
    """Where the object goes away, the copy may be removed: nobody has to let go."""
    cache = DataCache(tmp_path)
    copy = kept(cache, "u", b"rows\n")
    path = copy.path
    cache.prune(max_bytes=0)
    assert path.exists()
    del copy
    cache.prune(max_bytes=0)
    assert not path.exists()


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
