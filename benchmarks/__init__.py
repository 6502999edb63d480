"""Benchmarks of the cost of onecycle. Every raw number is kept in `results/`."""
