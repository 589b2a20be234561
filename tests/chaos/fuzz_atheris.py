"""Coverage-guided fuzzing of what the tool reads; not part of the suite.

    python -m pip install atheris
    python -m tests.chaos.fuzz_atheris TARGET -max_total_time=600

TARGET is a name of `tests.chaos.fuzz_targets`; further words are libFuzzer's. It ends with status 0 where nothing was
found, and says so and ends where atheris is not installed.
"""

import os
import sys
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages

import bootcamp_cli

_LEFT_OUT = ("bootcamp_cli.bootcamps.", "bootcamp_cli.demo", "bootcamp_cli.__main__", "bootcamp_cli.cli.completion")
"""What no target reaches."""


def main(words: list[str]) -> int:
    """Fuzz one target until libFuzzer's limit, in a directory of its own."""
    if find_spec("atheris") is None:
        sys.stdout.write("skipped: atheris is not installed (python -m pip install atheris)\n")
        return 0
    name, *options = words
    with tempfile.TemporaryDirectory(prefix="bootcamp-fuzz-") as scratch:
        child = os.fork()
        if child == 0:
            _fuzz(name, options, Path(scratch))
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _fuzz(name: str, options: list[str], directory: Path) -> None:
    """Fuzz one target; libFuzzer ends the process."""
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415 - no dependency of the tests

    with atheris.instrument_imports(include=["bootcamp_cli"]):
        from tests.chaos.fuzz_targets import targets  # noqa: PLC0415 - instrumented as it is imported

        for module in walk_packages(bootcamp_cli.__path__, "bootcamp_cli."):
            if not module.name.startswith(_LEFT_OUT):
                import_module(module.name)
    os.chdir(directory)
    home = str(directory / "home")
    os.environ |= dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"), home)
    target = targets(directory)[name]
    corpus = directory / "corpus"
    corpus.mkdir()
    (corpus / "seed").write_bytes(target.seed)
    atheris.Setup([sys.argv[0], *options, "-max_len=4096", str(corpus)], target.feed)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
