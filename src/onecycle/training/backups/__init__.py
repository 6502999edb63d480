"""Backups of a training run: their files, what they contain, and how a run continues from them."""
