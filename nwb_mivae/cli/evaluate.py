"""``nwb-mivae evaluate``."""

from __future__ import annotations

from nwb_mivae.cli.options import RunArgument, SeedOption, SettingsOption, StoreOption
from nwb_mivae.cli.terminal import JsonOption, QuietOption, Terminal, typed

__all__ = ["evaluate"]


def evaluate(
    run: RunArgument,
    store: StoreOption = None,
    seed: SeedOption = 0,
    setting: SettingsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Test the model on animals it never saw.

    And on stimuli it never saw. The headline is retrieval: from an animal's neural activity alone, which of the test
    clips was on the screen? Each figure comes with what knowing nothing would give (chance) and with controls: an
    untrained model, shuffled pairs, permuted neurons. The latents of every session are computed too.

    \b
    Example:
        nwb-mivae evaluate run
    """
    with Terminal(as_json=as_json, quiet=quiet) as terminal:
        from nwb_mivae import pipeline

        result = pipeline.evaluate(run, store=store, settings=setting or (), seed=seed, progress=terminal.progress)
        verdicts = [str(sentence) for sentence in result.summary["verdicts"]]
        terminal.result(
            result.as_dict(),
            "\n".join([*verdicts, f"All figures: {run}/evaluation.json. Next: nwb-mivae report {typed(run)}"]),
        )
