"""Marked secrets in every place that takes one, and the search for them in everything that a run leaves."""

import base64
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

Source = Literal["flag", "variable", "toml", "profile", "url", "openai"]
SOURCES: tuple[Source, ...] = ("flag", "variable", "toml", "profile", "url", "openai")

MARK = "sk-MARKED/7f+3a%"
"""Every secret of these tests holds the middle part, and characters that URLs write in other ways."""

_CORE = "MARKED"
_BASIC = tuple(
    base64.b64encode(b"x" * shift + _CORE.encode())[-(-shift * 8 // 6) : (shift + len(_CORE)) * 8 // 6].decode()
    for shift in range(3)
)
"""What is left of it inside base64, by its position there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """The words, variables and settings file that give a marked secret in one way, and marked headers beside it."""

    url: str
    words: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    toml: str = ""


def marked(source: Source, url: str) -> Marked:
    """A call with the mark as API key (or as password in the URL), in two headers, the query and a key of the body."""
    body = {"user": "u", "secret": f"{MARK}-body", "nested": [{"token": f"{MARK}-nested"}]}
    common = f"headers = {{ X-Extra = {json.dumps(MARK + '-header')}, Cookie = {json.dumps('a=' + MARK)} }}\n"
    environment = {"BOOTCAMP_EXTRA_BODY": json.dumps(body)}
    key = f"api_key = {json.dumps(MARK + '-key')}\n"
    url = f"{url}?api-key={quote(MARK + '-query')}"
    match source:
        case "flag":
            return Marked(url=url, words=("--api-key", f"{MARK}-key"), environment=environment, toml=common)
        case "variable":
            return Marked(url=url, environment=environment | {"BOOTCAMP_API_KEY": f"{MARK}-key"}, toml=common)
        case "openai":
            variables = {"OPENAI_API_KEY": f"{MARK}-key", "OPENAI_BASE_URL": url}
            return Marked(url="", environment=environment | variables, toml=common)
        case "toml":
            return Marked(url=url, environment=environment, toml=common + key)
        case "profile":
            return Marked(
                url=url, words=("--profile", "p"), environment=environment, toml=f"{common}[profile.p]\n{key}"
            )
        case "url":
            with_user = url.replace("://", f"://user:{quote(MARK + '-password', safe='')}@")
            return Marked(url=with_user, environment=environment, toml=common)


def leaks_in_text(text: str) -> list[str]:
    """The lines that hold a mark, as it is, in a URL, in JSON, or within a Basic authorization."""
    return [line for line in text.splitlines() if _CORE in line or any(form in line for form in _BASIC)]


def leaks_in_files(directory: Path, *, ours: Iterable[Path]) -> list[str]:
    """The files below a directory that hold a mark, in name or content, but for those that the test wrote."""
    known = set(ours)
    found = []
    for path in directory.rglob("*"):
        if _CORE in path.name:
            found.append(str(path))
        if path.is_file() and path not in known and any(map(leaks_in_bytes, _contents(path))):
            found.append(str(path))
    return found


def leaks_in_bytes(content: bytes) -> bool:
    """Whether bytes hold a mark in any of its forms."""
    return _CORE.encode() in content or any(form.encode() in content for form in _BASIC)


def _contents(path: Path) -> list[bytes]:
    """What a file holds, and of a workbook what is packed in it."""
    if not zipfile.is_zipfile(path):
        return [path.read_bytes()]
    with zipfile.ZipFile(path) as packed:
        return [packed.read(name) for name in packed.namelist()]
