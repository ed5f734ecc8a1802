"""Real nodes in namespaces of this machine's kernel: they run pods, and need root."""
