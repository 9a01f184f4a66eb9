"""``nwb-mivae attribute``."""

from __future__ import annotations

from nwb_mivae.cli.options import RunArgument, SeedOption, SessionsOption, SettingsOption, StoreOption
from nwb_mivae.cli.terminal import JsonOption, QuietOption, Terminal, typed

__all__ = ["attribute"]


def attribute(
    run: RunArgument,
    session: SessionsOption = None,
    store: StoreOption = None,
    seed: SeedOption = 0,
    setting: SettingsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find the neurons and pixels behind latents.

    Latents are traced back to what they came from by two methods: the cross-modal score (signed) and the Fisher score
    (how strongly, without sign), frame by frame, on clips kept out of training.

    \b
    Examples:
        nwb-mivae attribute run
        nwb-mivae attribute run --session sub-5_ses-1 --set attribution.clips=64
    """
    with Terminal(as_json=as_json, quiet=quiet) as terminal:
        from nwb_mivae import pipeline

        results = pipeline.attribute(
            run, store=store, sessions=session, settings=setting or (), seed=seed, progress=terminal.progress
        )
        values = {
            "attribution": {
                key: {"frames": len(each.time), "methods": list(each.methods), "settings": dict(each.settings)}
                for key, each in results.items()
            }
        }
        lines = [f"{key}: {len(each.time)} frames, {' and '.join(each.methods)}" for key, each in results.items()]
        terminal.result(values, "\n".join([*lines, f"Next: nwb-mivae annotate {typed(run)}"]))
