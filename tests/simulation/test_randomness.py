from __future__ import annotations

from nwb_mivae.simulation.randomness import Use, generator


def test_one_stream_for_every_use_and_number() -> None:
    draws = {
        (seed, use, numbers): generator(seed, use, *numbers).integers(2**62)
        for seed in (0, 1)
        for use in Use
        for numbers in ((0,), (1,), (0, 0), (0, 1), (1, 0))
    }
    assert len(set(draws.values())) == len(draws)


def test_a_stream_starts_anew_each_time() -> None:
    assert generator(4, Use.SPIKES, 2).random() == generator(4, Use.SPIKES, 2).random()
