"""A workbook as bytes that depend on nothing but its content."""

from datetime import datetime
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from openpyxl import Workbook
from openpyxl.writer.excel import ExcelWriter

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip file can name."""


def workbook_file(workbook: Workbook) -> bytes:
    """The xlsx file: creation, change and zip times are pinned, members stand in name order.

    `Workbook.save` would stamp the time of writing: its steps are made here without that one.
    """
    workbook.properties.created = workbook.properties.modified = datetime(*_EPOCH)  # noqa: DTZ001  # UTC by the format
    stamped, pinned = BytesIO(), BytesIO()
    ExcelWriter(workbook, ZipFile(stamped, "w", ZIP_DEFLATED)).save()
    with ZipFile(stamped) as source, ZipFile(pinned, "w") as target:
        for name in sorted(source.namelist(), key=lambda name: (name != "[Content_Types].xml", name)):
            member = ZipInfo(name, date_time=_EPOCH)
            member.compress_type = ZIP_DEFLATED
            member.create_system = 3
            member.external_attr = 0o644 << 16
            target.writestr(member, source.read(name), compresslevel=6)
    return pinned.getvalue()
