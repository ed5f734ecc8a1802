"""Quality: what a person reaches who knows nothing of us, against an expert's ten lines."""
