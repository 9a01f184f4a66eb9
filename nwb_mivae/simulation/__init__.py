"""Simulated mouse V1 animals with known truth, written as NWB files."""

from nwb_mivae.simulation.configuration import SimulationConfiguration
from nwb_mivae.simulation.simulate import SimulatedAnimal, simulate
from nwb_mivae.simulation.truth import TRUTH_KEYS

__all__ = ["TRUTH_KEYS", "SimulatedAnimal", "SimulationConfiguration", "simulate"]
