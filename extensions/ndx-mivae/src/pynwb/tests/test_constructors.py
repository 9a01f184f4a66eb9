from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hdmf.backends.hdf5 import H5DataIO
from hdmf.common import DynamicTable, DynamicTableRegion, VectorData
from hdmf.data_utils import DataChunkIterator
from ndx_mivae import FORMS, SPACES, AlignmentMetricsTable, SubpopulationsTable, TrainingSessionsTable
from ndx_mivae.checks import region_problems
from ndx_mivae.dandi_asset import ASSET_PARTS, asset_address, asset_parts
from ndx_mivae.testing import (
    mock_AlignmentMetricsTable,
    mock_FunctionalFingerprints,
    mock_LatentSeries,
    mock_MIVAEAnnotation,
    mock_MIVAEModel,
    mock_PresentationLatents,
    mock_RoiAttributionSeries,
    mock_StimulusAttributionSeries,
    mock_Subpopulations,
    mock_SubpopulationsTable,
    mock_TrainingSessionsTable,
    mock_UnitAttributionSeries,
)
from pynwb.misc import Units
from pynwb.ophys import PlaneSegmentation
from pynwb.testing.mock.ophys import mock_PlaneSegmentation

pytestmark = pytest.mark.filterwarnings("ignore:The linked table for DynamicTableRegion")


def rows_of(table: DynamicTable | None, rows: list[int], name: str = "cells") -> DynamicTableRegion:
    return DynamicTableRegion(name=name, description="Some rows.", data=rows, table=table)


def plain_table(rows: int) -> DynamicTable:
    columns = [VectorData(name="quality", description="Quality.", data=["good"] * rows)]
    return DynamicTable(name="units", description="Units whose spike times lie elsewhere.", columns=columns)


def test_a_latent_series_keeps_what_it_is_given():
    model = mock_MIVAEModel()
    series = mock_LatentSeries(model=model, space="stimulus_private")
    assert series.data.shape == series.variance.shape == (90, 3)
    assert series.space == "stimulus_private"
    assert series.model is model
    assert series.unit == "a.u."


def test_a_variance_is_optional():
    assert mock_LatentSeries(variance=None).variance is None
    assert mock_PresentationLatents(variance=None).variance is None


@pytest.mark.parametrize("space", SPACES)
def test_the_four_spaces_are_known(space):
    assert mock_LatentSeries(space=space).space == space


def test_another_space_is_refused_and_the_four_are_named():
    with pytest.raises(ValueError, match=r"space is 'shared', but must be one of neural_shared"):
        mock_LatentSeries(space="shared")
    with pytest.raises(ValueError, match=r"target is 'cells', but must be one of neural_shared"):
        mock_StimulusAttributionSeries(target="cells")


@pytest.mark.parametrize("wrap", [np.asarray, list, lambda values: H5DataIO(values, compression="gzip")])
def test_a_variance_of_another_shape_is_refused(wrap):
    with pytest.raises(ValueError, match=r"variance has shape \(90, 2\), but the mean has shape \(90, 3\)"):
        mock_LatentSeries(variance=wrap(np.ones((90, 2))))


def test_a_negative_variance_is_refused():
    variance = np.ones((90, 3))
    variance[4, 1] = -0.1
    with pytest.raises(ValueError, match="variance has 1 negative values"):
        mock_LatentSeries(variance=H5DataIO(variance))


@pytest.mark.parametrize(
    ("data", "error"), [(np.zeros(90), "incorrect shape"), (np.zeros((90, 3, 1)), "incorrect shape")]
)
def test_latents_are_two_dimensional(data, error):
    with pytest.raises(ValueError, match=error):
        mock_LatentSeries(data=data)


def test_as_many_times_as_samples():
    with pytest.raises(ValueError, match="does not match length of timestamps"):
        mock_LatentSeries(timestamps=np.arange(5.0))


