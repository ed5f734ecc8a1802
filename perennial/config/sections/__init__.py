"""The sections of a problem file, one module each."""
