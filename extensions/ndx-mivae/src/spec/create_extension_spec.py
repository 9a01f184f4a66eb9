"""Write the specification of ndx-mivae to ``spec/``; those files are generated and never edited by hand.

Run ``python src/spec/create_extension_spec.py`` after a change here and commit both.
"""

from __future__ import annotations

from pathlib import Path

from pynwb.spec import (
    NWBAttributeSpec,
    NWBDatasetSpec,
    NWBGroupSpec,
    NWBLinkSpec,
    NWBNamespaceBuilder,
    export_spec,
)

SPEC = Path(__file__).resolve().parents[2] / "spec"
SPACES = "'neural_shared', 'neural_private', 'stimulus_shared' or 'stimulus_private'"


def model_link() -> NWBLinkSpec:
    """The link by which every result names the model it came from."""
    return NWBLinkSpec(
        name="model", target_type="MIVAEModel", quantity="?", doc="Link to the model that gave these values."
    )


def space_attribute() -> NWBAttributeSpec:
    """The attribute that says which of the four latent blocks values belong to."""
    return NWBAttributeSpec(name="space", dtype="text", doc=f"Latent space the values lie in: {SPACES}.")


def attribution_attributes() -> list[NWBAttributeSpec]:
    """What is needed to read an attribution, whatever it is an attribution to."""
    return [
        NWBAttributeSpec(
            name="method",
            dtype="text",
            doc="Method, for example 'score' (the gradient of the log posterior with respect to its input, evaluated "
            "at the estimate of the other modality) or 'fisher' (the root mean square of that gradient over the "
            "posterior).",
        ),
        NWBAttributeSpec(
            name="target", dtype="text", doc=f"Latent space whose posterior is traced back to its input: {SPACES}."
        ),
        NWBAttributeSpec(
            name="baseline",
            dtype="text",
            required=False,
            doc="What the attribution is relative to: the point the posterior was evaluated at ('score'), or the "
            "reference input of methods that have one.",
        ),
        NWBAttributeSpec(
            name="settings",
            dtype="text",
            required=False,
            doc="Settings of the method, such as seed, number of clips and number of random probes, as JSON.",
        ),
    ]