def test_presentation_latents_fit_their_rows_and_bins():
    with pytest.raises(ValueError, match="mean has 3 rows, but presentations has 4"):
        mock_PresentationLatents(mean=np.zeros((3, 2, 3)), variance=None)
    with pytest.raises(ValueError, match="mean has 2 bins, but there are 3 bin offsets"):
        mock_PresentationLatents(bin_offsets_in_seconds=[0.0, 0.1, 0.2])
    with pytest.raises(ValueError, match="bin_offsets_in_seconds do not increase"):
        mock_PresentationLatents(bin_offsets_in_seconds=[0.1, 0.0])
    with pytest.raises(ValueError, match="variance has shape"):
        mock_PresentationLatents(variance=np.zeros((4, 2, 2)))


def test_unknown_bins_are_no_negative_variances():
    assert np.isnan(mock_PresentationLatents().variance[1, 1]).all()


def test_cells_and_columns_are_as_many():
    with pytest.raises(ValueError, match="data has 4 columns, but units has 5 rows"):
        mock_UnitAttributionSeries(data=np.zeros((90, 4)), per_latent=None)
    with (
        pytest.warns(UserWarning, match="Your data may be transposed"),
        pytest.raises(ValueError, match="data has 4 columns, but rois has 5 rows"),
    ):
        mock_RoiAttributionSeries(data=np.zeros((90, 4)), per_latent=None)


def test_a_summary_per_latent_is_of_the_same_cells_or_pixels():
    with pytest.raises(ValueError, match=r"per_latent has shape \(3, 6, 4\), but data has shape \(90, 4, 6\)"):
        mock_StimulusAttributionSeries(per_latent=np.zeros((3, 6, 4)))


def test_settings_and_configuration_are_json():
    with pytest.raises(ValueError, match="settings is not JSON"):
        mock_UnitAttributionSeries(settings="seed: 0")
    with pytest.raises(ValueError, match=r"settings is not JSON .NaN is no JSON value"):
        mock_UnitAttributionSeries(settings='{"chance": NaN}')
    with pytest.raises(ValueError, match="config is not JSON"):
        mock_MIVAEModel(config="{")


@pytest.mark.parametrize("digest", ["", "abc", "A" * 64, "g" * 64])
def test_a_digest_is_a_digest(digest):
    with pytest.raises(ValueError, match="must be 64 lower-case hexadecimal digits"):
        mock_MIVAEModel(weights_sha256=digest)
    with pytest.raises(ValueError, match="must be 64 lower-case hexadecimal digits"):
        mock_MIVAEAnnotation(source_sha256=digest)


def test_context_is_not_negative():
    with pytest.raises(ValueError, match="context_clips is -1, but must be a finite number and not negative"):
        mock_MIVAEAnnotation(context_clips=-1)


def test_context_may_be_whole_minutes():
    assert mock_MIVAEAnnotation(context_in_minutes=1).context_in_minutes == 1


def test_a_model_may_have_no_known_training_sessions():
    assert len(mock_TrainingSessionsTable(rows=0)) == 0
    assert len(mock_MIVAEModel(training_sessions=mock_TrainingSessionsTable(rows=0)).training_sessions) == 0


def test_arguments_are_named():
    with pytest.raises(SyntaxError, match="Only keyword arguments"):
        type(mock_LatentSeries())("name", np.zeros((2, 2)), "neural_shared")


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mock", "argument"),
    [
        (mock_LatentSeries, "data"),
        (mock_LatentSeries, "variance"),
        (mock_PresentationLatents, "mean"),
        (mock_PresentationLatents, "variance"),
        (mock_UnitAttributionSeries, "data"),
        (mock_StimulusAttributionSeries, "per_latent"),
        (mock_FunctionalFingerprints, "data"),
    ],
)
def test_nan_says_there_is_no_value_and_infinity_is_refused(mock, argument):
    values = np.array(getattr(mock(), argument), dtype=np.float32)
    values[0, 0] = np.nan
    mock(**{argument: values})
    values[0, 0] = np.inf
    with pytest.raises(ValueError, match=rf"{argument} has \d+ infinite values; use NaN where there is none"):
        mock(**{argument: values})


