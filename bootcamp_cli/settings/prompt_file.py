"""The file behind `@FILE`."""

from pathlib import Path

MAX_BYTES = 1 << 20


def read_prompt_file(path: Path, *, inside: Path | None = None) -> str:
    """The text of a UTF-8 file without byte order mark and without its last line break.

    With `inside`, the file must be a regular one in that directory or below, symlinks resolved.

    Raises:
        ValueError: it cannot be read; the message completes "must".
    """
    if inside is not None:
        path = _resolved_inside(path, inside)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"name a readable file: {path}: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"name a file of at most {MAX_BYTES} bytes: {path}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"name a UTF-8 file: {path}: invalid byte at offset {error.start}") from None
    return text.removesuffix("\n").removesuffix("\r")


def _resolved_inside(path: Path, inside: Path) -> Path:
    try:
        resolved = path.resolve()
        is_inside = resolved.is_relative_to(inside.resolve())
    except (OSError, RuntimeError):
        raise ValueError(f"name a readable file: {path}") from None
    if not is_inside:
        raise ValueError(
            f"name a file inside {inside}, got {path} (a ./bootcamp.toml that was merely found may not read elsewhere; "
            "give it by --config)"
        )
    if not resolved.is_file():
        raise ValueError(f"name a regular file: {path}")
    return resolved
