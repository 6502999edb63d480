"""Trainings that onecycle undoes call `fit` and `evaluate` without what trackers have put around them."""

import functools
from typing import ClassVar

import keras
import numpy as np
import pytest

import onecycle
from onecycle.keras_support.patches import unpatched

TRAINER = next(cls for cls in keras.Model.__mro__ if "fit" in vars(cls))


class Batches(keras.utils.PyDataset):
    """Eight batches, which only `fit` can read."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        x = np.random.RandomState(index).randn(16, 4).astype("float32")
        return x, x[:, :1]


def doubling(fit):
    """Return a method that prepares the data, as a decorator of a model's author may do."""

    @functools.wraps(fit)
    def doubled(self, x, *args, **kwargs):
        self.called.append("decorator")
        return fit(self, x, *args, **kwargs)

    return doubled


class Plain(keras.Sequential):
    """A model that inherits `fit`."""


class Overriding(keras.Sequential):
    """A model with its own `fit`, which its author has decorated."""

    called: ClassVar = []  # of the class, since a range test restores the attributes of a model

    @doubling
    def fit(self, x, *args, **kwargs):
        self.called.append("fit")
        return super().fit(x, *args, **kwargs)


def compiled(cls):
    """Return a compiled model of a class."""
    model = cls([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def track(monkeypatch, owner, name, wraps):
    """Put a tracker around a method, as MLflow (`wraps`) and others do, and return the list of its calls."""
    original, calls = getattr(owner, name), []

    def tracked(*args, **kwargs):
        calls.append(name)
        return original(*args, **kwargs)

    if isinstance(owner, type):
        monkeypatch.setattr(owner, name, functools.wraps(original)(tracked) if wraps else tracked)
    else:
        vars(owner)[name] = tracked
    return calls


@pytest.mark.one_backend
@pytest.mark.parametrize("wraps", [True, False])
@pytest.mark.parametrize("cls", [Plain, Overriding])
@pytest.mark.parametrize("where", ["keras.Model", "trainer", "class", "instance", "everywhere"])
def test_range_test_goes_past_patches_of_fit(monkeypatch, where, cls, wraps):
    """Wherever a tracker is put around `fit`, it sees the user's training alone, and a model's own `fit` is called."""
    model = compiled(cls)
    owners = {"trainer": TRAINER, "keras.Model": keras.Model, "class": cls, "instance": model}
    chosen = list(owners.values()) if where == "everywhere" else [owners[where]]
    calls = [track(monkeypatch, owner, "fit", wraps) for owner in chosen]
    Overriding.called.clear()
    onecycle.find_learning_rate(model, Batches(), num_steps=10, verbose=0)
    assert calls == [[] for _ in chosen]
    if cls is Overriding:
        assert cls.called == ["decorator", "fit"]
    model.fit(Batches(), verbose=0)
    assert calls == [["fit"] for _ in chosen]


@pytest.mark.one_backend
def test_two_trackers(monkeypatch):
    """Several patches of one method are all left out, and are all there afterwards."""
    calls = [track(monkeypatch, keras.Model, "fit", wraps) for wraps in (True, False, True)]
    model = compiled(Plain)
    with unpatched(model):
        model.fit(Batches(), verbose=0)
    assert calls == [[], [], []]
    model.fit(Batches(), verbose=0)
    assert calls == [["fit"]] * 3


@pytest.mark.one_backend
def test_a_patch_that_hides_the_original(monkeypatch):
    """Keras' models inherit `fit`, so a patch is left out even if nothing in it leads to the original."""
    calls = []
    monkeypatch.setattr(keras.Model, "fit", lambda self, *args, **kwargs: calls.append("fit"), raising=False)
    model = compiled(Plain)
    with unpatched(model):
        assert "loss" in model.fit(Batches(), verbose=0).history
    assert calls == []
    model.fit(Batches())
    assert calls == ["fit"]


@pytest.mark.one_backend
def test_validation_goes_past_patches_of_evaluate(monkeypatch):
    """The validation losses of a range test are evaluated without a tracker."""
    calls = track(monkeypatch, keras.Model, "evaluate", wraps=True), track(monkeypatch, keras.Model, "fit", wraps=True)
    model = compiled(Plain)
    x = np.random.RandomState(0).randn(200, 4).astype("float32")
    onecycle.find_learning_rate(model, Batches(), validation_data=(x, x[:, :1]), num_steps=10, verbose=0)
    assert calls == ([], [])


@pytest.mark.one_backend
def test_injected_callbacks(monkeypatch):
    """A callback that a patch adds to every list of callbacks sees the user's training alone."""
    original, seen = keras.callbacks.CallbackList.__init__, []

    class Injected(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(epoch)

    def constructor(self, callbacks=None, **arguments):
        original(self, [*(callbacks or []), Injected()], **arguments)

    monkeypatch.setattr(keras.callbacks.CallbackList, "__init__", constructor)
    model = compiled(Plain)
    onecycle.find_learning_rate(model, Batches(), num_steps=10, verbose=0)
    assert seen == []
    onecycle.fit_one_cycle(model, Batches(), epochs=2, max_learning_rate=0.01, verbose=0)
    assert seen == [0, 1]


@pytest.mark.one_backend
@pytest.mark.parametrize("wraps", [True, False])
def test_range_test_goes_past_patches_of_a_step(monkeypatch, backend, wraps):
    """On PyTorch, a tracker of each loss whose gradient is computed sees the user's training alone."""
    if backend != "torch":
        pytest.skip("the step of PyTorch only")
    import torch

    calls = track(monkeypatch, torch.Tensor, "backward", wraps)
    model = compiled(Plain)
    onecycle.find_learning_rate(model, Batches(), num_steps=10, verbose=0)
    assert calls == []
    onecycle.fit_one_cycle(model, Batches(), epochs=2, max_learning_rate=0.01, verbose=0)
    assert len(calls) == 16


@pytest.mark.one_backend
def test_patches_are_back_after_an_error(monkeypatch):
    """An exception leaves every patch in place, and one that was applied in the meantime stays."""
    calls = track(monkeypatch, keras.Model, "fit", wraps=True)
    model = compiled(Plain)
    with pytest.raises(KeyboardInterrupt), unpatched(model):
        raise KeyboardInterrupt
    model.fit(Batches(), verbose=0)
    assert calls == ["fit"]
    with unpatched(model):
        keras.Model.fit = lambda self, *args, **kwargs: calls.append("later")
    model.fit(Batches(), verbose=0)
    assert calls == ["fit", "later"]
