"""Tasks: how a model is built, how its samples are read, and one module that serves them all."""
