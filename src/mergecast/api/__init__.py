"""What the commands do, callable: one function a command, with the same words and defaults."""
