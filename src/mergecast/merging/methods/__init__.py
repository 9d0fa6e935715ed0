"""The merging methods that come with mergecast; each file registers what it holds."""
