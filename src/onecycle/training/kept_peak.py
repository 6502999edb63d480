"""The peak that `fit_one_cycle` found, kept beside the backup of `BackupAndRestore`, so that a resumed run has it too.

A resumed run begins with a search on weights that have not been restored yet, or on half-trained ones. It would find
another peak than the one of the cycle that it continues.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras

from onecycle.keras_support.keras_backups import backup_folders, check_backups
from onecycle.results import codec
from onecycle.results.race import Race
from onecycle.results.range_test import RangeTest
from onecycle.training.cycle_spec import CycleSpec

FILE_NAME = "onecycle_peak.json"


class KeptPeak:
    """The file with the result that picked the peak, in the folder of the `BackupAndRestore` of a `fit`.

    Args:
        callbacks: The callbacks of the `fit`. Without a `BackupAndRestore` nothing is kept.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        check_backups(callbacks)  # before a search, which may take as long as the training
        folders, self._restores = backup_folders(callbacks)
        # Keras can also write to remote folders.
        self._files = [Path(folder) / FILE_NAME for folder in folders if "://" not in folder]

    def load(self, spec: CycleSpec) -> RangeTest | Race | None:
        """Return the result that picked the peak of the run that will be resumed; None if no peak has to be found.

        Args:
            spec: The specification of the cycle.

        Raises:
            ValueError: If a run will be resumed, and its peak was not kept.
        """
        if not (spec.finds_peak and self._restores):
            return None
        for file in self._files:
            if file.is_file():
                kept = codec.load_object(file)
                if isinstance(kept, RangeTest | Race):
                    return kept
        raise ValueError(
            "BackupAndRestore will resume a run, but its folder does not have the learning rate that this run found, "
            "and a new search would find another one. Pass that learning rate as `max_learning_rate`. "
            f"Received: max_learning_rate={spec.max_learning_rate!r}"
        )

    def keep(self, evidence: RangeTest | Race | None) -> None:
        """Write the result that picked the peak of the run that begins.

        Args:
            evidence: The result, or None if the peak was given. What an earlier run kept is then removed.
        """
        for file in self._files:
            if evidence is None:
                file.unlink(missing_ok=True)
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                evidence.save(file)