@pytest.mark.parametrize("dtype", [np.float16, np.bool_, np.complex64])
@pytest.mark.parametrize("wrap", [np.asarray, H5DataIO])
def test_numbers_are_of_a_type_that_is_valid_in_a_file(wrap, dtype):
    """The schema's ``numeric`` is none of these: the file would be written and found invalid later."""
    said = f"is of type {np.dtype(dtype)}, but must be integers or floats of 32 or 64 bits"
    with pytest.raises(ValueError, match=f"data {said}"):
        mock_LatentSeries(data=wrap(np.ones((90, 3), dtype)))
    with pytest.raises(ValueError, match=f"variance {said}"):
        mock_PresentationLatents(variance=wrap(np.ones((4, 2, 3), dtype)))


@pytest.mark.parametrize("offsets", [np.array([3, 1], np.uint8), [1, 0]])
def test_offsets_of_any_integer_type_increase(offsets):
    with pytest.raises(ValueError, match="bin_offsets_in_seconds do not increase"):
        mock_PresentationLatents(bin_offsets_in_seconds=offsets)


def test_offsets_are_numbers():
    with pytest.raises(ValueError, match=r"bin_offsets_in_seconds are of type <U3, but must be numbers"):
        mock_PresentationLatents(bin_offsets_in_seconds=["0.0", "0.1"])


def chunks(*shape: int, **known) -> DataChunkIterator:
    """An array that is made while it is written, as one that does not fit in memory."""
    return DataChunkIterator(data=(np.zeros(shape[1:], np.float32) for _ in range(shape[0])), **known)


@pytest.mark.parametrize("known", [{}, {"maxshape": (None, None), "dtype": np.dtype(np.float32)}])
def test_lengths_not_known_before_writing_fit_any(known):
    mock_LatentSeries(data=chunks(90, 3, **known))
    mock_LatentSeries(variance=chunks(90, 3, **known))
    mock_RoiAttributionSeries(data=chunks(90, 5, **known))
    mock_UnitAttributionSeries(data=chunks(90, 5, **known))


def test_lengths_that_are_known_are_compared():
    with pytest.raises(ValueError, match=r"variance has shape \(None, 2\), but the mean has shape \(90, 3\)"):
        mock_LatentSeries(variance=chunks(90, 2))
    with pytest.raises(ValueError, match="data has 4 columns, but units has 5 rows"):
        mock_UnitAttributionSeries(data=chunks(90, 4), per_latent=None)


# --- regions --------------------------------------------------------------------------------------------------------

WITH_CELLS = [
    (mock_Subpopulations, "cells"),
    (mock_FunctionalFingerprints, "cells"),
    (mock_RoiAttributionSeries, "rois"),
    (mock_UnitAttributionSeries, "units"),
]


# Newer versions of hdmf refuse such a region before it gets here.
OUTSIDE = r"has rows .* has 6 rows|out of bounds"


@pytest.mark.parametrize("rows", [[2, 3, 4, 5, 6], [-1, 0, 1, 2, 3]])
@pytest.mark.parametrize(("mock", "argument"), WITH_CELLS)
def test_a_region_has_rows_of_its_table_only(mock, argument, rows):
    table = getattr(mock(), argument).table
    with pytest.raises((ValueError, IndexError), match=OUTSIDE):
        mock(**{argument: rows_of(table, rows, argument)})


def test_presentations_have_rows_of_their_table_only():
    table = mock_PresentationLatents().presentations.table
    with pytest.raises((ValueError, IndexError), match=OUTSIDE):
        mock_PresentationLatents(presentations=rows_of(table, [0, 1, 2, 9], "presentations"))


@pytest.mark.parametrize("wrap", [list, np.asarray])
@pytest.mark.parametrize(
    ("rows", "kind"), [([True, False, True, True, False], "bool"), ([0.0, 1.0, 2.5, 3.0, 4.0], "float64")]
)
@pytest.mark.parametrize(("mock", "argument"), WITH_CELLS)
def test_rows_of_a_region_are_numbered_and_not_masked(mock, argument, rows, kind, wrap):
    table = getattr(mock(), argument).table
    with pytest.raises(ValueError, match=f"{argument} is of type {kind}, but must be integers"):
        mock(**{argument: rows_of(table, wrap(rows), argument)})


def test_texts_are_no_rows_where_hdmf_does_not_refuse_them_before():
    region = SimpleNamespace(table=plain_table(3), data=["0", "1"])
    _, problem = region_problems("name", "cells", region)
    assert problem == "'name': cells is of type <U1, but must be integers"


