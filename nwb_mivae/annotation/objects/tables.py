"""The source's own tables that results refer to: found by path, checked for the rows, named apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from hdmf.common import DynamicTable, DynamicTableRegion
from pynwb.misc import Units
from pynwb.ophys import PlaneSegmentation

from nwb_mivae.annotation.file_part import FilePart
from nwb_mivae.errors import AnnotationError

if TYPE_CHECKING:
    from nwb_mivae.clips import StoredSession

__all__ = ["CellTable", "cell_tables", "distinct_names", "refuse_rows", "table_at"]


class CellTable(NamedTuple):
    """Cells of the session that are rows of one table of the file.

    Attributes
    ----------
    path : str
        Path of the table in the source.
    table : PlaneSegmentation, Units or DynamicTable
        The table in the file that is written; a companion's, of units whose spike times stayed in the source, is a
        plain DynamicTable.
    cells : ndarray of int64, (n,)
        Which of the session's cells they are.
    rows : ndarray of int64, (n,)
        Their rows in the table.
    suffix : str
        What the names of objects about them end with; empty where the file has one such table.
    """

    path: str
    table: Any
    cells: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    suffix: str

    @property
    def are_units(self) -> bool:
        """Whether the cells are sorted units; else they are ROIs."""
        return not isinstance(self.table, PlaneSegmentation)

    def region(self, name: str, description: str) -> DynamicTableRegion:
        """A new reference to the rows, in the order of ``cells``."""
        return DynamicTableRegion(name=name, description=description, data=self.rows, table=self.table)


def cell_tables(stored: StoredSession, part: FilePart, objects: Mapping[str, Any], file: str) -> list[CellTable]:
    """The tables that the session's cells in this file are rows of, in the order of the cells.

    Raises
    ------
    AnnotationError
        If a table is missing, is no table of cells, or has no such row.
    """
    paths = stored.cells["source_path"].to_numpy(dtype=object)
    source_rows = stored.cells["source_row"].to_numpy(dtype=np.int64)
    names = distinct_names(dict.fromkeys(str(path) for path in paths[part.cells]))
    found = []
    for path, name in names.items():
        cells = part.cells[paths[part.cells] == path]
        table, rows = table_at(objects, path, file), source_rows[cells]
        if not isinstance(table, PlaneSegmentation | Units) and type(table) is not DynamicTable:
            raise AnnotationError(
                f"cells in a {type(table).__name__}",
                expected="a PlaneSegmentation or the Units table",
                remedy="prepare the session again",
                file=file,
                object_path=path,
            )
        refuse_rows(rows, table, path, file)
        found.append(CellTable(path, table, cells, rows, f"_{name}" if len(names) > 1 else ""))
    return found


def table_at(objects: Mapping[str, Any], path: str, file: str) -> Any:
    """What stands for the source's object at ``path``.

    Raises
    ------
    AnnotationError
        If nothing does.
    """
    # The file itself has the empty path, which stands for "no table" here.
    if not path or path not in objects:
        raise AnnotationError(
            "no object at this path" if path else "rows that name no table",
            expected="the table the session was prepared from",
            remedy="prepare the session again from this file",
            file=file,
            object_path=path or "source_path",
        )
    return objects[path]


def refuse_rows(rows: npt.NDArray[np.int64], table: DynamicTable, path: str, file: str) -> None:
    """Refuse rows that a table does not have."""
    if len(rows) and (rows.min() < 0 or rows.max() >= len(table)):
        raise AnnotationError(
            f"rows {rows.min()} to {rows.max()} in a table of {len(table)}",
            expected=f"rows 0 to {len(table) - 1}",
            remedy="prepare the session again from this file",
            file=file,
            object_path=path,
        )


def distinct_names(paths: Iterable[str]) -> dict[str, str]:
    """For each path a name that a new object may have: its last part, or as many as tell it from the others.

    >>> distinct_names(["processing/a/Plane", "processing/b/Plane"])
    {'processing/a/Plane': 'a_Plane', 'processing/b/Plane': 'b_Plane'}
    """
    parts = {path: PurePosixPath(path).parts for path in paths}
    for depth in range(1, max((len(each) for each in parts.values()), default=0) + 1):
        # Names with "/" or ":" exist in published files, but cannot be given to a new object.
        names = {path: re.sub(r"[^0-9A-Za-z_.-]", "_", "_".join(each[-depth:])) for path, each in parts.items()}
        if len(set(names.values())) == len(names):
            return names
    return {path: str(number) for number, path in enumerate(parts)}
