"""``nwb-mivae train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nwb_mivae.cli.options import ConfigurationOption, SettingsOption
from nwb_mivae.cli.terminal import JsonOption, QuietOption, Terminal, typed

__all__ = ["train"]


def train(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Folder that `nwb-mivae prepare` wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="Folder for the model and all its results.")],
    held_out: Annotated[
        list[str] | None,
        typer.Option(
            "--held-out",
            metavar="ANIMAL",
            help="An animal to keep out of training, by name; may be repeated. A number alone draws that many. "
            "[default: one, where there are three or more]",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps. [default: training.steps]")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Everything random follows from this number. [default: 0]")
    ] = None,
    config: ConfigurationOption = None,
    setting: SettingsOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run, under the settings it was started with.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train the model on a clip store.

    Animals and stimuli are kept out for the test. The run's folder receives the weights, a log of every term of the
    loss, the settings and where all came from. A graphics card is used where there is one. Training that was
    interrupted goes on with --resume and ends at the same weights.

    \b
    Examples:
        nwb-mivae train store --out run --held-out sub-5
        nwb-mivae train store --out run --steps 3000 --set model.population=pooled
        nwb-mivae train store --out run --resume
    """

    def how_to_go_on() -> str:
        from nwb_mivae.run import Run

        run = Run.at(out)
        if run.configuration.is_file() and run.split.is_file():
            return f"Go on with: nwb-mivae train {typed(store)} --out {typed(out)} --resume"
        return "Run the same command again."

    with Terminal(as_json=as_json, quiet=quiet, after_interruption=how_to_go_on) as terminal:
        if resume and (held_out or steps or seed is not None or config or setting):
            raise typer.BadParameter("a resumed run keeps its settings; give --resume without other settings")
        from nwb_mivae import pipeline

        configuration = None
        if not resume:
            configuration = pipeline.PipelineConfiguration.given(config, setting or ())
            changes: dict[str, object] = {}
            if held_out:
                count = held_out[0] if len(held_out) == 1 and held_out[0].isdecimal() else None
                changes["split.held_out"] = held_out if count is None else int(count)
            if steps is not None:
                changes["training.steps"] = steps
            if seed is not None:
                changes |= {"training.seed": seed, "split.seed": seed}
            configuration = configuration.changed(changes)
        trained = pipeline.train(store, out, configuration=configuration, resume=resume, progress=terminal.progress)
        parameters = sum(parameter.numel() for parameter in trained.module.parameters())
        values = {
            "run": str(out),
            "trained_on": list(trained.split.train_sessions),
            "held_out": list(trained.split.held_out_sessions),
            "content_disjoint": trained.split.content_disjoint,
            "steps": trained.configuration.training.steps,
            "parameters": parameters,
        }
        terminal.result(
            values,
            f"Trained on {', '.join(trained.split.train_sessions)}; "
            f"held out: {', '.join(trained.split.held_out_sessions) or 'none'}. Next: nwb-mivae evaluate {typed(out)}",
        )
