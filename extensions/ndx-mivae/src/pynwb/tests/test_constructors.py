from __future__ import annotations

import numpy as np
import pytest
from hdmf.backends.hdf5 import H5DataIO
from ndx_mivae import SPACES
from ndx_mivae.testing import (
    mock_LatentSeries,
    mock_MIVAEAnnotation,
    mock_MIVAEModel,
    mock_PresentationLatents,
    mock_RoiAttributionSeries,
    mock_StimulusAttributionSeries,
    mock_TrainingSessionsTable,
    mock_UnitAttributionSeries,
)

pytestmark = pytest.mark.filterwarnings("ignore:The linked table for DynamicTableRegion")


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
    with pytest.raises(ValueError, match="config is not JSON"):
        mock_MIVAEModel(config="{")


@pytest.mark.parametrize("digest", ["", "abc", "A" * 64, "g" * 64])
def test_a_digest_is_a_digest(digest):
    with pytest.raises(ValueError, match="must be 64 lower-case hexadecimal digits"):
        mock_MIVAEModel(weights_sha256=digest)
    with pytest.raises(ValueError, match="must be 64 lower-case hexadecimal digits"):
        mock_MIVAEAnnotation(source_sha256=digest)


def test_context_is_not_negative():
    with pytest.raises(ValueError, match="context_clips is -1, but cannot be negative"):
        mock_MIVAEAnnotation(context_clips=-1)


def test_a_model_may_have_no_known_training_sessions():
    assert len(mock_TrainingSessionsTable(rows=0)) == 0
    assert len(mock_MIVAEModel(training_sessions=mock_TrainingSessionsTable(rows=0)).training_sessions) == 0


def test_arguments_are_named():
    with pytest.raises(SyntaxError, match="Only keyword arguments"):
        type(mock_LatentSeries())("name", np.zeros((2, 2)), "neural_shared")
