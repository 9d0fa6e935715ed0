"""Reports: a summary as plain data first, then its renderings (HTML page, terminal tables)."""
