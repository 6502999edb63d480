"""The errors of a comparison that are the caller's, and not those of the model or the data."""

from __future__ import annotations


class SettingError(ValueError):
    """An argument of `compare` that does not go with the model, the data or another argument."""


class BuildError(ValueError):
    """A function `build` that returns no compiled model."""
