"""What is measured. Each subject has a network and data, and a call that trains for a number of steps.

The learning rates of every range test are too low for divergence, so that each makes all its steps.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.nets import BATCH, data, is_regression, keras_net, torch_net

LOW, HIGH = 1e-7, 1e-4
KERAS_SUBJECTS = ("onecycle", "fit", "fit again", "classic callback")
TORCH_SUBJECTS = ("torch loop", "torch-lr-finder", "Lightning", "fastai")
# Name -> the backend of Keras, or None for a subject without Keras.
SUBJECTS: dict[str, str | None] = {
    **{f"{name} ({backend})": backend for backend in ("jax", "tensorflow", "torch") for name in KERAS_SUBJECTS},
    "optax loop": "jax",
    **dict.fromkeys(TORCH_SUBJECTS),
}


@dataclass(frozen=True)
class Prepared:
    """A subject that is ready for its first call.

    Attributes:
        call: Trains for a number of steps.
        weights: Returns the weights of the model.
    """

    call: Callable[[int], object]
    weights: Callable[[], list[NDArray[Any]]]


def prepare(subject: str, net: str) -> Prepared:
    """Return a subject with a network. Its library is imported, and nothing has been trained or compiled."""
    warnings.simplefilter("ignore")
    name = subject.partition(" (")[0]
    if name in KERAS_SUBJECTS:
        return _keras(name, net)
    return {
        "optax loop": _optax_loop, "torch loop": _torch_loop, "torch-lr-finder": _torch_lr_finder,
        "Lightning": _lightning, "fastai": _fastai,
    }[name](net)  # fmt: skip


def _keras(name: str, net: str) -> Prepared:
    import keras

    import onecycle
    from benchmarks.classic_finder import find_learning_rate as classic

    model = keras_net(net)
    loss = "mse" if is_regression(net) else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), loss)
    x, y = data(net)
    per_epoch = len(x) // BATCH

    def rows(steps: int) -> tuple[NDArray[Any], NDArray[Any], int]:
        """Return data and the epochs that make so many steps."""
        if steps % per_epoch == 0:
            return x, y, steps // per_epoch
        taken = np.arange(steps * BATCH) % len(x)
        return x[taken], y[taken], 1

    def fit(steps: int) -> object:
        some, targets, epochs = rows(steps)
        return model.fit(some, targets, batch_size=BATCH, epochs=epochs, verbose=0)

    def find(steps: int) -> object:
        return onecycle.find_learning_rate(
            model, x, y, batch_size=BATCH, min_learning_rate=LOW, max_learning_rate=HIGH, num_steps=steps, verbose=0
        )

    def classic_find(steps: int) -> object:
        some, targets, epochs = rows(steps)
        return classic(model, some, targets, epochs, BATCH, LOW, HIGH)

    calls = {"onecycle": find, "fit": fit, "fit again": fit, "classic callback": classic_find}
    return Prepared(calls[name], model.get_weights)


def _optax_loop(net: str) -> Prepared:
    """A plain loop over a step that JAX compiles, with optax' 1cycle."""
    import jax
    import keras
    import optax

    model = keras_net(net)
    x, y = data(net)
    trainable, other = ([variable.value for variable in part] for part in
                        (model.trainable_variables, model.non_trainable_variables))  # fmt: skip

    def loss_of(weights: Any, state: Any, x: Any, y: Any) -> Any:
        predicted, state = model.stateless_call(weights, state, x, training=True)
        if is_regression(net):
            return ((predicted - y) ** 2).mean(), state
        return optax.softmax_cross_entropy_with_integer_labels(predicted, y).mean(), state

    optimizer = optax.sgd(optax.cosine_onecycle_schedule(10_000, HIGH), momentum=0.9)

    @jax.jit
    def step(weights: Any, state: Any, slots: Any, x: Any, y: Any) -> Any:
        (loss, state), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights, state, x, y)
        updates, slots = optimizer.update(gradients, slots)
        return optax.apply_updates(weights, updates), state, slots, loss

    del keras

    def call(steps: int) -> object:
        weights, state, slots = trainable, other, optimizer.init(trainable)
        losses = []
        for rows in _batches(len(x), steps):
            weights, state, slots, loss = step(weights, state, slots, x[rows], y[rows])
            losses.append(loss)
        return jax.block_until_ready(losses)

    return Prepared(call, lambda: [np.asarray(one) for one in trainable])


