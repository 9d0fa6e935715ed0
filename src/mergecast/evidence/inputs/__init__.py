"""What flows into a model's layers, and what a partner's update does there; needs no labels."""
