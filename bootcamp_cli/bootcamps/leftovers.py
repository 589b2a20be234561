"""What third-party verifiers leave behind in a worker, so that the next sample does not meet it."""

import os
import threading
from pathlib import Path

_MAX_THREADS = 8
"""Threads beside the main one that a library may keep; more are a leak, and each costs address space."""


def go_to(directory: Path) -> None:
    """Make it the working directory again, wherever a verifier went; a new one where it was removed."""
    try:
        os.chdir(directory)
    except OSError:
        directory.mkdir(parents=True, exist_ok=True)
        os.chdir(directory)


def is_left_over() -> bool:
    """Whether threads or child processes are there that would pile up over thousands of samples."""
    return threading.active_count() > 1 + _MAX_THREADS or _has_children()


def _has_children() -> bool:
    """Whether this process has children, ended ones that nobody waited for included; no on systems that cannot say."""
    if not hasattr(os, "waitid"):
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
