"""Processes in which trainings run: on this machine, or on a Dask or Ray cluster through joblib."""
