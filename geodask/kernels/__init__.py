"""Pure functions of a manifold and blocks of rows. Nothing here knows Dask, Zarr or a file."""
