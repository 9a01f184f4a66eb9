"""A trained model and a stored session in; the animal's context, its latents, and what they generate out."""

from nwb_mivae.inference.context import session_context
from nwb_mivae.inference.encoding import encode_clips, session_latents
from nwb_mivae.inference.fingerprints import SessionFingerprints, session_fingerprints
from nwb_mivae.inference.generation import generate_frames, generate_traces
from nwb_mivae.inference.latents import BLOCKS, LatentBlock, SessionLatents

__all__ = [
    "BLOCKS",
    "LatentBlock",
    "SessionFingerprints",
    "SessionLatents",
    "encode_clips",
    "generate_frames",
    "generate_traces",
    "session_context",
    "session_fingerprints",
    "session_latents",
]
