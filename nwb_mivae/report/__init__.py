"""One self-contained HTML file per run, and the figures in it, which can be drawn from plain arrays too.

Both are loaded when first used, so that drawing a figure costs nothing of torch:

>>> from nwb_mivae.report import figures  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nwb_mivae.report import figures
    from nwb_mivae.report.report import write_report

__all__ = ["figures", "write_report"]


def __getattr__(name: str) -> Any:
    if name == "write_report":
        return import_module(f"{__name__}.report").write_report
    if name == "figures":
        return import_module(f"{__name__}.figures")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
