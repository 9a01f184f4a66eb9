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

# Where an asset lies in a DANDI archive, in the parts every client and search asks for.
ASSET_PARTS = (
    ("dandi_instance", "Archive: name of the DANDI instance, for example 'dandi', or URL of its API."),
    ("dandiset_id", "Dandiset of the file: six digits."),
    ("dandiset_version", "Version of that dandiset: a published version or 'draft'."),
    ("asset_path", "Path of the file inside the dandiset."),
    ("asset_id", "Id of the asset, whose bytes never change."),
)
ASSET_ADDRESS = (
    "The same as one address, dandi://[INSTANCE/]DANDISET[@VERSION][/PATH][#asset=ID]: all that version 0.1.0 had."
)

UNITS = "the Units table (in a file without spike times: of a plain DynamicTable with a row for each unit)"


def model_link() -> NWBLinkSpec:
    """The link by which every result names the model it came from."""
    return NWBLinkSpec(
        name="model", target_type="MIVAEModel", quantity="?", doc="Link to the model that gave these values."
    )


def space_attribute() -> NWBAttributeSpec:
    """The attribute that says which of the four latent blocks values belong to."""
    return NWBAttributeSpec(name="space", dtype="text", doc=f"Latent space the values lie in: {SPACES}.")


def cells_region(doc: str) -> NWBDatasetSpec:
    """The cells an array is about; one region serves both kinds of tables of cells."""
    return NWBDatasetSpec(
        name="cells",
        neurodata_type_inc="DynamicTableRegion",
        doc=f"Rows of a PlaneSegmentation table, or of {UNITS}, one for each {doc}.",
    )