def test_rows_of_presentations_are_numbered():
    table = mock_PresentationLatents().presentations.table
    with pytest.raises(ValueError, match="presentations is of type float64, but must be integers"):
        mock_PresentationLatents(presentations=rows_of(table, [0.0, 1.0, 2.0, 2.5], "presentations"))


@pytest.mark.parametrize(("mock", "argument"), WITH_CELLS)
def test_a_region_has_a_table(mock, argument):
    with pytest.raises(ValueError, match=rf"{argument} refers to no table"):
        mock(**{argument: rows_of(None, [0, 1, 2, 3, 4], argument)})


@pytest.mark.parametrize(("mock", "argument"), WITH_CELLS)
def test_cells_are_rows_of_a_table_of_cells(mock, argument):
    times = mock_PresentationLatents().presentations.table
    with pytest.raises(ValueError, match=rf"{argument} refers to a TimeIntervals, but must refer to "):
        mock(**{argument: rows_of(times, [0, 1, 2, 3, 4], argument)})


def test_rois_are_no_units_and_units_no_rois():
    segmentation = mock_PlaneSegmentation(n_rois=6)
    with pytest.raises(ValueError, match="units refers to a PlaneSegmentation, but must refer to Units"):
        mock_UnitAttributionSeries(units=rows_of(segmentation, [0, 1, 2, 3, 4], "units"))
    with pytest.raises(ValueError, match="rois refers to a DynamicTable, but must refer to PlaneSegmentation"):
        mock_RoiAttributionSeries(rois=rows_of(plain_table(6), [0, 1, 2, 3, 4], "rois"))


@pytest.mark.parametrize("mock", [mock_Subpopulations, mock_FunctionalFingerprints])
def test_cells_may_be_rois_units_or_rows_of_a_plain_table_of_units(mock):
    assert isinstance(mock().cells.table, PlaneSegmentation)
    units = mock_UnitAttributionSeries().units.table
    assert isinstance(mock(cells=rows_of(units, [0, 1, 2, 3, 4])).cells.table, Units)
    assert mock(cells=rows_of(plain_table(5), [0, 1, 2, 3, 4])).cells.table.colnames == ("quality",)


# --- subpopulations -------------------------------------------------------------------------------------------------


def test_subpopulations_keep_what_they_are_given():
    model, pixels = mock_MIVAEModel(), mock_StimulusAttributionSeries()
    groups = mock_Subpopulations(model=model, attribution=pixels)
    assert groups.model is model
    assert groups.attribution is pixels
    assert groups.table.colnames == ("profile", "n_cells", "stability")
    assert mock_Subpopulations(confidence=None, settings=None).confidence is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"subpopulation": [0, 1]}, "subpopulation has length 2, but cells has 5"),
        ({"subpopulation": [0, 0, 1, -1, 2]}, "values from -1 to 2, but must name one of the 2 rows of table"),
        ({"subpopulation": [0, 0, 1, -2, 1]}, "values from -2 to 1, but must name one of the 2 rows of table"),
        ({"subpopulation": [0.0, 0.5, 1.0, -1.0, 1.0]}, "subpopulation is of type float64, but must be integers"),
        ({"subpopulation": [*"00112"]}, "subpopulation is of type <U1, but must be integers"),
        ({"confidence": [True] * 5}, "confidence is of type bool, but must be integers or floats"),
        ({"confidence": np.zeros(5, np.float16)}, "confidence is of type float16, but must be integers or floats"),
        ({"confidence": np.zeros(4)}, "confidence has length 4, but cells has 5"),
        (
            {"confidence": [0.0, 0.1, 1.5, 0.2, 2.0]},
            "confidence has 2 values such as 1.5, but all must be from -1 to 1",
        ),
        ({"bin_offsets_in_seconds": [0.0, 0.1]}, "bin_offsets_in_seconds has length 2, but each profile has 4"),
        ({"bin_offsets_in_seconds": [0.0, 0.1, 0.1, 0.2]}, "bin_offsets_in_seconds do not increase"),
        ({"bin_offsets_in_seconds": [0.0, 0.1, np.nan, 0.2]}, "bin_offsets_in_seconds are not all finite"),
        ({"target": "cells"}, "target is 'cells', but must be one of neural_shared"),
        ({"settings": "seed: 0"}, "settings is not JSON"),
    ],
)
def test_subpopulations_fit_their_cells_and_table(fields, message):
    with pytest.raises(ValueError, match=message):
        mock_Subpopulations(**fields)


