"""One of everything that plugs into mergecast, a file each."""
