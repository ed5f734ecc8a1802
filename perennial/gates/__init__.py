"""Gates: the conditions of a promotion, one module for each.

A module of this room holds all there is to know about its gate: the keys under ``gates:`` in a
problem's file, what has to be measured, the condition itself, and the paragraph of docs/gates.md.
`perennial.gates.catalogue` finds the modules by themselves.
"""
