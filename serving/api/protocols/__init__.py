"""Doors for what people have already: the open inference protocol, and MLflow's."""