def test_there_may_be_no_subpopulation_at_all():
    table = mock_SubpopulationsTable(rows=0)
    assert len(mock_Subpopulations(table=table, subpopulation=[-1] * 5).table) == 0
    with pytest.raises(ValueError, match="must name one of the 0 rows"):
        mock_Subpopulations(table=table)


@pytest.mark.parametrize(
    ("profile", "n_cells", "message"),
    [
        ([1.0, 2.0], [3, 4], r"profile has shape \(2,\), but must be \(subpopulation, bin\)"),
        (np.zeros((2, 3)), [3, -4], "n_cells has 1 values such as -4, but all must be at least 0"),
        (np.zeros((2, 3)), [2.0, 2.5], "n_cells is of type float64, but must be integers"),
        (np.zeros((2, 3), np.float16), [3, 4], "profile is of type float16, but must be integers or floats"),
        ([[0.0, 1.0], [np.inf, 0.0]], [3, 4], "profile has 1 infinite values"),
    ],
)
def test_a_table_of_subpopulations_has_profiles_and_counts(profile, n_cells, message):
    columns = [
        VectorData(name="profile", description="Profile.", data=profile),
        VectorData(name="n_cells", description="Cells.", data=n_cells),
    ]
    with pytest.raises(ValueError, match=message):
        SubpopulationsTable(columns=columns)


def test_a_table_of_subpopulations_can_be_filled_row_by_row():
    table = SubpopulationsTable()
    table.add_row(profile=[0.0, 1.0], n_cells=4)
    table.add_row(profile=[1.0, 0.0], n_cells=2)
    assert table.to_dataframe().n_cells.tolist() == [4, 2]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"profile": [0.0, np.inf]}, "profile has 1 infinite values"),
        ({"profile": 0.5}, r"profile has shape \(1,\), but must be \(subpopulation, bin\)"),
        ({"profile": [0.0, 1.0, 2.0]}, "profile has length 3, but each profile before has 2"),
        ({"n_cells": 2.5}, "n_cells is of type float64, but must be integers"),
        ({"n_cells": -1}, "n_cells has 1 values such as -1"),
    ],
)
def test_a_row_of_subpopulations_is_checked(changed, message):
    table = SubpopulationsTable()
    table.add_row(profile=[0.0, 1.0], n_cells=4)
    with pytest.raises(ValueError, match=message):
        table.add_row({"profile": [1.0, 0.0], "n_cells": 2} | changed)
    assert len(table) == 1


# --- fingerprints ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data": np.zeros((4, 2, 3))}, "data has length 4, but cells has 5"),
        ({"data": np.zeros((5, 3, 3))}, "data has 3 lags, but there are 2 lags_in_seconds"),
        ({"data": np.zeros((5, 2))}, "incorrect shape"),
        ({"lags_in_seconds": [0.1, 0.0]}, "lags_in_seconds do not increase"),
        ({"settings": "{"}, "settings is not JSON"),
    ],
)
def test_fingerprints_fit_their_cells_and_lags(fields, message):
    with pytest.raises(ValueError, match=message):
        mock_FunctionalFingerprints(**fields)


# --- metrics --------------------------------------------------------------------------------------------------------

