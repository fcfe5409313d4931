"""An episode as a film: what is served at a step, its parts, its frames, the files."""
