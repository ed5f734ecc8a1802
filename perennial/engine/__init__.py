"""The engine: Dask's workers, on this machine or on others, which do parts of a run at once."""