FIGURE = {
    "metric": "top1",
    "condition": "with_context",
    "is_control": False,
    "value": 0.5,
    "chance": 0.02,
    "n_clips": 50,
    "other_session": "",
    "held_out": True,
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"value": 1.2}, "value of top1 has 1 values such as 1.2, but all must be from 0 to 1"),
        (
            {"metric": "paired_r", "value": -1.2},
            "value of paired_r has 1 values such as -1.2, but all must be from -1 to 1",
        ),
        ({"chance": -0.1}, "chance of top1 has 1 values such as -0.1"),
        ({"n_clips": -1}, "n_clips has 1 values such as -1, but all must be at least 0"),
        ({"n_clips": 2.7}, "n_clips is of type float64, but must be integers"),
        ({"is_control": "False"}, "is_control is of type <U5, but must be booleans"),
        ({"held_out": 1}, "held_out is of type int64, but must be booleans"),
        ({"metric": "bits_per_clip", "value": np.inf}, "value has 1 infinite values; use NaN"),
        ({"metric": "bits_per_clip", "chance": -np.inf}, "chance has 1 infinite values; use NaN"),
        ({"value": np.float16(0.5)}, "value is of type float16"),
    ],
)
def test_figures_are_in_the_range_of_their_metric(changed, message):
    with pytest.raises(ValueError, match=message):
        AlignmentMetricsTable.of_rows([FIGURE, FIGURE | changed])
    table = AlignmentMetricsTable.of_rows([FIGURE])
    with pytest.raises(ValueError, match=message):
        table.add_row(**FIGURE | changed)
    assert len(table) == 1


def test_figures_may_be_unknown_and_of_any_other_metric():
    table = AlignmentMetricsTable.of_rows([FIGURE | {"value": np.nan, "chance": np.nan}])
    table.add_row(**FIGURE | {"metric": "bits_per_clip", "value": 7.5, "chance": np.nan})
    assert table.to_dataframe().metric.tolist() == ["top1", "bits_per_clip"]
    assert len(AlignmentMetricsTable.of_rows([])) == 0


def test_a_figure_given_as_one_mapping_is_checked():
    table = AlignmentMetricsTable.of_rows([FIGURE])
    with pytest.raises(ValueError, match="value of top1 has 1 values such as 7"):
        table.add_row(FIGURE | {"value": 7.0})
    table.add_row(FIGURE | {"value": 0.7})
    assert table["value"].data[:].tolist() == [0.5, 0.7]


def test_columns_of_ones_own_are_added_and_never_lost():
    with pytest.raises(ValueError, match=r"no column p_value; .* added to the table by add_column"):
        AlignmentMetricsTable.of_rows([FIGURE, FIGURE | {"p_value": 0.01}])
    table = AlignmentMetricsTable.of_rows([FIGURE])
    table.add_column(name="p_value", description="Of a permutation test.", data=[0.01])
    assert table.to_dataframe().p_value.tolist() == [0.01]


def test_a_figure_is_whole():
    with pytest.raises(KeyError, match="held_out"):
        AlignmentMetricsTable.of_rows([{name: value for name, value in FIGURE.items() if name != "held_out"}])
    with pytest.raises(ValueError, match="row 0': value is of type <U4, but must be integers or floats"):
        AlignmentMetricsTable.of_rows([FIGURE | {"value": "high"}])
    with pytest.raises(ValueError, match="settings is not JSON"):
        mock_AlignmentMetricsTable(settings="none")


# --- where files come from ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_the_three_forms_are_known(form):
    assert mock_MIVAEAnnotation(form=form).form == form


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"form": "sidecar"}, "form is 'sidecar', but must be one of copy, append, companion"),
        ({"created": "yesterday"}, "created is 'yesterday', but must be a date and time with offset from UTC"),
        ({"created": "2026-01-31T12:00:00"}, "must be a date and time with offset from UTC"),
        (
            {"source_dandiset_id": "728", "source_dandi_asset": None},
            "source_dandiset_id is '728', but must be six digits",
        ),
        ({"source_asset_path": "../a.nwb"}, "source_asset_path is '../a.nwb', but must be a path inside the dandiset"),
        ({"source_asset_path": "/a.nwb"}, "must be a path inside the dandiset"),
        ({"source_asset_path": "sub-1\\a.nwb"}, "must be a path inside the dandiset"),
        ({"source_dandiset_id": None}, "source_dandiset_version is given, but source_dandiset_id is not"),
        ({"context_in_minutes": float("inf")}, "context_in_minutes is inf, but must be a finite number"),
        (
            {"context_in_minutes": float("nan")},
            "context_in_minutes is nan, but must be a finite number",
        ),
    ],
)
def test_an_annotation_says_where_it_comes_from_in_known_words(fields, message):
    with pytest.raises(ValueError, match=message):
        mock_MIVAEAnnotation(**fields)


