"""What every table takes, whichever columns it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hdmf.common import DynamicTable
from hdmf.utils import get_docval

__all__ = ["TABLE_ARGUMENTS", "given_row"]

#: Arguments of a DynamicTable but its name and description; which they are depends on the version of hdmf.
TABLE_ARGUMENTS = tuple(
    argument for argument in get_docval(DynamicTable.__init__) if argument["name"] not in ("name", "description")
)


def given_row(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``add_row``: columns given by name, or all in one mapping, the first argument or ``data``."""
    named = {name: value for name, value in kwargs.items() if name != "data"}
    return dict(args[0] if args else kwargs.get("data") or {}) | named
