"""Array arithmetic for every library: the only layer, with `geodesics`, that names torch or cupy."""
