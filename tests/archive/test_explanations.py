from __future__ import annotations

import inspect
import re

import nwbinspector
import pytest
from hdmf.validate import errors

from nwb_mivae.archive import ValidationFinding, explain
from nwb_mivae.archive.explanations import explanations


def test_every_check_of_the_inspector_is_explained() -> None:
    checks = {f"NWBI.{check.__name__}" for check in nwbinspector.available_checks}
    explained = {check for check in explanations() if check.startswith("NWBI.check_")}

    assert len(checks) >= 85
    assert explained == checks


def test_every_error_of_the_validator_is_explained() -> None:
    kinds = {
        f"pynwb.{kind.__name__}"
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.Error) and kind is not errors.Error
    }

    assert kinds <= set(explanations())


def test_every_rule_of_dandi_for_names_and_zarr_is_explained() -> None:
    import dandi.files.zarr
    import dandi.organize

    of_names = inspect.getsource(dandi.organize.validate_organized_path)
    of_zarr = inspect.getsource(dandi.files.zarr)
    rules = set(re.findall(r'id="([\w.]+)"', of_names + of_zarr))

    assert {"DANDI.NON_DANDI_FILENAME", "zarr.cannot_open"} <= rules
    assert rules <= set(explanations())


@pytest.mark.parametrize("check", sorted(explanations()))
def test_an_explanation_is_a_clause_and_an_imperative(check: str) -> None:
    known = explanations()[check]

    assert set(known) <= {"means", "do", "ours"}
    assert {"means", "do"} <= set(known)
    for text in known.values():
        assert text.strip() == text
        assert not text.endswith(".") or text.endswith(" M.")
        assert text[0].islower() or text.startswith(("XO", "P90"))
        assert len(text) < 200


def test_a_finding_becomes_one_sentence() -> None:
    (found,) = explain(
        [ValidationFinding("error", "NWBI.check_subject_sex", "Subject.sex is missing.", "general/subject")]
    )

    assert found.sentence.startswith("The sex of the animal is missing")
    assert "(comes from the recording; blocks the upload): write M, F" in found.sentence
    assert found.blocks_upload
    assert found.as_dict()["objects"] == ["general/subject"]


def test_what_we_caused_is_ours_to_mend_or_said_to_be_meant() -> None:
    unit, name = explain(
        [
            ValidationFinding("warning", "NWBI.check_missing_unit", "no unit", "processing/mivae/a", "annotation"),
            ValidationFinding("hint", "NWBI.check_processing_module_name", "name", "processing/mivae", "annotation"),
        ]
    )

    assert "written by nwb_mivae; does not block the upload): this is a bug of nwb_mivae" in unit.sentence
    assert ": nothing, results of a model stand in a module of their own" in name.sentence


def test_findings_alike_are_one_with_a_count_and_the_worst_comes_first() -> None:
    missing = [
        ValidationFinding("hint", "NWBI.check_description", f"Description {text} is missing.", f"units/{place}")
        for text, place in (("x", "a"), ("x", "b"), ("y", "b"))
    ]
    ours = ValidationFinding(
        "hint", "NWBI.check_description", "Description is missing.", "processing/mivae", "annotation"
    )
    worse = ValidationFinding("error", "NWBI.check_subject_exists", "Subject is missing.")

    first, of_source, of_ours = explain([*missing, ours, worse])

    assert first.check == "NWBI.check_subject_exists"
    assert first.object_paths == ()
    assert of_source.count == 3
    assert of_source.object_paths == ("units/a", "units/b")
    assert len(of_source.messages) == 2
    assert of_ours.count == 1


def test_a_check_nobody_explained_is_told_in_its_own_words() -> None:
    (found,) = explain([ValidationFinding("warning", "NWBI.check_of_tomorrow", "The moon is full.", "units")])

    assert found.sentence.startswith("The check NWBI.check_of_tomorrow says: The moon is full (comes")
