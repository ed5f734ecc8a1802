"""BentoML's processes and connections, where its settings do not reach."""