def _batches(rows: int, steps: int) -> list[NDArray[np.int64]]:
    random = np.random.default_rng(0)
    epochs = -(-steps * BATCH // rows)
    order = np.concatenate([random.permutation(rows) for _ in range(epochs)])
    return list(order[: steps * BATCH].reshape(steps, BATCH))


def _torch_parts(net: str) -> tuple[Any, Any, Any]:
    """Return a network, a loss and a data set of PyTorch."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = data(net)
    inputs = torch.tensor(np.moveaxis(x, -1, 1) if x.ndim == 4 else x)
    loss = nn.MSELoss() if is_regression(net) else nn.CrossEntropyLoss()
    return torch_net(net), loss, torch.utils.data.TensorDataset(inputs, torch.tensor(y))


def _weights(model: Any) -> Callable[[], list[NDArray[Any]]]:
    return lambda: [one.detach().cpu().numpy().copy() for one in model.state_dict().values()]


def _torch_loop(net: str) -> Prepared:
    """A plain loop of PyTorch, with its 1cycle."""
    import torch

    model, criterion, rows = _torch_parts(net)
    inputs, targets = rows.tensors

    def call(steps: int) -> object:
        optimizer = torch.optim.SGD(model.parameters(), LOW, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, HIGH, total_steps=steps)
        losses = []
        for batch in _batches(len(inputs), steps):
            optimizer.zero_grad()
            loss = criterion(model(inputs[batch]), targets[batch])
            loss.backward()
            optimizer.step()
            scheduler.step()
            losses.append(loss.detach())
        return torch.stack(losses)

    return Prepared(call, _weights(model))


def _loader(rows: Any) -> Any:
    import torch

    return torch.utils.data.DataLoader(rows, batch_size=BATCH, shuffle=True)


def _torch_lr_finder(net: str) -> Prepared:
    import torch
    from torch_lr_finder import LRFinder

    model, criterion, rows = _torch_parts(net)

    def call(steps: int) -> object:
        optimizer = torch.optim.SGD(model.parameters(), LOW, momentum=0.9)
        finder = LRFinder(model, optimizer, criterion, device="cpu")
        finder.range_test(_loader(rows), end_lr=HIGH, num_iter=steps, diverge_th=1e9)
        finder.reset()
        return finder.history

    return Prepared(call, _weights(model))


def _lightning(net: str) -> Prepared:
    import logging

    import lightning
    import torch
    from lightning.pytorch.tuner import Tuner

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    model, criterion, rows = _torch_parts(net)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.lr = model, LOW

        def training_step(self, batch: Any, index: int) -> Any:
            return criterion(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), self.lr, momentum=0.9)

    module = Module()

    def call(steps: int) -> object:
        with tempfile.TemporaryDirectory() as folder:
            trainer = lightning.Trainer(
                accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
                enable_checkpointing=False, default_root_dir=folder, max_epochs=-1,
            )  # fmt: skip
            return Tuner(trainer).lr_find(
                module, _loader(rows), min_lr=LOW, max_lr=HIGH, num_training=steps, early_stop_threshold=None,
                update_attr=False,
            )  # fmt: skip

    return Prepared(call, _weights(model))


def _fastai(net: str) -> Prepared:
    from fastai.callback import progress, schedule  # noqa: F401 (they add `no_bar` and `lr_find` to `Learner`)
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner
    from fastai.optimizer import SGD

    model, criterion, rows = _torch_parts(net)
    loader = DataLoader(rows, bs=BATCH, shuffle=True, num_workers=0)
    learner = Learner(DataLoaders(loader, loader), model, loss_func=criterion, opt_func=SGD)

    def call(steps: int) -> object:
        with learner.no_bar(), learner.no_logging():
            return learner.lr_find(LOW, HIGH, num_it=steps, stop_div=False, show_plot=False)

    return Prepared(call, _weights(model))
