"""A trained model and a stored session in; the animal's context, its latents, and what they generate out."""

from nwb_mivae.inference.latents import BLOCKS, LatentBlock, SessionLatents

__all__ = ["BLOCKS", "LatentBlock", "SessionLatents"]