def test_an_annotation_need_not_say_where_it_comes_from():
    texts = [name for name in mock_MIVAEAnnotation().fields if name.startswith("source_")]
    annotation = mock_MIVAEAnnotation(**dict.fromkeys([*texts, "form", "code_version", "created"]))
    assert annotation.source_dandi_asset is None
    assert annotation.form is None
    # What is unknown may be given as empty, too, but is not written: the inspector takes it for a mistake.
    empty = mock_MIVAEAnnotation(**dict.fromkeys((f"source_{part}" for part in ASSET_PARTS), ""))
    assert empty.source_asset_path is None


PARTS = {
    "dandi_instance": "dandi",
    "dandiset_id": "000728",
    "dandiset_version": "0.240827.1809",
    "asset_path": "sub-1/sub-1_ophys.nwb",
    "asset_id": "b2f0-1",
}


@pytest.mark.parametrize(
    ("changed", "address"),
    [
        ({}, "dandi://000728@0.240827.1809/sub-1/sub-1_ophys.nwb#asset=b2f0-1"),
        ({"dandi_instance": "linc"}, "dandi://linc/000728@0.240827.1809/sub-1/sub-1_ophys.nwb#asset=b2f0-1"),
        (
            {"dandi_instance": "http://127.0.0.1:8000/api"},
            "dandi+http://127.0.0.1:8000/api/000728@0.240827.1809/sub-1/sub-1_ophys.nwb#asset=b2f0-1",
        ),
        ({"dandi_instance": "", "dandiset_version": "", "asset_id": ""}, "dandi://000728/sub-1/sub-1_ophys.nwb"),
        (dict.fromkeys(PARTS, ""), ""),
    ],
)
def test_parts_and_address_say_the_same(changed, address):
    parts = PARTS | changed
    assert asset_address(parts) == address
    assert asset_parts(address) == parts
    table = TrainingSessionsTable.of_rows([parts, {"dandi_asset": address}])
    for name in ASSET_PARTS:
        assert table[name].data == [parts[name]] * 2
    assert table["dandi_asset"].data == [address] * 2


def test_an_asset_known_in_other_words_is_kept_as_it_is():
    table = TrainingSessionsTable.of_rows([{"dandi_asset": "dandiset 728, first mouse"}])
    assert table["dandi_asset"].data == ["dandiset 728, first mouse"]
    assert table["dandiset_id"].data == [""]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"sha256": "abc"}, "'training_sessions, row 1': sha256 is 'abc', but must be 64 lower-case"),
        ({"dandiset_id": "728"}, "row 1': dandiset_id is '728', but must be six digits"),
        ({"asset_path": "a.nwb"}, "row 1': asset_path is given, but dandiset_id is not"),
        ({"dandi_assets": ""}, "no column dandi_assets; the columns are identifier, "),
        (PARTS | {"dandi_asset": "dandi://000003"}, "row 1': dandi_asset is 'dandi://000003', but the parts given say"),
    ],
)
def test_a_training_session_is_named_in_known_words(row, message):
    with pytest.raises(ValueError, match=message):
        TrainingSessionsTable.of_rows([{}, row])


@pytest.mark.parametrize("start", [[], [{"identifier": "a"}]])
def test_a_training_session_that_is_added_is_filled_in_and_checked(start):
    table = TrainingSessionsTable.of_rows(start) if start else TrainingSessionsTable()
    table.add_row(identifier="session 1", **PARTS)
    table.add_row({"identifier": "session 2", "dandi_asset": asset_address(PARTS)})
    rows = table.to_dataframe().iloc[-2:]
    assert rows["identifier"].tolist() == ["session 1", "session 2"]
    for name, text in {**PARTS, "dandi_asset": asset_address(PARTS), "sha256": ""}.items():
        assert rows[name].tolist() == [text] * 2
    for row, message in (({"sha256": "abc"}, "sha256 is 'abc'"), ({"dandiset_id": "728"}, "must be six digits")):
        with pytest.raises(ValueError, match=f"row {len(table)}': .*{message}"):
            table.add_row(**row)
    assert len(table) == len(start) + 2
