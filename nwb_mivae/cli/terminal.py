"""What every command does the same way: options, progress bars, results, and how errors end the program."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Callable
from os import PathLike, fspath
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from nwb_mivae.errors import NwbMivaeError

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

__all__ = [
    "BUG",
    "INTERRUPTED",
    "REFUSED",
    "WRONG_USAGE",
    "JsonOption",
    "QuietOption",
    "Terminal",
    "human_bytes",
    "printable",
    "typed",
]

BUG, WRONG_USAGE, REFUSED, INTERRUPTED = 1, 2, 3, 130

JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on standard output, and nothing else there."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bars and no notes.")]


def printable(text: str) -> str:
    """The text with control characters made visible, since file contents must not steer the user's terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in text)


def typed(path: str | PathLike[str]) -> str:
    """The path as one types it in a shell, so that a suggested command can be copied."""
    return shlex.quote(fspath(path))


def human_bytes(count: int) -> str:
    """A size as people read it, in thousands.

    >>> human_bytes(1_234_567)
    '1.2 MB'
    """
    size, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 999.95 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"


class Terminal:
    """The command's way out: notes and bars go to standard error, one result to standard output.

    Used as a context manager around the whole work of a command. An :class:`~nwb_mivae.errors.NwbMivaeError` ends the
    program with code 3 and one message, an interruption with 130, anything else with 1 and its traceback.

    Parameters
    ----------
    as_json : bool
        The result, or the error, is printed as one JSON document.
    quiet : bool
        No bars and no notes.
    after_interruption : str or callable
        What to tell a user who pressed Ctrl-C about going on; called then, where it depends on how far the work was.
    of_bytes : bool
        Progress is counted in bytes, and drawn with the speed.
    """

    def __init__(
        self,
        *,
        as_json: bool,
        quiet: bool,
        after_interruption: str | Callable[[], str] = "Run the same command again.",
        of_bytes: bool = False,
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.after_interruption = after_interruption
        self.of_bytes = of_bytes
        self._bars: Bars | None = None
        self._bar_of: dict[str, TaskID] = {}
        self._result: Any = None
        self._show: Callable[[], None] | None = None
        self._exit_code = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        # A library that prints would otherwise break the promise that standard output holds the result alone.
        self._stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_bars()
        self._stack.close()
        if error is None:
            if self.as_json:
                print(json.dumps(self._result, indent=2, allow_nan=False))
            elif self._show is not None:
                self._show()
            if self._exit_code:
                raise typer.Exit(self._exit_code)
        elif isinstance(error, NwbMivaeError):
            self._fail(error.as_dict(), printable(str(error)))
            raise typer.Exit(REFUSED) from None
        elif isinstance(error, KeyboardInterrupt):
            advice = self.after_interruption if isinstance(self.after_interruption, str) else self.after_interruption()
            text = f"Interrupted; nothing half-written was left. {advice}"
            self._fail({"error": "Interrupted", "remedy": advice}, text)
            raise typer.Exit(INTERRUPTED) from None
        elif isinstance(error, Exception) and not isinstance(error, BrokenPipeError) and not _is_ending(error):
            import traceback

            text = "".join(traceback.format_exception(error))
            remedy = "this is a bug in nwb_mivae: please report it with the lines above and the command"
            self._fail({"error": type(error).__name__, "found": str(error), "remedy": remedy}, f"{text}\n{remedy}")
            raise typer.Exit(BUG) from None

    def progress(self, description: str, done: int, total: int) -> None:
        """Draw how far ``description`` is; a new description takes the place of an unfinished one."""
        if self.quiet or not sys.stderr.isatty():
            return
        if self._bars is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )

            counts = (DownloadColumn(), TransferSpeedColumn()) if self.of_bytes else (MofNCompleteColumn(),)
            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                *counts,
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bars.start()
        if description not in self._bar_of:
            for earlier in self._bars.tasks:
                earlier.visible = earlier.finished
            self._bar_of[description] = self._bars.add_task(printable(description), total=total)
        self._bars.update(self._bar_of[description], completed=done, total=total)

    def note(self, text: str) -> None:
        """Say something by the way, on standard error."""
        if not self.quiet:
            self._stop_bars()
            typer.echo(printable(text), err=True)

    def result(self, values: Any, show: str | Callable[[], None], *, exit_code: int = 0) -> None:
        """Set what the command ends with: ``values`` under ``--json``, otherwise a text or a function that prints."""
        self._result = values
        self._show = (lambda: typer.echo(printable(show))) if isinstance(show, str) else show
        self._exit_code = exit_code

    def _stop_bars(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._bar_of.clear()

    def _fail(self, values: dict[str, Any], text: str) -> None:
        if self.as_json:
            print(json.dumps(values, indent=2))
        else:
            typer.echo(f"nwb-mivae: {text}", err=True)


def _is_ending(error: Exception) -> bool:
    """Whether the error is the command line's own way to end: wrong usage, or an exit code."""
    return isinstance(error, typer.Exit | typer.Abort | typer.BadParameter)
