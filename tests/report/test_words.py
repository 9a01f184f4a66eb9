from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nwb_mivae.report.words import doubts, headline, short_names, what_was_trained


def store(**cells: int) -> Any:
    return SimpleNamespace(
        frame_rate=30.0,
        sessions={
            key: SimpleNamespace(subject=f"animal {key[0]}", n_cells=n, valid=np.ones(1800, bool))
            for key, n in cells.items()
        },
    )


def split(trained: list[str], held_out: list[str], *, disjoint: bool = True) -> Any:
    return SimpleNamespace(train_sessions=trained, held_out_sessions=held_out, content_disjoint=disjoint)


def evaluation(top1: float | None, untrained: float = 0.05, *, closed_form: float = 0.01, n_clips: int = 100) -> Any:
    controls = {"untrained_readout": closed_form, "shuffled_pairs": 0.01, "permuted_neurons": 0.01}
    others = {name: {"top1": value, "chance": 0.01, "sessions": 1} for name, value in controls.items()}
    held_out = {
        "with_context": {"top1": top1, "chance": 0.01, "sessions": 1},
        "untrained": {"top1": untrained, "chance": 0.01, "sessions": 1},
        **others,
    }
    return SimpleNamespace(n_clips=n_clips, summary={"held_out": held_out})


def test_animals_are_named_and_sessions_only_where_one_animal_has_several():
    assert short_names(store(a=1, b1=1, b2=1)) == {"a": "animal a", "b1": "b1", "b2": "b2"}


def test_what_was_trained_counts_animals_cells_minutes_and_steps():
    first, second = what_was_trained(store(a=10, b=20, c=30), split(["a", "b"], ["c"]), {"step": [1.0, 50.0]})
    assert "2 sessions of 2 animals (30 cells, 2.0 valid minutes in all), for 50 steps." in first
    assert "1 session of 1 animal" in second
    assert "animal c" in second
    assert "No animal was kept out" in what_was_trained(store(a=10), split(["a"], []), {})[1]


@pytest.mark.parametrize(
    ("result", "kind", "words"),
    [
        (evaluation(0.5), "good", "It works on animals it never saw: "),
        (evaluation(0.02), "doubt", "does not work"),
        (evaluation(0.5, untrained=0.6), "doubt", "does not work"),
        (evaluation(0.9, closed_form=0.95), "good", "and the closed form alone does: "),
        (evaluation(0.9, closed_form=0.95), "good", "over the same context, finds 95.0 %"),
        (evaluation(0.5, n_clips=1), "good", "50.0 %"),
        (evaluation(None), "doubt", "cannot be said"),
        (SimpleNamespace(summary={"held_out": None}), "doubt", "cannot be said"),
    ],
)
def test_the_headline_says_whether_it_works(result: Any, kind: str, words: str):
    found, sentence = headline(result)
    assert found == kind
    assert words in sentence


def test_doubts_name_what_the_figures_rest_on():
    found = " ".join(doubts(store(a=10, b=200), split(["a"], [], disjoint=False), evaluation(0.5, 0.3, n_clips=5)))
    for words in (
        "presentations, not stimulus content",
        "No animal was held out",
        "Only 1 animal to train on",
        "Fewer than 50 cells in animal a:",
        "no subpopulations can be claimed from their attribution",
        "control 'untrained' reaches 30.0 %",
        "Only 5 test clips",
        "one seed",
    ):
        assert words in found


def test_it_is_said_where_training_added_nothing_to_the_closed_form():
    sessions, parts = store(a=100, b=100, c=100, d=100), split(["a", "b", "c"], ["d"])
    assert "Training added nothing" in " ".join(doubts(sessions, parts, evaluation(0.9, 0.01, closed_form=0.95)))
    assert "Training added nothing" not in " ".join(doubts(sessions, parts, evaluation(0.9, 0.01, closed_form=0.5)))


def test_a_good_run_keeps_only_the_doubt_about_its_seed():
    sessions = store(a=100, b=100, c=100, d=100)
    assert len(doubts(sessions, split(["a", "b", "c"], ["d"]), evaluation(0.5, 0.01))) == 1
    assert len(doubts(sessions, split(["a", "b", "c"], ["d"]), None)) == 1
