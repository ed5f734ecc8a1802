"""Inputs of a model, texts or records: validated, hashed, encoded."""
