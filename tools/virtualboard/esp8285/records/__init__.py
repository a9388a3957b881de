"""Recorded sessions with real modules, replayed against the virtual one."""
