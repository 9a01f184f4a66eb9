from __future__ import annotations

import json
from pathlib import Path

import pytest

from nwb_mivae.errors import EvaluationError
from nwb_mivae.evaluation import ConditionMetrics, Evaluation, SessionEvaluation


def evaluation() -> Evaluation:
    figures = ConditionMetrics(
        top1=0.5, top5=1.0, chance=0.1, n_clips=10, paired_r=0.3, unpaired_r=None, centred_r=-0.1
    )
    session = SessionEvaluation(held_out=True, subject="mouse", n_cells=5, conditions={"with_context": figures})
    return Evaluation(
        chance=0.1,
        n_clips=10,
        content_disjoint=True,
        sessions={"a": session},
        across=[],
        similarity={"a": [[1.0, 0.0], [0.0, 1.0]]},
        active_units={"neural_shared": 3},
        summary={"verdicts": ["It works."]},
        settings={"seed": 0},
        weights_sha256="ab" * 32,
    )


def test_what_is_saved_is_read_back_equal_and_is_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    evaluation().save(path)
    assert Evaluation.load(path) == evaluation()
    assert json.loads(path.read_text())["sessions"]["a"]["conditions"]["with_context"]["unpaired_r"] is None


def test_one_of_before_it_said_of_which_weights_it_is_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    values = evaluation().as_dict()
    del values["weights_sha256"]
    path.write_text(json.dumps(values))
    assert Evaluation.load(path).weights_sha256 == ""


@pytest.mark.parametrize("text", ["not json", "[]", '{"chance": 0.1}'])
def test_a_file_that_is_no_evaluation_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(text)
    with pytest.raises(EvaluationError) as refused:
        Evaluation.load(path)
    assert refused.value.file == str(path)
    assert refused.value.remedy


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"evaluation\.json"):
        Evaluation.load(tmp_path / "evaluation.json")
