"""Files that are written by a command, committed, and checked to be up to date."""

import sys
from collections.abc import Mapping
from pathlib import Path


def update(contents: Mapping[Path, str], *, check: bool) -> int:
    """Write the files that differ; with `check` only name them and return 1 where there are any."""
    stale = {path: text for path, text in contents.items() if not path.is_file() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        print(f"{path}: {'out of date' if check else 'written'}", file=sys.stderr)  # noqa: T201 - a build command
    return 1 if check and stale else 0


def renewed(readme: str, name: str, content: str) -> str:
    """The text with what stands between `<!-- name:begin -->` and `<!-- name:end -->` replaced.

    Raises:
        ValueError: the two markers do not stand there once each, in order.
    """
    first, last = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, begin, rest = readme.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end or first in rest or last in before + after:
        raise ValueError(f"README.md needs {first} and behind it {last}, once each, around the generated part")
    return f"{before}{first}\n\n{content.strip()}\n\n{last}{after}"
