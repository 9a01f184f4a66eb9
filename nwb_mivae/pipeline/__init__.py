"""The steps of a run, one function per command; each reads what earlier steps left in the run's directory."""

from __future__ import annotations
