"""The problem file as types: what `problems/NAME.yaml` may say, and how it is read."""
