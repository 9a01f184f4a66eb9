"""Rows that parameters tell of: drawn where they suffice, else named as missing with the parameters there are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.sessions.configuration import SessionsConfiguration
from nwb_mivae.sessions.conventions import DrawnKind
from nwb_mivae.sessions.nwb import OpenedFile
from nwb_mivae.sessions.parameters import Parameters, parameters_from_text
from nwb_mivae.sessions.rendering import (
    completed_parameters,
    drawable,
    lacking_parameters,
    moves,
    rendered_template,
)
from nwb_mivae.sessions.screen import Screen
from nwb_mivae.sessions.showings import PARAMETERS, UNKNOWN, WHOLE, Showings
from nwb_mivae.sessions.templates import TemplateCatalogue

__all__ = ["draw"]


#: Frames per second that moving stimuli are drawn at: half a display's, the rate of most natural movies.
RATE = 30.0


def draw(
    file: OpenedFile, catalogue: TemplateCatalogue, showings: Showings, configuration: SessionsConfiguration
) -> None:
    """Give rows told by parameters a template and a frame.

    The standing conditions of a stimulus are frames of one template, in order of their text; a moving condition is a
    template of its own, to be expanded like a whole movie.
    """
    told = np.flatnonzero(showings.frame == PARAMETERS)
    if not len(told):
        return
    screen = configuration.screen or (file.layout.screen if file.layout is not None else None) or Screen()
    stated = dict.fromkeys(showings.template[told])
    codes, pairs = pd.factorize(
        pd.MultiIndex.from_arrays([showings.stimulus[told], showings.parameters[told]]), sort=True
    )
    rows_of = {pair: told[codes == code] for code, pair in enumerate(pairs)}
    for stimulus in dict.fromkeys(stimulus for stimulus, _ in pairs):
        texts = [text for name, text in pairs if name == stimulus]
        kinds = {text: _kind(file, stimulus, text) for text in texts}
        undrawn = [text for text in texts if kinds[text] is None]
        if undrawn:
            _leave_undrawn(file, catalogue, showings, stimulus, [rows_of[stimulus, text] for text in undrawn], undrawn)
        drawn = _Drawing(file, catalogue, showings, stimulus, screen)
        for kind in dict.fromkeys(kind for kind in kinds.values() if kind is not None):
            drawn.add(kind, {text: rows_of[stimulus, text] for text in texts if kinds[text] == kind})
        drawn.report()
    used = set(showings.template)
    for name in stated:
        if name not in used:
            catalogue.missing.pop(name, None)


def _kind(file: OpenedFile, stimulus: str, text: str) -> DrawnKind | None:
    return drawable(stimulus, parameters_from_text(text), file.conventions, file.layout)


def _leave_undrawn(
    file: OpenedFile,
    catalogue: TemplateCatalogue,
    showings: Showings,
    stimulus: str,
    rows: list[npt.NDArray[np.int64]],
    texts: list[str],
) -> None:
    """Name what cannot be drawn as missing, with what is known of it."""
    every = np.concatenate(rows)
    known = dict.fromkeys(name for text in texts for name in parameters_from_text(text))
    name = str(showings.template[every[0]])
    if name in catalogue.found:  # such as pictures that no column of the table tells apart
        name = _unused(catalogue, stimulus)
    showings.template[every], showings.frame[every] = name, 0
    lacking = lacking_parameters(stimulus, dict.fromkeys(known, 0.0), file.conventions, file.layout)
    unsaid = f"; it cannot be drawn without {', '.join(lacking)}" if lacking else ", and cannot be drawn from them"
    catalogue.missing[name] = f"described by parameters ({', '.join(known)}), not by pixels{unsaid}"
    file.note(
        "info", showings.path, f"{len(every)} rows with parameters and no frames, too few to draw {stimulus!r} from"
    )


class _Drawing:
    """What is drawn of one stimulus of a source."""

    def __init__(
        self, file: OpenedFile, catalogue: TemplateCatalogue, showings: Showings, stimulus: str, screen: Screen
    ) -> None:
        self.file, self.catalogue, self.showings = file, catalogue, showings
        self.stimulus, self.screen = stimulus, screen
        self.n_rows, self.n_conditions, self.aliased = 0, 0, 0
        self.assumed: dict[str, float | str] = {}

    def add(self, kind: DrawnKind, rows_of: dict[str, npt.NDArray[np.int64]]) -> None:
        """Draw conditions of one kind."""
        standing: list[tuple[Parameters, npt.NDArray[np.int64]]] = []
        varied = _varied([parameters_from_text(text) for text in rows_of])
        for text, rows in rows_of.items():
            stated = parameters_from_text(text)
            complete = completed_parameters(self.stimulus, stated, self.file.conventions, self.file.layout)
            self.assumed |= {name: value for name, value in complete.items() if name not in stated}  # type: ignore[misc]
            self.n_rows, self.n_conditions = self.n_rows + len(rows), self.n_conditions + 1
            if moves(complete):
                told = ", ".join(f"{name} {stated.get(name, 'none')}" for name in varied)
                self._moving(kind, complete, told, rows)
            else:
                standing.append((complete, rows))
        if standing:
            name = _unused(self.catalogue, self.stimulus)
            self.catalogue.found[name] = rendered_template(
                name, [complete for complete, _ in standing], screen=self.screen, kind=kind
            )
            self.catalogue.missing.pop(name, None)
            for number, (_, rows) in enumerate(standing):
                self.showings.template[rows], self.showings.frame[rows] = name, number

    def _moving(self, kind: DrawnKind, complete: Parameters, told: str, rows: npt.NDArray[np.int64]) -> None:
        lasting = self.showings.stop[rows] - self.showings.start[rows]
        lasting = lasting[np.isfinite(lasting) & (lasting > 0)]
        if not len(lasting):
            self.showings.frame[rows] = UNKNOWN
            return
        frequency = complete["temporal_frequency"]
        fastest = max(frequency) if isinstance(frequency, list) else float(frequency)
        self.aliased += fastest >= RATE / 2
        name = _unused(self.catalogue, f"{self.stimulus} {told}".strip())
        self.catalogue.found[name] = rendered_template(
            name, [complete], screen=self.screen, kind=kind, duration=float(lasting.max()), rate=RATE
        )
        self.catalogue.rates[name] = RATE
        self.showings.template[rows], self.showings.frame[rows] = name, WHOLE

    def report(self) -> None:
        """Say that pixels were drawn, on which screen and with what assumed."""
        if not self.n_rows:
            return
        width, height = self.screen.extent
        message = (
            f"{self.n_rows} rows of {self.stimulus!r} ({self.n_conditions} conditions) were drawn from parameters "
            f"on a {self.screen.geometry} screen of {width:.0f} x {height:.0f} degrees, {self.screen.width_pixels} x "
            f"{self.screen.height_pixels} pixels"
        )
        if self.assumed:
            unsaid = ", ".join(f"{name} {value}" for name, value in sorted(self.assumed.items()))
            message += f"; assumed, for the file does not say: {unsaid}"
        self.file.note("guess", self.showings.path, message)
        if self.aliased:
            message = f"{self.aliased} conditions of {self.stimulus!r} move by half a cycle or more between frames"
            self.file.note(
                "warning", self.showings.path, f"{message} at {RATE:g} Hz: their direction is not in the pixels"
            )


def _varied(conditions: list[Parameters]) -> list[str]:
    """Names of the parameters that are not the same in all conditions."""
    names = sorted({name for condition in conditions for name in condition})
    return [name for name in names if len({str(condition.get(name)) for condition in conditions}) > 1]


def _unused(catalogue: TemplateCatalogue, name: str) -> str:
    """A key that no readable template has."""
    free, number = name, 1
    while free in catalogue.found:
        number += 1
        free = f"{name} ({number})"
    return free
