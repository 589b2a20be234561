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
