"""What a model keeps of its behaviour, alone and in a merge."""
