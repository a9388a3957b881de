"""The hosted engine: MaixPy's modules on CPython, playing the K210 of a virtual board."""
