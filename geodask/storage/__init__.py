"""Zarr groups under the name of their content. Takes opaque JSON; knows no geometry."""