def settings_attribute() -> NWBAttributeSpec:
    """The attribute that holds what else one needs to compute values again."""
    return NWBAttributeSpec(
        name="settings",
        dtype="text",
        required=False,
        doc="Settings of the method, such as seed, number of clips and number of random probes, as JSON.",
    )


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
        settings_attribute(),
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
            )
        ]
        # The parts are optional and the address is required, so that tables of version 0.1.0 keep following the
        # schema and the package of version 0.1.0 opens those of later ones.
        + [
            NWBDatasetSpec(name=name, neurodata_type_inc="VectorData", dtype="text", quantity="?", doc=doc)
            for name, doc in ASSET_PARTS
        ]
        + [NWBDatasetSpec(name="dandi_asset", neurodata_type_inc="VectorData", dtype="text", doc=ASSET_ADDRESS)],
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
                name="source_identifier", dtype="text", required=False, doc="NWBFile.identifier of the source."
            ),
            *(
                NWBAttributeSpec(name=f"source_{name}", dtype="text", required=False, doc=f"Of the source. {doc}")
                for name, doc in ASSET_PARTS
            ),
            NWBAttributeSpec(
                name="source_dandi_asset", dtype="text", required=False, doc=f"Of the source. {ASSET_ADDRESS}"
            ),
            NWBAttributeSpec(
                name="form",
                dtype="text",
                required=False,
                doc="How the results came into this file: 'copy' (this file is the source exported with the results), "
                "'append' (they were added to the source itself) or 'companion' (this file holds the results and "
                "copies of the source's tables they refer to, nothing recorded).",
            ),
            NWBAttributeSpec(
                name="code_version", dtype="text", required=False, doc="Version of the software that wrote the results."
            ),
            NWBAttributeSpec(
                name="created",
                dtype="text",
                required=False,
                doc="When the results were written: date and time with offset from UTC, ISO 8601.",
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
    roi_attribution = NWBGroupSpec(
        neurodata_type_def="RoiAttributionSeries",
        neurodata_type_inc="RoiResponseSeries",
        doc="Attribution of latents to regions of interest over time: how much the activity of each ROI at each time "
        "moved the latents. `rois` are the attributed ROIs.",
        datasets=[
            NWBDatasetSpec(
                name="data",
                dtype="numeric",
                dims=("num_times", "num_ROIs"),
                shape=(None, None),
                doc="Attribution of each ROI at each time; NaN at times that were not attributed.",
            ),
            NWBDatasetSpec(
                name="per_latent",
                dtype="numeric",
                dims=("num_latents", "num_ROIs"),
                shape=(None, None),
                quantity="?",
                doc="Attribution of each latent to each ROI, summarised over time.",
            ),
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
                doc=f"Rows of {UNITS}, one for each column of data.",
            ),
            NWBDatasetSpec(
                name="per_latent",
                dtype="numeric",
                dims=("num_latents", "num_units"),
                shape=(None, None),
                quantity="?",
                doc="Attribution of each latent to each unit, summarised over time.",
            ),
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
    subpopulations_table = NWBGroupSpec(
        neurodata_type_def="SubpopulationsTable",
        neurodata_type_inc="DynamicTable",
        doc="Subpopulations of cells, one row each. Further statistics of a subpopulation are columns of their own.",
        datasets=[
            NWBDatasetSpec(
                name="profile",
                neurodata_type_inc="VectorData",
                dtype="numeric",
                dims=("num_subpopulations", "num_bins"),
                shape=(None, None),
                doc="Time course that the cells of the subpopulation have in common; bin_offsets_in_seconds of the "
                "Subpopulations gives its times.",
            ),
            NWBDatasetSpec(
                name="n_cells",
                neurodata_type_inc="VectorData",
                dtype="int",
                doc="Number of cells in the subpopulation; those of other tables of the session count, too.",
            ),
        ],
    )
    subpopulations = NWBGroupSpec(
        neurodata_type_def="Subpopulations",
        neurodata_type_inc="NWBDataInterface",
        doc="Cells grouped by the time course of their attribution: what each cell belongs to, and what the groups "
        "are. The cells of one table; a file with several tables has one object for each.",
        attributes=[
            NWBAttributeSpec(name="description", dtype="text", doc="What was grouped, and how to read the groups."),
            NWBAttributeSpec(
                name="method", dtype="text", doc="How cells were grouped, for example 'k-means of score attribution'."
            ),
            NWBAttributeSpec(name="target", dtype="text", doc=f"Latent space whose attribution was grouped: {SPACES}."),
            settings_attribute(),
        ],
        datasets=[
            cells_region("value of subpopulation"),
            NWBDatasetSpec(
                name="subpopulation",
                dtype="int",
                dims=("num_cells",),
                shape=(None,),
                doc="Row of table, counted from 0, that each cell belongs to; -1 where it belongs to none.",
            ),
            NWBDatasetSpec(
                name="confidence",
                dtype="float",
                dims=("num_cells",),
                shape=(None,),
                quantity="?",
                doc="How clearly each cell belongs to its subpopulation, at most 1: its silhouette (-1 to 1) or a "
                "probability; NaN where it belongs to none.",
            ),
            NWBDatasetSpec(
                name="bin_offsets_in_seconds",
                dtype="float64",
                dims=("num_bins",),
                shape=(None,),
                doc="Start of each bin of the profiles, in seconds from the onset of a clip of the stimulus.",
            ),
        ],
        groups=[
            NWBGroupSpec(name="table", neurodata_type_inc="SubpopulationsTable", doc="The subpopulations, a row each.")
        ],
        links=[
            model_link(),
            NWBLinkSpec(
                name="attribution", target_type="TimeSeries", quantity="?", doc="Link to the attribution grouped."
            ),
        ],
    )
    fingerprints = NWBGroupSpec(
        neurodata_type_def="FunctionalFingerprints",
        neurodata_type_inc="NWBDataInterface",
        doc="What each cell responds to: the relation of its activity to features of the stimulus shown before. Cells "
        "of different animals can be compared by it. The cells of one table; a file with several tables has one object "
        "for each.",
        attributes=[
            NWBAttributeSpec(name="description", dtype="text", doc="What was computed, and from which data."),
            NWBAttributeSpec(
                name="method",
                dtype="text",
                doc="How it was computed, for example 'whitened covariance of activity and stimulus features'.",
            ),
            settings_attribute(),
        ],
        datasets=[
            cells_region("row of data"),
            NWBDatasetSpec(
                name="data",
                dtype="numeric",
                dims=("num_cells", "num_lags", "num_features"),
                shape=(None, None, None),
                doc="Fingerprint of each cell: for every lag, one value for each feature of the stimulus.",
            ),
            NWBDatasetSpec(
                name="lags_in_seconds",
                dtype="float64",
                dims=("num_lags",),
                shape=(None,),
                doc="How long before the activity the stimulus was shown, in seconds, increasing.",
            ),
        ],
        links=[model_link()],
    )
    alignment_metrics = NWBGroupSpec(
        neurodata_type_def="AlignmentMetricsTable",
        neurodata_type_inc="DynamicTable",
        doc="How well the latents of modalities, or of two sessions, agree: a row for each figure, its controls among "
        "them.",
        attributes=[settings_attribute()],
        datasets=[
            NWBDatasetSpec(name=name, neurodata_type_inc="VectorData", dtype=dtype, doc=doc)
            for name, dtype, doc in (
                (
                    "metric",
                    "text",
                    "Name of the figure: 'top1' and 'top5' (part of the clips recognised, 0 to 1), 'paired_r', "
                    "'unpaired_r' and 'centred_r' (correlations, -1 to 1), or another.",
                ),
                ("condition", "text", "What the model was shown and how, for example 'with_context'."),
                ("is_control", "bool", "Whether the figure is a control, which a good model leaves at chance."),
                ("value", "float", "The figure; NaN where it could not be computed."),
                ("chance", "float", "Value that chance would give; NaN where there is none."),
                ("n_clips", "int", "Number of clips of the stimulus the figure was computed from."),
                ("other_session", "text", "The session compared with; empty where modalities of this one are."),
                ("held_out", "bool", "Whether the animal, or one of the two, was held out of training."),
            )
        ],
        links=[model_link()],
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
        subpopulations_table,
        subpopulations,
        fingerprints,
        alignment_metrics,
    ]


def main(output: Path = SPEC) -> None:
    """Write both YAML files into ``output``."""
    namespace = NWBNamespaceBuilder(
        name="ndx-mivae",
        version="0.2.0",
        doc="Latent variables shared by neural activity and stimuli (miVAE), and their attribution to cells and pixels",
        author=["The nwb_mivae developers"],
        # The schema language wants an address; this one is reserved for examples, and is replaced at the first release.
        contact=["ndx-mivae@example.org"],
    )
    namespace.include_namespace("core")
    export_spec(namespace, types(), str(output))


if __name__ == "__main__":
    main()
