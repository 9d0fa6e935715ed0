"""What a partner's task vector does to a model."""
