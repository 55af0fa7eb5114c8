"""Points, admission, plans, and the one driver that runs them on threads or on Dask."""
