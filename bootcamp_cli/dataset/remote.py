"""Remote test data: the files at a URL, listed, fetched and kept on this machine, through fsspec.

Everything is fetched before the rows are checked, and a run reads the copy. It reads its files several times: to check
them, to send what is owed, to see at a resume what was appended; it may do so for days, longer than a presigned URL is
valid, and a file that is replaced meanwhile must not change a run. A million rows are a minute of downloading and a few
GB of disk, and streaming them would still have to read all of them once before the first request.

What a server says of a file's version (ETag and size, or time and size) is asked before and after: a copy is of one
version or is refused. Large files come in pieces, each fetched again when the connection breaks. Exceptions of the
libraries, which name URLs with all that is in them, go no further than this module.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import stamina

from bootcamp_cli.dataset.cache import DataCache, Incoming, Version
from bootcamp_cli.dataset.files import Fetched, FoundFile, is_test_file_name, matches_name, no_test_file
from bootcamp_cli.errors import BootcampError, DatasetError, DataUnavailableError, UsageError
from bootcamp_cli.text import DataUrl, counted, shortened, visible

_T = TypeVar("_T")

_ASCII = "".join(map(chr, range(0x21, 0x7F)))
"""What stays as it is in a URL: a signature is of what was written."""

_CONNECT_S = 20.0
_READ_S = 60.0
"""How long a connection may take, and how long nothing may come over it."""

_ATTEMPTS = 6
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 10.0

_BLOCK_BYTES = 8 * 2**20
_N_AT_ONCE = 4
_POLL_S = 0.2
_NOTE_EVERY_S = 30.0

_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})

_OF_CONNECTION = frozenset({"ClientConnectionError", "ClientPayloadError", "HTTPClientError", "ConnectionError"})
"""What aiohttp and botocore call what another attempt may mend; either may not be installed."""

_NEEDS = {"s3": ("fsspec", "s3fs"), "http": ("fsspec", "aiohttp"), "https": ("fsspec", "aiohttp")}


@dataclass(frozen=True, slots=True, kw_only=True)
class _RemoteFile:
    """A file as the server lists it: `place` is what fsspec calls it, `size` None where the server does not tell."""

    name: str
    place: str
    url: str
    shown: str
    size: int | None
    version: Version

    @property
    def is_known(self) -> bool:
        """Whether the server tells one version from another."""
        return len(self.version) > 1


class Fetching:
    """Fetches test data into a cache.

    Files that `exclude` names are not fetched. `check` is called several times a second by the thread that fetches, and
    ends it by raising; `notify` is told what takes long.
    """

    def __init__(
        self,
        cache: Path,
        *,
        exclude: Sequence[str] = (),
        notify: Callable[[str], None] = lambda _: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._cache = DataCache(cache)
        self._exclude = exclude
        self._notify = notify
        self._check = check

    def fetch(self, url: DataUrl) -> Fetched:
        """The test file at a URL, or those of a folder.

        Raises:
            DatasetError: there is none, access is refused, or it changed while it was read.
            DataUnavailableError: the server cannot be reached, or fails after several attempts.
            DiskError: there is no room for the copies.
            UsageError: the extra `remote` is not installed.
        """
        require_remote(url)
        store = self._apart(lambda: _Store(url))
        files, skipped = self._apart(store.list_files)
        wanted = [file for file in files if not matches_name(file.name, self._exclude)]
        cached = self._fetch_all(store, wanted)
        self._cache.prune()
        found = tuple(FoundFile(name=f.name, path=cached.get(f.name), shown=f.shown) for f in files)
        is_file = is_test_file_name(url.name)
        return Fetched(
            shown=str(url),
            place=found[0].path or Path(url.name) if is_file else Path(url.name),
            is_file=is_file,
            files=found,
            skipped=tuple(skipped),
        )

    def _fetch_all(self, store: "_Store", wanted: Sequence[_RemoteFile]) -> dict[str, Path]:
        """Copies of the files, by name: those of the cache, and what is missing from there."""
        cached: dict[str, Path] = {}
        missing = []
        for file in wanted:
            self._check()
            copy = self._cache.find(file.url, file.name, file.version) if file.is_known else None
            if copy is None:
                missing.append(file)
            else:
                cached[file.name] = copy
        if missing:
            n_bytes = sum(file.size or 0 for file in missing)
            self._cache.check_room(n_bytes)
            self._notify(f"fetching {counted(len(missing), 'test file')}{_of_size(n_bytes)} from {store.shown}")
            cached |= self._download(store, missing, n_bytes)
        return cached

    def _download(self, store: "_Store", missing: Sequence[_RemoteFile], n_bytes: int) -> dict[str, Path]:
        """Fetch files, a few at once, each by a thread that nobody waits for when this one is to end."""
        transfer = _Transfer(waiting=queue.SimpleQueue())
        for file in missing:
            transfer.waiting.put(file)
        n_threads = min(_N_AT_ONCE, len(missing))
        for _ in range(n_threads):
            threading.Thread(target=transfer.work, args=(store, self._cache), daemon=True).start()
        last_note = time.monotonic()
        try:
            while n_threads and not transfer.errors:
                self._check()
                try:
                    what = transfer.news.get(timeout=_POLL_S)
                except queue.Empty:
                    what = ""
                if what is None:
                    n_threads -= 1
                elif what:
                    self._notify(what)
                if time.monotonic() - last_note > _NOTE_EVERY_S:
                    last_note = time.monotonic()
                    self._notify(f"fetched {_in_words(transfer.n_bytes)}{_of_size(n_bytes, ' of {}')}")
        finally:
            transfer.is_over.set()
        if transfer.errors:
            raise transfer.errors[0]
        return transfer.done

    def _apart(self, work: Callable[[], _T]) -> _T:
        """Do what waits for a server in a thread that nobody waits for when this one is to end."""
        ended: queue.SimpleQueue[_T | BaseException] = queue.SimpleQueue()

        def do() -> None:
            try:
                ended.put(work())
            except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
                ended.put(error)

        threading.Thread(target=do, daemon=True).start()
        while True:
            self._check()
            with contextlib.suppress(queue.Empty):
                result = ended.get(timeout=_POLL_S)
                break
        if isinstance(result, BaseException):
            raise result
        return result


@dataclass(slots=True)
class _Transfer:
    """Files on their way: a thread that ends puts None into the `news`, all else there is for the user."""

    waiting: "queue.SimpleQueue[_RemoteFile]"
    news: "queue.SimpleQueue[str | None]" = field(default_factory=queue.SimpleQueue)
    is_over: threading.Event = field(default_factory=threading.Event)
    done: dict[str, Path] = field(default_factory=dict)
    errors: list[BaseException] = field(default_factory=list)
    n_bytes: int = 0

    def work(self, store: "_Store", cache: DataCache) -> None:
        """Fetch one file after the other until none is left, or one fails."""
        try:
            while not self.is_over.is_set():
                file = self.waiting.get_nowait()
                self.done[file.name] = self._fetch(store, cache, file)
        except (queue.Empty, _OverError):
            pass
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            self.errors.append(error)
            self.is_over.set()
        finally:
            self.news.put(None)

    def _fetch(self, store: "_Store", cache: DataCache, file: _RemoteFile) -> Path:
        with cache.incoming() as incoming:

            def add(chunk: bytes) -> None:
                if self.is_over.is_set():
                    raise _OverError
                incoming.add(chunk)
                self.n_bytes += len(chunk)

            store.read(file, incoming, add, self.news.put)
            now = store.look_again(file)
            if now.version != file.version or (file.size is not None and incoming.n_bytes != file.size):
                raise DatasetError(
                    f"test file {visible(file.shown)} changed while it was fetched", hint="run the command again"
                )
            return cache.keep(incoming, file.url, file.name, file.version)


class _OverError(Exception):
    """The transfer ends before its end."""


class _PassingError(Exception):
    """What may succeed at the next attempt; the text says why it failed, and shows nothing secret."""


class _NoRangesError(Exception):
    """The server sends whole files only."""


class _Store:
    """The server of a URL, through fsspec; what it raises are errors of this tool.

    fsspec keeps its object for it to the end of the process. One that went before would close its connections whenever
    the garbage collector comes by, and wait for that: in an event loop as well.
    """

    def __init__(self, url: DataUrl) -> None:
        import fsspec  # noqa: PLC0415 - an extra

        self.shown = str(url)
        self._url = url
        self._is_bucket = url.scheme == "s3"
        try:
            self._fs = fsspec.filesystem(url.scheme, **self._options())
            self._fs.retries = 1  # of s3fs, which tries again by itself
        except Exception as error:  # noqa: BLE001 - options may come from the user's environment, and be anything
            raise DatasetError(
                f"test dir {self.shown}: fsspec cannot be set up ({type(error).__name__})",
                hint="look at the FSSPEC_* variables and ~/.config/fsspec",
            ) from None

    def _options(self) -> dict[str, Any]:
        common = {"use_listings_cache": False}
        if self._is_bucket:
            timeouts = {"connect_timeout": _CONNECT_S, "read_timeout": _READ_S, "retries": {"total_max_attempts": 1}}
            return {**common, "config_kwargs": timeouts}
        import aiohttp  # noqa: PLC0415 - 40 ms

        client = {
            "trust_env": True,
            "auto_decompress": False,  # x.jsonl.gz is to come as it is, whatever the server calls its encoding
            "timeout": aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S),
            "headers": {"Accept-Encoding": "identity"},
        }
        return {**common, "encoded": True, "client_kwargs": client}

    def list_files(self) -> tuple[list[_RemoteFile], list[str]]:
        """The test files in order of name, and the names of a folder's other entries.

        Raises:
            DatasetError: there are none.
        """
        url = self._url
        if is_test_file_name(url.name) and not url.reveal().endswith("/"):
            return [self._described(url.name, self._ask(url.reveal()), url.reveal())], []
        folder = url.reveal().rstrip("/")
        entries = self._retried(lambda: self._fs.ls(folder, detail=True, refresh=True), self.shown)
        files, skipped = [], []
        for entry in entries:
            name = str(entry["name"]).rstrip("/").rpartition("/")[2]
            if not name or str(entry["name"]).rstrip("/") == folder.partition("://")[2]:
                continue  # the folder's own marker
            if entry.get("type") == "file" and is_test_file_name(name) and not name.startswith("."):
                files.append(self._described(name, entry, f"{folder}/{name}"))
            else:
                skipped.append(name)
        if not files:
            raise no_test_file(self.shown, sorted(skipped))
        return sorted(files, key=lambda file: file.name), sorted(skipped)

    def look_again(self, file: _RemoteFile) -> _RemoteFile:
        """The file as the server has it at this moment."""
        return self._described(file.name, self._ask(file.url), file.url)

    def read(
        self, file: _RemoteFile, incoming: Incoming, add: Callable[[bytes], None], tell: Callable[[str], None]
    ) -> None:
        """Read a file from front to back, through `add`; where it has to begin again, `incoming` does as well."""
        if file.size is not None:
            with contextlib.suppress(_NoRangesError):
                self._read_blocks(file, add, tell)
                return

        def read_whole() -> None:
            incoming.restart()
            n_bytes = _BLOCK_BYTES if self._is_bucket else 0  # 0: in one go
            with self._fs.open(file.place, "rb", block_size=n_bytes, cache_type="none") as source:
                while chunk := source.read(2**20):
                    add(chunk)

        self._retried(read_whole, file.shown, tell)

    def _read_blocks(self, file: _RemoteFile, add: Callable[[bytes], None], tell: Callable[[str], None]) -> None:
        """Read a file of known size in blocks.

        Raises:
            _NoRangesError: the server sends whole files only.
        """
        assert file.size is not None  # noqa: S101 - the caller looked
        size, n_read = file.size, 0
        while n_read < size:
            end = min(n_read + _BLOCK_BYTES, size)
            block = self._retried(partial(self._block, file, n_read, end), file.shown, tell)
            if len(block) != end - n_read:
                raise DatasetError(
                    f"test file {visible(file.shown)} changed while it was fetched", hint="run the command again"
                )
            add(block)
            n_read = end

    def _block(self, file: _RemoteFile, start: int, end: int) -> bytes:
        options = {} if self._is_bucket else {"size": file.size}
        with self._fs.open(file.place, "rb", block_size=_BLOCK_BYTES, cache_type="none", **options) as source:
            try:
                source.seek(start)
                block: bytes = source.read(end - start)
            except ValueError:
                raise _NoRangesError from None
        return block

    def _ask(self, url: str) -> Mapping[str, Any]:
        described: Mapping[str, Any] = self._retried(lambda: self._fs.info(self._place(url)), self.shown)
        if self._url.scheme == "https" and str(described.get("url", "https:")).startswith("http:"):
            raise DatasetError(
                f"test file {self.shown}: the server redirects to http, which nobody protects",
                hint="give the http URL if that is what you want",
            )
        return described

    def _described(self, name: str, told: Mapping[str, Any], url: str) -> _RemoteFile:
        version: dict[str, Any] = {"size": told.get("size")}
        for key in ("ETag", "Last-Modified", "LastModified"):
            if told.get(key):
                version[key] = str(told[key])
                break
        shown = self.shown if url == self._url.reveal() else url
        return _RemoteFile(
            name=name, place=self._place(url), url=url, shown=shown, size=told.get("size") or None, version=version
        )

    def _place(self, url: str) -> str:
        return url.partition("://")[2] if self._is_bucket else quote(url, safe=_ASCII)

    def _retried(self, work: Callable[[], _T], shown: str, tell: Callable[[str], None] = lambda _: None) -> _T:
        """Do what asks the server, again where that may help.

        Raises:
            BootcampError: what fails, in the user's terms.
        """
        try:
            for attempt in _attempts():
                with attempt:
                    try:
                        return work()
                    except (BootcampError, _OverError, _NoRangesError):
                        raise
                    except Exception as error:  # noqa: BLE001 - the libraries' errors are many, and not all declared
                        failure = self._failure(error, shown)
                    if isinstance(failure, _PassingError) and attempt.num < _ATTEMPTS:
                        tell(f"{visible(shown)}: {failure}: trying again")
                    raise failure from None
        except _PassingError as error:
            raise DataUnavailableError(
                f"test data at {visible(shown)} cannot be read: {error}, after several attempts", hint=self._reaching
            ) from None
        raise AssertionError  # the attempts end by a return or an exception

    @property
    def _reaching(self) -> str:
        setting = "AWS_ENDPOINT_URL, AWS_DEFAULT_REGION" if self._is_bucket else "the URL"
        return f"check the network, a proxy and {setting}, then run the command again"

    def _failure(self, error: Exception, shown: str) -> Exception:
        """What an exception of the libraries means; its text is left out, as it may have the whole URL in it."""
        status, where = _status_of(error), f"test data at {visible(shown)}"
        if status is not None or isinstance(error, PermissionError):
            return self._refused(error, status, where)
        names = {type(each).__name__ for each in _chain(error)}
        if missing := names & {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}:
            what = "this profile is not known" if "ProfileNotFound" in missing else "there are no credentials"
            return DatasetError(f"{where}: {what}", hint=self._access)
        if names & {"ClientConnectorCertificateError", "ClientConnectorSSLError", "SSLError"}:
            variable = "AWS_CA_BUNDLE" if self._is_bucket else "SSL_CERT_FILE"
            what = f"{where}: the server's certificate is not trusted"
            return DataUnavailableError(what, hint=f"name your authorities by {variable}")
        if any(map(_is_of_connection, _chain(error))):
            return _PassingError(_reason(error))
        if isinstance(error, FileNotFoundError):
            return DatasetError(f"{where}: there is nothing", hint="check its spelling")
        return DatasetError(f"{where} cannot be read ({type(error).__name__})")

    def _refused(self, error: Exception, status: int | None, where: str) -> Exception:
        """What an answer means that is an error."""
        code = _code_of(error)
        told = f" ({', '.join(part for part in (status and f'HTTP {status}', code) if part)})"
        if status in _PASSING_STATUS or code == "SlowDown":
            return _PassingError(f"HTTP {status}")
        if status in (404, 410):
            return DatasetError(f"{where}: there is nothing{told}", hint="check its spelling")
        if status in (301, 307, 400) and self._is_bucket:
            return DatasetError(f"{where} cannot be read{told}", hint="set AWS_DEFAULT_REGION to the bucket's")
        if status in (401, 403, 407) or isinstance(error, PermissionError):
            return DatasetError(f"{where}: access is refused{told}", hint=self._access)
        return DatasetError(f"{where} cannot be read{told}")

    @property
    def _access(self) -> str:
        if self._is_bucket:
            return (
                "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, of who may list and read it; "
                "for a public bucket FSSPEC_S3='{\"anon\": true}'"
            )
        return (
            "a presigned URL may have expired; user and password go in front of the host, a token in "
            'FSSPEC_HTTPS=\'{"headers": {"Authorization": "Bearer TOKEN"}}\''
        )


def require_remote(url: DataUrl) -> None:
    """Check that test data at a URL can be fetched at all.

    Raises:
        UsageError: a package that is needed is not installed.
    """
    for package in _NEEDS[url.scheme]:
        if find_spec(package) is None:
            raise UsageError(
                f"test dir {url}: the package {package} is not installed", hint="pip install 'bootcamp-cli[remote]'"
            )


def _attempts() -> Iterable[stamina.Attempt]:
    return stamina.retry_context(
        on=_PassingError,
        attempts=_ATTEMPTS,
        timeout=None,
        wait_initial=_FIRST_WAIT_S,
        wait_max=_LONGEST_WAIT_S,
        wait_jitter=_FIRST_WAIT_S,
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it was raised from."""
    current: BaseException | None = error
    for _ in range(10):
        if current is None:
            return
        yield current
        current = current.__cause__


