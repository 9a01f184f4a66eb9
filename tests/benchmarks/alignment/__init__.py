"""The alignment benchmark: unseen animals in the shared space, against ground truth, controls and baselines."""
