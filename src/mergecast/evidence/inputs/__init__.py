"""What flows into the layers of a model, and what a partner's update does there; needs no labels."""
