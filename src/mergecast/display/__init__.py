"""Tables and sentences as data, and as HTML for a notebook."""
