"""The page of results."""

from pathlib import Path


def write_page(out: Path, page: Path, scale: str) -> None: ...
