"""A race as it is sent to another process, which trains one candidate up to a cut and returns its state."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import keras
from numpy.typing import NDArray

from onecycle.finding.race_data import RaceData
from onecycle.finding.race_records import load_member, member_record
from onecycle.finding.race_request import RaceRequest
from onecycle.finding.race_training import RaceTraining
from onecycle.hyperparameters.layer_rates import LayerRates
from onecycle.keras_support import devices
from onecycle.keras_support.model_transfer import SentModel
from onecycle.keras_support.optimizers import build_optimizer
from onecycle.keras_support.portable_pause import PortableRandom, PortableVariables
from onecycle.training.backups.files import Backup
from onecycle.workers.sending import pickled


@dataclass(frozen=True)
class SentRace:
    """What a worker needs to train any candidate.

    Attributes:
        model: The model without its state.
        arrays: The values of its variables when the race begins.
        foreign: Its state outside Keras' variables.
        random: The states of the random generators.
        layer_rates: The rates of layers: as text, and as pairs (position of a weight, factor).
        request: The arguments of the race.
        data: Its data.
        data_parallel: Whether a worker splits each batch among all its devices.
    """

    model: SentModel
    arrays: Sequence[NDArray[Any]]
    foreign: list[Any]
    random: dict[str, Any]
    layer_rates: tuple[tuple[tuple[str, float], ...], tuple[tuple[int, float], ...]] | None
    request: RaceRequest
    data: RaceData
    data_parallel: bool

    def __call__(self, peak: float, until: int, cut: float | None, before: Backup | None) -> Backup:
        """Train a candidate up to a step, and return what it is there.

        Args:
            peak: Its peak.
            until: The step.
            cut: The cut that is made there; None for the end of the race.
            before: What it was at the cut before; None if it has not been trained.
        """
        with devices.on_all_devices() if self.data_parallel else nullcontext():
            return self._trained(self.model.load(), peak, until, cut, before)

    def _trained(self, model: keras.Model, peak: float, until: int, cut: float | None, before: Backup | None) -> Backup:
        training = RaceTraining(model, self._request(model), self.data)
        build_optimizer(model.optimizer, model)
        PortableVariables(model, self.arrays, self.foreign, []).restore(metrics=False)
        PortableRandom(self.random).restore()
        with training.fits(portable=True) as fits:
            member = fits.new_member(peak)
            if before is not None:
                load_member(member, before, fits)
            training.train_and_judge(member, fits, until, cut)
            if member.finished:
                member.final = PortableVariables.now(model)
            return member_record(member, fits)

    def _request(self, model: keras.Model) -> RaceRequest:
        if self.layer_rates is None:
            return self.request
        described, positions = self.layer_rates
        rates = LayerRates(described, tuple((model.weights[position], factor) for position, factor in positions))
        return replace(self.request, layer_rates=rates)


def sent_race(model: keras.Model, training: RaceTraining) -> bytes:
    """Return a race that begins with the current state of a model, as bytes for `run_tasks`.

    Args:
        model: The model.
        training: What the candidates share.

    Raises:
        ValueError: If the model, the data or another argument cannot be sent.
    """
    build_optimizer(model.optimizer, model)
    state, rates = PortableVariables.now(model), training.layer_rates
    request = replace(
        training.request, validation_data=None, sample_weight=None, layer_rates=None, decay=None, directory=None,
        verbose=0,
    )  # fmt: skip
    sent = SentModel.of(model)
    race = SentRace(
        sent, state.arrays, state.foreign, PortableRandom.now().values,
        None if rates is None else (rates.described, _positions(model, rates)), request, training.data,
        devices.is_data_parallel(model),
    )  # fmt: skip
    try:
        return pickled(race, [*sent.custom_objects.values(), request.schedule, type(training.data.x)])
    except Exception as error:
        raise ValueError(
            "The data and the arguments of a race with `jobs` or `cluster` are sent to other processes, which these "
            f"cannot be. Race in this process, or pass arrays or a `PyDataset`. The cause: {error}"
        ) from error


def _positions(model: keras.Model, rates: LayerRates) -> tuple[tuple[int, float], ...]:
    positions = {id(weight): position for position, weight in enumerate(model.weights)}
    return tuple((positions[id(weight)], factor) for weight, factor in rates.weights)
