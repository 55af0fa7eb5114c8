"""One operation a file: it states spec, blocks, kernel and merge; the engine does the rest."""
