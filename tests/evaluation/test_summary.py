from __future__ import annotations

from nwb_mivae.evaluation.result import CONDITIONS, ConditionMetrics, SessionEvaluation
from nwb_mivae.evaluation.summary import summarise


def session(top1: float, n_clips: int, *, held_out: bool = True) -> SessionEvaluation:
    figures = ConditionMetrics(
        top1=top1, top5=1.0, chance=1 / n_clips, n_clips=n_clips, paired_r=0.9, unpaired_r=0.8, centred_r=0.1
    )
    return SessionEvaluation(
        held_out=held_out, subject="a", n_cells=9, conditions={name: figures.copy() for name in CONDITIONS}
    )


def verdict(top1: float, n_clips: int, sessions: int = 1) -> str:
    group = {str(number): session(top1, n_clips) for number in range(sessions)}
    sentence: str = summarise(group, [], content_disjoint=True, left_out=[])["verdicts"][0]
    return sentence


def test_above_chance_is_a_matter_of_how_many_different_clips_there_are() -> None:
    assert verdict(0.2, 10).endswith("at chance.")
    assert verdict(0.3, 10).endswith("above chance.")
    assert verdict(0.2, 10, sessions=5).endswith("above chance.")
    assert verdict(0.02, 100).endswith("at chance.")
    assert verdict(0.05, 100).endswith("above chance.")


def test_a_group_without_sessions_and_sessions_left_out_are_named() -> None:
    summary = summarise({"0": session(0.3, 10)}, [], content_disjoint=False, left_out=["short"])
    assert summary["trained"] is None
    sentences = " ".join(summary["verdicts"])
    assert "No session of an animal trained on" in sentences
    assert "say nothing about new stimuli" in sentences
    assert "short" in sentences
