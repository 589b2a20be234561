"""An HTTP server of files on loopback, with the faults that such servers have."""

import base64
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typing_extensions import override


@dataclass(slots=True, kw_only=True)
class DataServer:
    """What is served, and how; tests change it between requests.

    Attributes:
        files: The bodies by path, without query.
        etags: The ETag of each, by path; without one a version is told by `modified`, if that is set.
        ranges: Whether parts of a file can be asked for.
        has_head: Whether HEAD is answered, which a presigned URL does not allow.
        has_length: Whether the length of a body is told; without, the body is chunked.
        statuses: Error statuses that the next requests get, one each.
        n_torn: How many of the next answers with a body break off in the middle.
        query: The query that a request must have; user and password likewise as `user:password`.
        redirects: Paths that are elsewhere, as URLs.
        requests: Method, path with query and headers of each request so far.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    modified: str = ""
    ranges: bool = True
    has_head: bool = True
    has_length: bool = True
    statuses: list[int] = field(default_factory=list)
    n_torn: int = 0
    query: str = ""
    userinfo: str = ""
    encoding: str = ""
    redirects: dict[str, str] = field(default_factory=dict)
    after_body: Any = None
    stalls: threading.Event | None = None
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    @property
    def bodies(self) -> list[str]:
        """The path of each request for a body so far."""
        return [path for method, path, _ in self.requests if method == "GET"]


@contextmanager
def data_server(certificate: Path | None = None, **how: Any) -> Iterator[DataServer]:
    """Serve on a free port of loopback until the block ends, with a certificate by TLS."""
    served = DataServer(**how)

    class Handler(_Handler):
        server_of = served

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    served.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        if served.stalls is not None:
            served.stalls.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: DataServer

    @override
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._answer(with_body=False)

    def do_GET(self) -> None:
        """Answer with the body."""
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        served = self.server_of
        served.requests.append((self.command, self.path, dict(self.headers)))
        path, _, query = self.path.partition("?")
        if served.statuses:
            self._refuse(served.statuses.pop(0))
        elif target := served.redirects.get(path):
            self.send_response(302)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif (served.query and query != served.query) or not self._is_known() or not (with_body or served.has_head):
            self._refuse(403)
        elif path not in served.files:
            self._refuse(404)
        else:
            self._send(path, served.files[path], with_body=with_body)

    def _is_known(self) -> bool:
        expected = base64.b64encode(self.server_of.userinfo.encode()).decode()
        return not self.server_of.userinfo or self.headers.get("Authorization") == f"Basic {expected}"

    def _refuse(self, status: int) -> None:
        body = f"refused: {self.path}".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _send(self, path: str, body: bytes, *, with_body: bool) -> None:
        served, wanted = self.server_of, self.headers.get("Range", "")
        status, n_all, first = 200, len(body), "0"
        if served.ranges and wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            status, body = 206, body[int(first) : int(last) + 1]
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(body) - 1}/{n_all}")
        for name, value in (
            ("ETag", served.etags.get(path, "")),
            ("Last-Modified", served.modified),
            ("Content-Encoding", served.encoding),
            (
                "Content-Length" if served.has_length else "Transfer-Encoding",
                str(len(body)) if served.has_length else "chunked",
            ),
        ):
            if value:
                self.send_header(name, value)
        self.end_headers()
        if not with_body:
            return
        if served.stalls is not None:
            self.wfile.write(body[:10])
            self.wfile.flush()
            served.stalls.wait(30)
            self.close_connection = True
            return
        if served.n_torn > 0:
            served.n_torn -= 1
            self.wfile.write(body[: len(body) // 2] if served.has_length else b"%x\r\n" % len(body))
            self.close_connection = True
            return
        self.wfile.write(body if served.has_length else b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        if served.after_body is not None:
            served.after_body()
