"""What every table takes, whichever columns it has."""

from __future__ import annotations

from hdmf.common import DynamicTable
from hdmf.utils import get_docval

__all__ = ["TABLE_ARGUMENTS"]

#: Arguments of a DynamicTable but its name and description; which they are depends on the version of hdmf.
TABLE_ARGUMENTS = tuple(
    argument for argument in get_docval(DynamicTable.__init__) if argument["name"] not in ("name", "description")
)
