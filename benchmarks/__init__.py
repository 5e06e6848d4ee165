"""Benchmarks: ``python -m benchmarks.peers`` compares with other libraries, ``pytest benchmarks`` times the kernels."""