def _status_of(error: BaseException) -> int | None:
    """The HTTP status that a server refused with."""
    for each in _chain(error):
        status = getattr(each, "status", None)
        response = getattr(each, "response", None)
        if isinstance(response, Mapping):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if isinstance(status, int):
            return status
    return None


def _code_of(error: BaseException) -> str | None:
    """What S3 calls an error."""
    for each in _chain(error):
        response = getattr(each, "response", None)
        if isinstance(response, Mapping):
            code = str(response.get("Error", {}).get("Code", ""))
            return shortened(code, 40) if code and not code.isdecimal() else None
    return None


def _is_of_connection(error: BaseException) -> bool:
    """Whether an exception says that a server was not reached, or went away: another attempt may do."""
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    names = {base.__name__ for base in type(error).__mro__}
    return bool(names & _OF_CONNECTION)


def _reason(error: BaseException) -> str:
    """Why a connection failed, in words of the system."""
    for each in reversed([*_chain(error)]):
        os_error = getattr(each, "os_error", each)
        if isinstance(os_error, OSError) and os_error.strerror and os_error.errno:
            return shortened(os_error.strerror, 80)
    names = {base.__name__ for each in _chain(error) for base in type(each).__mro__}
    if "TimeoutError" in names or "HTTPClientError" in names:
        return "no answer in time"
    return "the connection broke off" if "ClientPayloadError" in names else "no connection"


def _in_words(n_bytes: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return counted(n_bytes, "byte")


def _of_size(n_bytes: int, form: str = " ({})") -> str:
    """The size of what is fetched, where the server tells it."""
    return form.format(_in_words(n_bytes)) if n_bytes else ""
