"""Generated test data for the demo and the tests: instances of every built-in bootcamp."""

from bootcamp_cli.demo.instances.directory import make_test_dir

__all__ = ["make_test_dir"]
