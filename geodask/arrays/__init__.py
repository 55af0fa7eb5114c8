"""Array arithmetic for every library; with `geodesics` the only layer that names torch or cupy."""
