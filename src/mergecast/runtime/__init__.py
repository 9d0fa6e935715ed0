"""Where work runs and where finished results are kept."""
