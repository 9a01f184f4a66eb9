"""What was shown when: tables and series of any layout, reduced to one table of presentations.

Rows of the source may be display frames, movie frames, pictures, showings told by parameters or whole movies. What has
pixels is found in the catalogue, what has parameters is drawn, and of two sources that tell of one time the better is
kept.
"""

from __future__ import annotations

import pandas as pd

from nwb_mivae.sessions.configuration import SessionsConfiguration
from nwb_mivae.sessions.frame_table import frame_table, prepared, told_once
from nwb_mivae.sessions.nwb import OpenedFile
from nwb_mivae.sessions.series import series_showings
from nwb_mivae.sessions.session import Granularity
from nwb_mivae.sessions.session_movie import name_session_movies
from nwb_mivae.sessions.tables import table_showings
from nwb_mivae.sessions.templates import TemplateCatalogue

__all__ = ["read_presentations"]


def read_presentations(
    file: OpenedFile, catalogue: TemplateCatalogue, configuration: SessionsConfiguration | None = None
) -> tuple[pd.DataFrame, dict[str, Granularity]]:
    """The frame table of a session, and what a row of each of its sources is.

    Templates that rows name are added to the catalogue, as found, as drawn or as missing.

    Returns
    -------
    presentations : DataFrame
        Columns :data:`~nwb_mivae.sessions.session.PRESENTATION_COLUMNS`.
    granularity : dict of str to Granularity
        By path of the table or series inside the file.
    """
    settings = SessionsConfiguration() if configuration is None else configuration
    known = set(catalogue.missing)
    sources = [
        prepared(file, catalogue, showings, settings)
        for showings in (*table_showings(file, catalogue), *series_showings(file, catalogue))
    ]
    name_session_movies(file, catalogue, sources)
    kept = told_once(file, catalogue, sources)
    table = frame_table(file, kept)
    used = set(table["template"])
    for name in set(catalogue.missing) - known - used:
        del catalogue.missing[name]
    return table, {source.path: source.granularity for source in sources}
