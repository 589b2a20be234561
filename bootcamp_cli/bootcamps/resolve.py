"""data_source -> the bootcamp that verifies it; looks into tables, metadata and text, and imports no verifier."""

from functools import cached_property
from pathlib import Path
from typing import Literal

from bootcamp_cli.bootcamps.catalog import CATALOG
from bootcamp_cli.bootcamps.upstream_index import BOOTCAMPS, Origin, find_package, read_names
from bootcamp_cli.errors import SettingsError
from bootcamp_cli.records import BootcampRef, bootcamp_name

ENTRY_POINT_GROUP = "bootcamp_cli.bootcamps"
Mode = Literal["auto", "builtin", "upstream"]

_SUFFIX = bootcamp_name("")
_BASE_CLASS = "Basebootcamp"


class Resolver:
    """Finds bootcamps: built-in ones, then entry points, then the package `internbootcamp`.

    `mode` builtin leaves the package out, upstream asks it first. `path` is the directory that holds the package (or
    the package's own directory); without it an installed one is looked for.
    """

    def __init__(self, mode: Mode, path: Path | None) -> None:
        """Remember where to look.

        Raises:
            SettingsError: `path` holds no package of that name, and the mode wants it.
        """
        self._mode = mode
        self._path = str(path.absolute()) if path is not None else None
        if self._path is not None and mode != "builtin" and find_package(self._path) is None:
            raise SettingsError(
                f"bootcamps_path: no package internbootcamp in {self._path}",
                hint="name the directory that holds internbootcamp/bootcamp/__init__.py",
            )

    def resolve(self, data_source: str) -> BootcampRef | None:
        """Where the verifier of this data source is to be loaded from; None where there is none."""
        if self._mode == "upstream" and (ref := self._from_package(data_source)):
            return ref
        if entry := CATALOG.get(data_source):
            fallback = self._from_package(data_source) if self._mode == "auto" else None
            return BootcampRef(data_source=data_source, origin="builtin", target=entry.module, fallback=fallback)
        if target := self._entry_points.get(data_source):
            return BootcampRef(data_source=data_source, origin="entry_point", target=target)
        return self._from_package(data_source) if self._mode == "auto" else None

    def known(self) -> list[BootcampRef]:
        """Every data source that has a verifier, by name, each with the place that wins."""
        names = {*CATALOG, *self._entry_points}
        if self._mode != "builtin":
            names |= {name.removesuffix(_SUFFIX) for name in self._package_names if name.endswith(_SUFFIX)}
        refs = (self.resolve(name) for name in sorted(names))
        return [ref for ref in refs if ref is not None]

    def _from_package(self, data_source: str) -> BootcampRef | None:
        name = bootcamp_name(data_source)
        origin = self._package_names.get(name)
        if origin is None or name == _BASE_CLASS:
            return None
        target = f"{origin.module}:{origin.attribute}" if origin.module and origin.attribute else name
        return BootcampRef(data_source=data_source, origin="upstream", target=target, path=self._path)

    @cached_property
    def _entry_points(self) -> dict[str, str]:
        """Name -> `module:attribute`; of two distributions with the same name the first on the search path wins."""
        from importlib.metadata import entry_points  # noqa: PLC0415 - 7 ms, where all is built in for nothing

        found: dict[str, str] = {}
        for entry in entry_points(group=ENTRY_POINT_GROUP):
            found.setdefault(entry.name, entry.value)
        return found

    @cached_property
    def _package_names(self) -> dict[str, Origin]:
        package = find_package(self._path)
        return read_names(BOOTCAMPS, package / "bootcamp") if package else {}
