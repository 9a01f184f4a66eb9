"""Writing NWB as HDF5 with pynwb, so that a copy needs no other file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
from pynwb import NWBHDF5IO

from nwb_mivae.annotation.data_outside import copy_values, is_outside

__all__ = ["new_file"]


def new_file(path: Path) -> Any:
    """The IO that writes a new NWB file: a context manager with ``write`` and ``export``."""
    return _Writer(str(path), mode="w")


class _Writer(NWBHDF5IO):
    def write_dataset(self, parent: h5py.Group, builder: Any, **kwargs: Any) -> Any:
        """Write one dataset, as :meth:`hdmf.backends.hdf5.HDF5IO.write_dataset` does; if kept elsewhere, its values."""
        if self.get_written(builder) or not is_outside(builder.data):
            return super().write_dataset(parent, builder, **kwargs)
        copy = copy_values(builder.data, parent, builder.name)
        self.set_attributes(copy, builder.attributes)
        self._written_builders.set_written(builder)
        return copy
