"""Figures of annotation: what the archive says of it, what it costs, and what is left after a crash."""