def types() -> list[NWBGroupSpec]:
    """Every type of the extension, each after those it needs."""
    training_sessions = NWBGroupSpec(
        neurodata_type_def="TrainingSessionsTable",
        neurodata_type_inc="DynamicTable",
        doc="The sessions a model was trained on, one row each; texts are empty where unknown.",
        datasets=[
            NWBDatasetSpec(name=name, neurodata_type_inc="VectorData", dtype="text", doc=doc)
            for name, doc in (
                ("identifier", "NWBFile.identifier of the session."),
                ("source_object_id", "Object id of the session's NWBFile."),
                ("subject_id", "Identifier of the subject."),
                ("file_name", "Name of the NWB file, without folders."),
                ("sha256", "SHA-256 digest of the NWB file, hexadecimal."),
                ("dandi_asset", "DANDI asset: dandiset, version and asset path or address."),
            )
        ],
    )
    model = NWBGroupSpec(
        neurodata_type_def="MIVAEModel",
        neurodata_type_inc="NWBContainer",
        doc="A trained multi-modal identifiable variational autoencoder: which code, weights, configuration and "
        "training data the results in this file came from. The weights themselves are not stored.",
        attributes=[
            NWBAttributeSpec(name="model_name", dtype="text", doc="Name of the model, for example 'miVAE'."),
            NWBAttributeSpec(name="code_version", dtype="text", doc="Version of the software that trained the model."),
            NWBAttributeSpec(
                name="weights_sha256", dtype="text", doc="SHA-256 digest of the weights' file, 64 hexadecimal digits."
            ),
        ],
        datasets=[
            NWBDatasetSpec(
                name="config",
                dtype="text",
                doc="Configuration the model can be rebuilt from, as JSON. A dataset, because HDF5 limits attributes "
                "to 64 KB.",
            )
        ],
        groups=[
            NWBGroupSpec(
                name="training_sessions",
                neurodata_type_inc="TrainingSessionsTable",
                doc="The sessions the model was trained on.",
            )
        ],
    )
    annotation = NWBGroupSpec(
        neurodata_type_def="MIVAEAnnotation",
        neurodata_type_inc="LabMetaData",
        doc="How the results in this file came about: the file they were added to, the model, and how much of this "
        "animal's own recording the model was shown as context (no gradient step was taken on it).",
        attributes=[
            NWBAttributeSpec(
                name="source_file_name", dtype="text", required=False, doc="Name of the source file, without folders."
            ),
            NWBAttributeSpec(
                name="source_sha256",
                dtype="text",
                required=False,
                doc="SHA-256 digest of the source file, 64 hexadecimal digits.",
            ),
            NWBAttributeSpec(
                name="source_object_id", dtype="text", required=False, doc="Object id of the source's NWBFile."
            ),
            NWBAttributeSpec(
                name="source_dandi_asset",
                dtype="text",
                required=False,
                doc="DANDI asset of the source: dandiset, version and asset path or address.",
            ),
            NWBAttributeSpec(
                name="context_clips",
                dtype="int",
                required=False,
                doc="Number of clips of this session that the model saw as context; 0 without context.",
            ),
            NWBAttributeSpec(
                name="context_in_minutes",
                dtype="float",
                required=False,
                doc="Duration of that context, in minutes.",
            ),
        ],
        groups=[NWBGroupSpec(name="model", neurodata_type_inc="MIVAEModel", doc="The model.")],
    )
    latent_series = NWBGroupSpec(
        neurodata_type_def="LatentSeries",
        neurodata_type_inc="TimeSeries",
        doc="Posterior of a latent space over time: a Gaussian with diagonal covariance at every time.",
        attributes=[space_attribute()],
        datasets=[
            NWBDatasetSpec(
                name="data",
                dtype="numeric",
                dims=("num_times", "num_latents"),
                shape=(None, None),
                doc="Posterior mean.",
            ),
            NWBDatasetSpec(
                name="variance",
                dtype="numeric",
                dims=("num_times", "num_latents"),
                shape=(None, None),
                quantity="?",
                doc="Posterior variance, not negative, of the shape of data.",
            ),
        ],
        links=[model_link()],
    )
    presentation_latents = NWBGroupSpec(
        neurodata_type_def="PresentationLatents",
        neurodata_type_inc="NWBDataInterface",
        doc="Posterior of a latent space for each presentation of a stimulus, in time bins from its onset. One object "
        "per table of presentations, because a region refers to one table.",
        attributes=[
            space_attribute(),
            NWBAttributeSpec(
                name="description", dtype="text", doc="What these latents are of, and how they were binned."
            ),
        ],
        datasets=[
            NWBDatasetSpec(
                name="presentations",
                neurodata_type_inc="DynamicTableRegion",
                doc="Rows of a table of presentations, such as a TimeIntervals table, one for each row of mean.",
            ),
            NWBDatasetSpec(
                name="mean",
                dtype="numeric",
                dims=("num_presentations", "num_bins", "num_latents"),
                shape=(None, None, None),
                doc="Posterior mean; NaN where a bin has none.",
            ),
            NWBDatasetSpec(
                name="variance",
                dtype="numeric",
                dims=("num_presentations", "num_bins", "num_latents"),
                shape=(None, None, None),
                quantity="?",
                doc="Posterior variance, of the shape of mean; NaN where a bin has none.",
            ),
            NWBDatasetSpec(
                name="bin_offsets_in_seconds",
                dtype="float64",
                dims=("num_bins",),
                shape=(None,),
                doc="Start of each bin, in seconds from the onset of the presentation.",
            ),
        ],
        links=[model_link()],
    )
    attributed_to_cells = {
        "attributes": attribution_attributes(),
        "links": [model_link()],
    }
    per_latent_cells = NWBDatasetSpec(
        name="per_latent",
        dtype="numeric",
        dims=("num_latents", "num_cells"),
        shape=(None, None),
        quantity="?",
        doc="Attribution of each latent to each cell, summarised over time.",
    )
    roi_attribution = NWBGroupSpec(
        neurodata_type_def="RoiAttributionSeries",
        neurodata_type_inc="RoiResponseSeries",
        doc="Attribution of latents to regions of interest over time: how much the activity of each ROI at each time "
        "moved the latents. `rois` are the attributed ROIs.",
        datasets=[
            NWBDatasetSpec(
                name="data",
                dtype="numeric",
                dims=("num_times", "num_rois"),
                shape=(None, None),
                doc="Attribution of each ROI at each time; NaN at times that were not attributed.",
            ),
            per_latent_cells,
        ],
        **attributed_to_cells,
    )
    unit_attribution = NWBGroupSpec(
        neurodata_type_def="UnitAttributionSeries",
        neurodata_type_inc="TimeSeries",
        doc="Attribution of latents to sorted units over time: how much the activity of each unit at each time moved "
        "the latents.",
        datasets=[
            NWBDatasetSpec(
                name="data",
                dtype="numeric",
                dims=("num_times", "num_units"),
                shape=(None, None),
                doc="Attribution of each unit at each time; NaN at times that were not attributed.",
            ),
            NWBDatasetSpec(
                name="units",
                neurodata_type_inc="DynamicTableRegion",
                doc="Rows of the Units table, one for each column of data.",
            ),
            per_latent_cells,
        ],
        **attributed_to_cells,
    )
    stimulus_attribution = NWBGroupSpec(
        neurodata_type_def="StimulusAttributionSeries",
        neurodata_type_inc="ImageSeries",
        doc="Attribution of latents to the pixels of the stimulus over time.",
        attributes=attribution_attributes(),
        datasets=[
            NWBDatasetSpec(
                name="data",
                dtype="numeric",
                # Core offers two shapes to choose from; one of a list of shapes must itself be a list of shapes.
                dims=(("num_times", "y", "x"),),
                shape=((None, None, None),),
                doc="Attribution of each pixel at each time; y counts downwards from the top of the frame, x "
                "rightwards from its left (rows and columns of the image, in this order). NaN at times that were not "
                "attributed.",
            ),
            NWBDatasetSpec(
                name="per_latent",
                dtype="numeric",
                dims=("num_latents", "y", "x"),
                shape=(None, None, None),
                quantity="?",
                doc="Attribution of each latent to each pixel, summarised over time.",
            ),
        ],
        links=[
            model_link(),
            NWBLinkSpec(
                name="stimulus",
                target_type="NWBDataInterface",
                quantity="?",
                doc="Link to the stimulus whose pixels these are (IndexSeries, ImageSeries or Images).",
            ),
        ],
    )
    return [
        training_sessions,
        model,
        annotation,
        latent_series,
        presentation_latents,
        roi_attribution,
        unit_attribution,
        stimulus_attribution,
    ]


def main(output: Path = SPEC) -> None:
    """Write both YAML files into ``output``."""
    namespace = NWBNamespaceBuilder(
        name="ndx-mivae",
        version="0.1.0",
        doc="Latent variables shared by neural activity and stimuli (miVAE), and their attribution to cells and pixels",
        author=["The nwb_mivae developers"],
    )
    namespace.include_namespace("core")
    export_spec(namespace, types(), str(output))


if __name__ == "__main__":
    main()
