"""What the command line does to its process around a run: the limit of open files, as every connection is one."""

import resource


def raise_open_file_limit(needed: int) -> str | None:
    """Raise the soft limit of open files of this process to `needed`; a warning where the system allows fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (ValueError, OSError):  # macOS: an unlimited hard limit is not to be had
        allowed = soft
    if allowed >= needed:
        return None
    return (
        f"only {allowed} files can be open at once, {needed} are needed: lower max_concurrent_requests or `ulimit -n`"
    )
