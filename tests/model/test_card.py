"""The model card: what hubs and people read, from what is recorded and from nothing else."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import pytest
import yaml

from nwb_mivae.errors import ModelError
from nwb_mivae.model import save_module, weights_digest, write_card
from nwb_mivae.provenance import package_version, provenance_record
from tests.tiny_model import tiny_module

_FIGURES = {
    "top1": 0.41,
    "top5": 0.82,
    "chance": 0.01,
    "ratio_to_chance": 41.0,
    "paired_r": 0.512,
    "unpaired_r": 0.3,
    "centred_r": None,
    "sessions": 2,
}
_SUMMARY = {
    "held_out": {"with_context": _FIGURES, "shuffled_pairs": _FIGURES | {"top1": 0.012}},
    "trained": None,
    "across": {"held_out": None, "trained": None},
    "verdicts": ["On 2 sessions of animals held out, the clip shown is found in 41.0 % of lookups."],
}


def _provenance(**more: Any) -> dict[str, Any]:
    return provenance_record(
        train_subjects=["mouse_1", "mouse-2"],
        split={"train_sessions": ["a", "b", "c"], "held_out_sessions": ["d"]},
        train_files=[
            {"file_name": "one.nwb", "asset": "dandi://000728@0.240827.1809/sub-1/one.nwb#asset=3f-2"},
            {"file_name": "two.nwb", "asset": "dandi://000728@0.240827.1809/sub-2/two.nwb#asset=3f-3"},
            {"file_name": "three.nwb", "asset": "dandi+https://elsewhere.example/api/000021@draft/three.nwb"},
            {"file_name": "four.nwb", "asset": ""},
        ],
        **more,
    )


def _saved(folder: Path, **more: Any) -> str:
    save_module(tiny_module(), folder, provenance=_provenance(**more))
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_header_is_what_hubs_read_and_invents_no_licence(tmp_path: Path) -> None:
    _, header, body = _saved(tmp_path / "model").split("---\n", 2)
    fields = yaml.safe_load(header)
    assert fields["library_name"] == "nwb-mivae"
    assert {"neuroscience", "calcium-imaging"} <= set(fields["tags"])
    assert "license" not in fields
    assert "None is stated" in body


def test_it_says_what_the_model_is_and_what_it_was_trained_on(tmp_path: Path) -> None:
    card = _saved(tmp_path / "model")
    for said in (
        "12 x 16 pixels",
        "30 frames per second",
        "8 frames",
        "dF/F",
        "4 shared by activity and stimulus, 3 of activity alone, 5 of the stimulus alone",
        f"{sum(parameter.numel() for parameter in tiny_module().parameters()):,}",
        "2 animals in 3 sessions: `mouse_1`, `mouse-2`.",
        "[DANDI:000728/0.240827.1809](https://dandiarchive.org/dandiset/000728/0.240827.1809)",
        "dandiset 000021, version draft, of another archive",
        "Not known to be in the DANDI archive: 1 file.",
        "Held out of training: 1 session of other animals.",
        "No figures are recorded.",
        f"nwb_mivae {package_version()}",
        weights_digest(tmp_path / "model"),
    ):
        assert said in card, said
    assert "Not recorded." not in card
    save_module(tiny_module(), tmp_path / "bare")
    assert "Not recorded." in (tmp_path / "bare" / "README.md").read_text()


def test_nothing_of_the_machine_is_in_it(tmp_path: Path) -> None:
    card = _saved(
        tmp_path / "model",
        command=["nwb-mivae", "train", "/srv/somebody/store"],
        platform=platform.platform(),
        hostname="machine-7",
        user="somebody",
    )
    for secret in ("/srv", "somebody", "machine-7", platform.platform(), platform.node(), str(tmp_path), "elsewhere"):
        assert secret not in card


def test_how_to_load_is_four_lines_that_are_python_and_name_this_models_frames(tmp_path: Path) -> None:
    code = _saved(tmp_path / "model").split("```python\n")[1].split("```")[0]
    assert len(code.splitlines()) == 4
    compile(code, "card", "exec")
    assert "height=12, width=16" in code


def test_figures_stand_beside_chance_and_controls(tmp_path: Path) -> None:
    _saved(tmp_path / "model")
    path = write_card(tmp_path / "model", evaluation=_SUMMARY)
    card = path.read_text()
    assert "No figures" not in card
    assert "| held out of training | the model | 2 | 41.0 % | 1.0 % | 82.0 % | 0.512 | 0.300 | undefined |" in card
    assert "| held out of training | control: shuffled pairs | 2 | 1.2 % | 1.0 % |" in card
    assert "- On 2 sessions of animals held out, the clip shown is found in 41.0 % of lookups." in card
    assert "No figures are recorded." in write_card(tmp_path / "model").read_text()


def test_what_somebody_wrote_around_it_stays_and_the_rest_is_never_doubled(tmp_path: Path) -> None:
    card = _saved(tmp_path / "model")
    path = tmp_path / "model" / "README.md"
    mine = card.replace("tags:", "license: cc-by-4.0\ntags:").replace("None is stated.", "CC BY 4.0, Anna Müller.")
    path.write_text(mine, encoding="utf-8")
    write_card(tmp_path / "model", evaluation=_SUMMARY)
    write_card(tmp_path / "model")
    assert path.read_text(encoding="utf-8") == mine
    path.write_text("# A card of my own\n")
    write_card(tmp_path / "model", evaluation=_SUMMARY)
    assert path.read_text() == "# A card of my own\n"


def test_texts_of_others_have_no_meaning_in_markdown(tmp_path: Path) -> None:
    save_module(
        tiny_module(),
        tmp_path / "model",
        provenance={"train_subjects": ["a`b\n# <script>", "\ud800"], "python": "[3](http://x.example)"},
    )
    write_card(tmp_path / "model", evaluation=_SUMMARY | {"verdicts": ["<img src=x> | *sure*"]})
    card = (tmp_path / "model" / "README.md").read_text()
    assert "`a'b # <script>`" in card
    assert "\\[3\\](http" in card
    assert "\\<img src=x\\> \\| \\*sure\\*" in card


@pytest.mark.parametrize(
    "evaluation",
    [
        {},
        _SUMMARY | {"held_out": {"with_context": {"top1": 1}}},
        _SUMMARY | {"held_out": [1]},
        _SUMMARY | {"held_out": {"with_context": _FIGURES | {"top1": "all"}}},
        _SUMMARY | {"verdicts": "a text"},
    ],
)
def test_what_is_no_evaluation_is_refused_and_the_card_stays(tmp_path: Path, evaluation: dict[str, Any]) -> None:
    card = _saved(tmp_path / "model")
    with pytest.raises(ModelError, match="no card"):
        write_card(tmp_path / "model", evaluation=evaluation)
    assert (tmp_path / "model" / "README.md").read_text() == card
    assert len(list((tmp_path / "model").iterdir())) == 3


@pytest.mark.parametrize(
    "provenance", [{"train_subjects": 3}, {"train_subjects": ["a"], "split": []}, {"packages": "torch"}]
)
def test_odd_provenance_is_refused(tmp_path: Path, provenance: dict[str, Any]) -> None:
    save_module(tiny_module(), tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"provenance": provenance}))
    with pytest.raises(ModelError, match="a provenance"):
        write_card(tmp_path / "model")


def test_a_folder_without_a_model_has_no_card(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no trained model"):
        write_card(tmp_path)
    assert list(tmp_path.iterdir()) == []
