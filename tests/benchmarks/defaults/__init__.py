"""Do the default settings work: for few and many cells, slow and fast clocks, and every kind of trace."""
