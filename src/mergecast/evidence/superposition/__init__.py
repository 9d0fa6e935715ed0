"""What a merge answers, pieced together from what each of its models does alone."""
