"""``python -m mergecast``."""

from mergecast.entry import main

main()
