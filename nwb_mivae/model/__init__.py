"""The mathematics: encoders, decoders, priors, objective. It knows tensors, not files of recordings."""

from nwb_mivae.model.card import write_card
from nwb_mivae.model.configuration import LossWeights, ModelConfiguration
from nwb_mivae.model.context import Context, ContextBuilder, ContextSums, ContextTiming
from nwb_mivae.model.gaussian import Gaussian
from nwb_mivae.model.module import MiVAEModule, ModuleShape, NeuralPosterior
from nwb_mivae.model.objective import LossTerms
from nwb_mivae.model.stimulus_encoder import StimulusPosterior
from nwb_mivae.model.weights import load_module, module_digest, save_module, weights_digest

__all__ = [
    "Context",
    "ContextBuilder",
    "ContextSums",
    "ContextTiming",
    "Gaussian",
    "LossTerms",
    "LossWeights",
    "MiVAEModule",
    "ModelConfiguration",
    "ModuleShape",
    "NeuralPosterior",
    "StimulusPosterior",
    "load_module",
    "module_digest",
    "save_module",
    "weights_digest",
    "write_card",
]
