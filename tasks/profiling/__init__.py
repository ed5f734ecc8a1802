"""Profiling: unknown data becomes a problem's file, and data is judged by one."""
