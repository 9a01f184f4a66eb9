from __future__ import annotations

import numpy as np
import pytest

from nwb_mivae.simulation.behaviour import Behaviour, draw_behaviour


@pytest.fixture(scope="module")
def behaviour() -> Behaviour:
    return draw_behaviour(600.0, np.random.default_rng(0))


def test_the_animal_runs_and_rests(behaviour: Behaviour) -> None:
    running = behaviour.factors[:, 0]
    assert running.min() >= 0.0
    assert 0.1 < (running > 0.3).mean() < 0.8
    assert (running < 0.05).mean() > 0.1


def test_arousal_follows_running_and_the_network_does_not(behaviour: Behaviour) -> None:
    running, arousal, network = behaviour.factors.T
    assert np.corrcoef(running, arousal)[0, 1] > 0.3
    assert abs(np.corrcoef(running, network)[0, 1]) < 0.25
    np.testing.assert_allclose([arousal.std(), network.std()], 1.0)


def test_measurements_follow_their_factor_in_their_unit(behaviour: Behaviour) -> None:
    time = np.arange(1.0, 599.0, 0.021)
    random = np.random.default_rng(1)
    factors = behaviour.factors_at(time)
    speed = behaviour.running_speed(time, random)
    pupil = behaviour.pupil_diameter(time, random)
    assert np.corrcoef(speed, factors[:, 0])[0, 1] > 0.95
    assert 5.0 < np.percentile(speed, 95) < 60.0
    assert np.corrcoef(pupil, factors[:, 1])[0, 1] > 0.9
    assert 0.3 < pupil.min() < pupil.max() < 2.6
