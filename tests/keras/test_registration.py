"""Keras finds the schedules of a saved model once onecycle is imported, although that does not import keras."""

import importlib
import pkgutil
import sys
from importlib.util import find_spec

import keras
import pytest

import onecycle.schedules
from onecycle.schedules.registration import SAVED_CLASSES, SavedClass, register_with_keras

pytestmark = pytest.mark.one_backend


@pytest.fixture
def saved_classes(monkeypatch):
    """Return Keras' dict of registered objects as it is before any schedule is imported."""
    objects = keras.saving.get_custom_objects()
    for name in SAVED_CLASSES:
        monkeypatch.delitem(objects, f"onecycle>{name}", raising=False)
    return objects


def test_every_registered_class_is_listed():
    """The classes that Keras can save are those that any module of onecycle registers."""
    for module in pkgutil.walk_packages(onecycle.schedules.__path__, "onecycle.schedules."):
        importlib.import_module(module.name)
    registered = [name for name in keras.saving.get_custom_objects() if name.startswith("onecycle>")]

    assert sorted(registered) == [f"onecycle>{name}" for name in sorted(SAVED_CLASSES)]


@pytest.mark.parametrize(
    "schedule",
    [
        onecycle.OneCycle(0.1, 10, start_step=3),
        onecycle.OneCycle.pytorch(0.1, 10),
        onecycle.OneCycle.fastai(0.1, 10),
        onecycle.OneCycle.optax(10, 0.1),
        onecycle.WarmupLinearDecay(0.1, 10),
        onecycle.WarmupStableDecay(0.1, 10),
        onecycle.CyclicalLearningRate(0.1, 0.2, 5),
        onecycle.OneCycle(0.1, 10).momentum(),
        onecycle.CyclicalLearningRate(0.1, 0.2, 5).momentum(),
    ],
    ids=repr,
)
def test_saved_schedule_loads_before_its_class_is_imported(schedule, saved_classes):
    """A serialized schedule is read as an equal one while Keras knows its class by name alone."""
    config = keras.saving.serialize_keras_object(schedule)
    register_with_keras()

    assert isinstance(saved_classes[config["registered_name"]], SavedClass)
    assert keras.saving.deserialize_keras_object(config) == schedule


def test_an_imported_class_stays_registered():
    """Registering again replaces no class that is imported."""
    register_with_keras()

    assert keras.saving.get_registered_object("onecycle>OneCycle") is onecycle.OneCycle


def test_import_of_keras_registers(monkeypatch):
    """Where keras comes second, looking for it changes nothing, and importing it registers the schedules once."""
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.delitem(sys.modules, "keras")
    register_with_keras()
    register_with_keras()
    ours = [finder for finder in sys.meta_path if type(finder).__module__ == "onecycle.schedules.registration"]
    spec = find_spec("keras")

    assert len(ours) == 1
    assert spec.origin == keras.__spec__.origin
    assert spec.loader.get_source("keras") == keras.__spec__.loader.get_source("keras")
    assert ours[0] in sys.meta_path
    calls = []
    monkeypatch.setattr("onecycle.schedules.registration._register", lambda: calls.append(1))
    monkeypatch.setattr(type(spec.loader), "exec_module", lambda self, module: calls.append(module))
    find_spec("keras").loader.exec_module(keras)
    assert calls == [keras, 1]
    assert ours[0] not in sys.meta_path
