"""One self-contained HTML file per run: what was done, what came out, and what to doubt."""

from nwb_mivae.report.report import write_report

__all__ = ["write_report"]
