"""Production: who may move it now, and what is kept about each change."""
