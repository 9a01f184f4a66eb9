"""Settings of the attribution."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from nwb_mivae.configuration import Configuration

__all__ = [
    "AttributionConfiguration",
    "BaselineName",
    "BlockName",
    "MethodName",
    "QuantityName",
    "SourceName",
    "StimulusRegionConfiguration",
    "SubpopulationConfiguration",
]

MethodName = Literal["score", "fisher", "gradient", "gradient_x_input", "integrated_gradients", "occlusion"]
SourceName = Literal["neurons", "pixels"]
BlockName = Literal["shared", "private"]
QuantityName = Literal["evidence", "mean"]
BaselineName = Literal["mean", "zero", "rest"]


class AttributionConfiguration(Configuration):
    """What is traced back, to what, by which methods, and at what cost.

    Attributes
    ----------
    methods
        ``score`` and ``fisher`` are the score-based methods of the design; the others are its references. See
        :data:`nwb_mivae.attribution.METHODS`.
    of
        Which latents: ``shared`` ones, or those that each modality has for itself (``private``). Neural latents are
        traced to neurons, stimulus latents to pixels.
    to
        Sources that are traced back to.
    latents
        Numbers of the latents of the block, from 0; null takes all.
    quantity
        What ``gradient_x_input``, ``integrated_gradients`` and ``occlusion`` divide among the sources: ``evidence``
        (log posterior at the other modality's estimate, less its mean at the session's other estimates; not for
        private latents) or ``mean`` (the posterior mean). Null takes evidence for shared and means for private latents.
        ``gradient`` is always of the mean: that of a log posterior is the score.
    baseline
        What contributions are relative to: ``mean``, the mean of each cell or pixel over the attributed clips; ``zero``
        (a cell's mean over the training part, or no spikes; a black pixel); ``rest``, the tenth percentile of each
        cell's activity over the attributed clips, and a uniform frame of their mean luminance.
    path_steps
        Points on the path of ``integrated_gradients``; the result states the error they leave.
    occlusion_frames, occlusion_pixels
        Frames, and pixels on a side, of an occluded patch; null frames occlude the whole clip. Cells are occluded one
        by one.
    by_latent
        Whether every latent's map of every frame is kept, beside their sum; as many times as large as there are
        latents.
    part
        Part of the split the attributed clips come from.
    clips
        At most so many clips per session, evenly over the recording; null takes all.
    context
        Whether neurons are read with the context of the animal's own recording, as latents are by default.
    probes
        Random probes of the Jacobian per latent for ``fisher``; the result states their error. Null computes it
        exactly: at the cost of a few matrix products for the default designs, of two vector-Jacobian products per frame
        and latent for other designs, for some ``latents`` only, and with ``by_latent``.
    memory
        Mebibytes that may be used at once, about, beside the module, the context and the maps: what is done together
        follows from it. No figure depends on it, beyond rounding: the probes drawn depend on the seed and the clip.
    clips_at_once, vectors_at_once
        Clips, and vector-Jacobian products of them, done together; null takes what fits in ``memory``.
    """

    methods: tuple[MethodName, ...] = Field(default=("score", "fisher", "gradient_x_input"), min_length=1)
    of: BlockName = "shared"
    to: tuple[SourceName, ...] = Field(default=("neurons", "pixels"), min_length=1)
    latents: tuple[int, ...] | None = Field(default=None, min_length=1)
    quantity: QuantityName | None = None
    baseline: BaselineName = "mean"
    path_steps: int = Field(default=8, ge=1, le=256)
    occlusion_frames: int | None = Field(default=None, ge=1)
    occlusion_pixels: int = Field(default=4, ge=1)
    by_latent: bool = False
    part: Literal["train", "validation", "test"] = "test"
    clips: int | None = Field(default=64, ge=1)
    context: bool = True
    probes: int | None = Field(default=4, ge=2)
    memory: float = Field(default=1024.0, gt=0)
    clips_at_once: int | None = Field(default=None, ge=1)
    vectors_at_once: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _check_repeats(self) -> Self:
        for name in ("methods", "to", "latents"):
            given = getattr(self, name) or ()
            if len(set(given)) < len(given):
                raise ValueError(f"{name} names something twice: {', '.join(map(str, given))}; name each once")
        return self

    @model_validator(mode="after")
    def _check_private(self) -> Self:
        if self.of == "private" and "score" in self.methods:
            raise ValueError(
                "score needs the other modality's estimate of the latents, and private latents have none; set methods "
                "to fisher, gradient or one of the others"
            )
        if self.of == "private" and self.quantity == "evidence":
            raise ValueError(
                "evidence needs the other modality's estimate of the latents, and private latents have none; set "
                "quantity to mean"
            )
        return self

    @property
    def divided(self) -> QuantityName:
        """What contributions add up to."""
        return self.quantity or ("evidence" if self.of == "shared" else "mean")


class SubpopulationConfiguration(Configuration):
    """How cells are grouped by their attribution.

    Attributes
    ----------
    around_onsets
        Whether time courses are those around onsets of the stimulus, where the session has enough of them; else, and
        where this is false, those within the attributed clips.
    onsets
        At most so many onsets, evenly over the recording; null takes all.
    seconds_before, seconds_after
        The time courses' beginning and end, from the onset.
    memory
        Mebibytes that the attribution around onsets may take, about; fewer onsets are taken where cells are many.
    attribution_method
        Which attribution's time courses are compared within clips; of those with a sign, the absolute value. Null takes
        ``fisher`` where there is one, or the first method.
    number
        Number of subpopulations; null finds it.
    most
        Largest number of subpopulations that is tried.
    splits
        In how many ways onsets or clips are halved to see whether the same subpopulations come again.
    shuffles
        How many draws the nulls have: members of subpopulations are shuffled so many times, courses around onsets
        mirrored ten times as many.
    false_discovery_rate
        Of the cells that are said to follow onsets, the share that may be expected not to.
    """

    around_onsets: bool = True
    onsets: int | None = Field(default=256, ge=8)
    seconds_before: float = Field(default=0.2, ge=0)
    seconds_after: float = Field(default=0.9, gt=0)
    memory: float = Field(default=1024.0, gt=0)
    attribution_method: MethodName | None = None
    number: int | None = Field(default=None, ge=1, le=50)
    most: int = Field(default=8, ge=1, le=50)
    splits: int = Field(default=20, ge=5)
    shuffles: int = Field(default=199, ge=99)
    false_discovery_rate: float = Field(default=0.05, gt=0, lt=1)


class StimulusRegionConfiguration(Configuration):
    """How the attribution to pixels is compared with what is shown there.

    Attributes
    ----------
    clips
        At most so many clips that show different things, evenly; null takes all. They bound memory: at 36 x 64 pixels
        and 16 frames about a megabyte each.
    frames_per_clip
        At most so many frames of each clip, evenly; null takes all.
    permutations
        Permutations drawn for the null of other clips. Of shifts, all are taken.
    confidence
        Of the intervals; a corrected p-value of at most one less this counts as a finding.
    """

    clips: int | None = Field(default=128, ge=1)
    frames_per_clip: int | None = Field(default=16, ge=1)
    permutations: int = Field(default=4000, ge=100)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
