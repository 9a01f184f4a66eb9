"""The loop: optimiser, precision, devices, checkpoints, resume, log."""

from nwb_mivae.training.configuration import TrainingConfiguration
from nwb_mivae.training.log import read_training_log
from nwb_mivae.training.loop import fit, make_module

__all__ = ["TrainingConfiguration", "fit", "make_module", "read_training_log"]
