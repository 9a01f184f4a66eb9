"""``nwb-mivae prepare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nwb_mivae.cli.options import ConfigurationOption, RecordingsArgument, SettingsOption, StimulusFolderOption
from nwb_mivae.cli.terminal import REFUSED, JsonOption, QuietOption, Terminal, typed

__all__ = ["prepare"]


def prepare(
    recordings: RecordingsArgument,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="STORE", help="Folder for the clip store.")],
    stimulus_folder: StimulusFolderOption = None,
    config: ConfigurationOption = None,
    setting: SettingsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Put recordings and stimuli on one clock.

    Makes a clip store, ready for training: a folder of plain arrays with a manifest. The recordings are only read. A
    recording that cannot be used is refused with the reason, and the others go on; running the same command again
    redoes only what is missing or has changed.

    \b
    Examples:
        nwb-mivae prepare recordings/ --out store
        nwb-mivae prepare 'dandi://000402@0.230307.2132/sub-17797/*_ses-9-scan-4_*.nwb' --out store
        nwb-mivae prepare a.nwb b.nwb c.nwb --out store --set clips.height=36 --set clips.width=64
    """
    with Terminal(
        as_json=as_json, quiet=quiet, after_interruption="Run the same command again: sessions already done are kept."
    ) as terminal:
        from nwb_mivae import pipeline

        configuration = pipeline.PipelineConfiguration.given(config, setting or ())
        store = pipeline.prepare(
            recordings, out, configuration=configuration, stimulus_folder=stimulus_folder, progress=terminal.progress
        )
        sessions = [
            {
                "session": key,
                "subject": stored.subject,
                "cells": stored.n_cells,
                "frames": stored.n_frames,
                "valid_minutes": round(float(stored.valid.sum()) / stored.frame_rate / 60, 2),
                "traces": stored.trace_kind,
                "lag": stored.report["lag"],
                "files": [file["path"] for file in stored.source["files"]],
                "left_out": stored.source["left_out"],
            }
            for key, stored in store.sessions.items()
        ]
        failures = list(store.manifest["failures"])
        lines = [
            f"{each['session']}: {each['cells']} cells, {each['valid_minutes']} minutes of {each['traces']}, "
            f"taken {each['lag']:g} s after the frame (alignment.lag)"
            + (f", from {len(each['files'])} files" if len(each["files"]) > 1 else "")
            for each in sessions
        ]
        lines += [f"LEFT OUT {file['name']}: {file['reason']}" for each in sessions for file in each["left_out"]]
        lines += [f"REFUSED {each['file']}: {each['found']}; {each['remedy']}" for each in failures]
        lines.append(f"{len(sessions)} sessions in {out}. Next: nwb-mivae train {typed(out)} --out run")
        terminal.result(
            {"store": str(out), "digest": store.digest, "sessions": sessions, "refused": failures},
            "\n".join(lines),
            exit_code=REFUSED if failures else 0,
        )
