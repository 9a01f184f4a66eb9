"""Whether an attribution has what subpopulations and stimulus regions are found from, and else what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nwb_mivae.attribution.configuration import SubpopulationConfiguration

if TYPE_CHECKING:
    from nwb_mivae.attribution.result import SessionAttribution

__all__ = ["why_no_stimulus_regions", "why_no_subpopulations"]


def why_no_subpopulations(
    attribution: SessionAttribution, configuration: SubpopulationConfiguration | None = None
) -> str:
    """What an attribution lacks for :func:`~nwb_mivae.attribution.find_subpopulations`, in words; empty if nothing."""
    wanted = (configuration or SubpopulationConfiguration()).attribution_method
    usable = tuple(attribution.methods) if wanted is None else (wanted,)
    if not any(method.neurons.size for method in attribution.methods.values()):
        return "latents were traced to pixels alone (attribution.to)"
    return _without_method(attribution, usable)


def why_no_stimulus_regions(attribution: SessionAttribution) -> str:
    """What an attribution lacks for stimulus regions, in words; empty if nothing.

    Of the methods ``fisher`` is taken, which has no sign and says how strongly the latents depend on each pixel.
    """
    if not any(method.pixels.size for method in attribution.methods.values()):
        return "latents were traced to neurons alone (attribution.to)"
    return _without_method(attribution, ("fisher",))


def _without_method(attribution: SessionAttribution, usable: tuple[str, ...]) -> str:
    if set(usable) & set(attribution.methods):
        return ""
    return (
        f"they are found from {' or '.join(usable)}, and latents were traced by {', '.join(attribution.methods)} "
        "(attribution.methods)"
    )
