"""From a pool of models to the merge worth making: real merges where they decide."""
