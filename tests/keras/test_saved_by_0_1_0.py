"""What version 0.1.0 saved, loads: schedules, models, a backup, and the records of an unfinished comparison."""

import functools
import importlib
import itertools
import json
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras.saving import deserialize_keras_object, load_model

import onecycle
from onecycle.__main__ import main
from onecycle.comparison.arms import Arm
from onecycle.comparison.article.protocol import PROTOCOLS
from onecycle.comparison.article.task_runs import held_out_split, task_model, task_split
from onecycle.comparison.runs import SharedSettings
from onecycle.keras_support.identity import data_identity, model_identity

SAVED = Path(__file__).parents[1] / "fixtures" / "saved_by_0.1.0"
BACKEND = keras.backend.backend()


def read(name):
    """Return what a JSON file holds."""
    return json.loads((SAVED / name).read_text(encoding="utf-8"))


EXPECTED, SCHEDULES, IDENTITIES = read("expected.json"), read("schedules.json"), read("identities.json")
ROUNDING = 1e-6

on_jax = pytest.mark.skipif(BACKEND != "jax", reason="the records were made on JAX, and a run's identity names it")
on_one_backend = pytest.mark.skipif(BACKEND != "jax", reason="an import registers the same on every backend")
# What Keras says of a model is part of its identity.
same_keras = pytest.mark.skipif(
    keras.__version__ != IDENTITIES["keras"], reason=f"the identities are those of Keras {IDENTITIES['keras']}"
)


@pytest.mark.one_backend
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    """A serialized schedule is read as the same call, with the same value at every step."""
    expected = SCHEDULES[name]
    schedule = deserialize_keras_object(expected["serialized"])

    assert repr(schedule) == expected["repr"]
    np.testing.assert_allclose(schedule.values(len(expected["values"])), expected["values"], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", EXPECTED["models"])
def test_models(name):
    """A model with a schedule as its learning rate has its weights and step, and ends its training as it did before."""
    if name.endswith("_torch") and BACKEND != "torch":
        pytest.skip("a file from PyTorch names a Keras optimizer that trains on PyTorch alone")
    expected = EXPECTED["models"][name]
    model = load_model(SAVED / "models" / f"{name}.keras")
    schedule = deserialize_keras_object(model.optimizer.get_config()["learning_rate"])

    assert repr(schedule) == SCHEDULES[expected["schedule"]]["repr"]
    assert as_lists(model) == expected["weights"]
    assert steps_of(model) == 6
    train(model)
    assert_weights(model, expected["continued"])


@on_one_backend
@pytest.mark.long
@pytest.mark.parametrize("order", ["onecycle, keras", "keras, onecycle"])
def test_models_load_after_import_onecycle(python, order):
    """`import onecycle` alone makes every kind of schedule in a saved model known to Keras, in either order."""
    program = (
        f"import sys, {order}\n"
        "for path in sys.argv[1:]:\n"
        "    print(int(keras.ops.convert_to_numpy(keras.saving.load_model(path).optimizer.iterations)))\n"
    )
    names = {saved["schedule"] for saved in EXPECTED["models"].values()}
    found = python(program, *(SAVED / "models" / f"{name}.keras" for name in names)).stdout

    assert found.split() == ["6"] * 7


def test_model_saved_in_mid_cycle():
    """It loads with the optimizer's hyperparameters. At the end of the cycle it equals an uninterrupted run."""
    expected = EXPECTED["mid_cycle"]
    model = load_model(SAVED / "models" / "mid_cycle.keras")
    config = model.optimizer.get_config()

    assert as_lists(model) == expected["weights"]
    assert steps_of(model) == 6
    assert config["learning_rate"] == pytest.approx(expected["learning_rate"])
    assert config["momentum"] == expected["momentum"]
    cycle = onecycle.OneCycle(0.1, 12)
    onecycle.schedule_hyperparameters(model, learning_rate=cycle, momentum=cycle.momentum())
    train(model)
    assert_weights(model, expected["continued"])


def test_interrupted_cycle_resumes(tmp_path):
    """From the backup of a run that was interrupted after one of three epochs, a new model ends as the whole run."""
    backup = shutil.copytree(SAVED / "backup", tmp_path / "backup")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.SGD(0.02, momentum=0.5), "mse")
    callbacks = [onecycle.OneCycleScheduler(0.1), keras.callbacks.BackupAndRestore(str(backup))]
    history = train(model, epochs=3, callbacks=callbacks)

    assert history.epoch == [1, 2]
    assert_weights(model, EXPECTED["backup"]["continued"])


@pytest.mark.one_backend
@on_jax
@same_keras
def test_comparison_resumes(parts, tmp_path):
    """Started again in its folder, a comparison makes the missing runs alone, and they end as they did before."""
    expected = EXPECTED["comparison"]
    folder = shutil.copytree(SAVED / "comparison", tmp_path / "comparison")
    before = files(folder)
    comparison = onecycle.compare(
        parts.build, parts.data, parts.arms(), seeds=parts.SEEDS, epochs=parts.EPOCHS, batch_size=parts.BATCH_SIZE,
        metric="val_loss", directory=folder, verbose=0,
    )  # fmt: skip
    after = files(folder)

    assert after.keys() - before.keys() == {run["file"] for run in expected["missing"]}
    assert {name: after.get(name) for name in before} == before
    final = {arm: [run["final"] for run in comparison.of(arm)] for arm in comparison.arms}
    assert final == {arm: pytest.approx(values, rel=1e-4) for arm, values in expected["final"].items()}


@same_keras
@pytest.mark.parametrize("group", ["comparison", "more arms", "arrays", "model with a schedule"])
def test_identities(group, parts):
    """Every kind of arm, data and model has the identity that its records have."""
    here = {"epochs": parts.EPOCHS, "batch_size": parts.BATCH_SIZE}
    plain = {"plain": {}}
    found = {
        "comparison": lambda: identities(parts.build, parts.data, parts.arms(), seeds=range(3), **here),
        "more arms": lambda: identities(parts.build, parts.data, known_arms(parts.more_arms()), **here),
        "arrays": lambda: identities(parts.build, (arrays(), arrays()), plain, **here),
        "model with a schedule": lambda: identities(parts.build_scheduled, parts.data, plain, **here),
    }

    assert found[group]() == known_arms(IDENTITIES[BACKEND][group])


@same_keras
@pytest.mark.parametrize("task", PROTOCOLS)
def test_identities_of_the_article(task):
    """The runs of the article's main and side arms, and of its grid, have the identities that their records have."""
    protocol = PROTOCOLS[task]
    build, data = functools.partial(task_model, task), functools.partial(task_split, task)
    arms = {"main": protocol.main_arms({0.0: 0.01, 0.9: 0.001}), "side": protocol.side_arms()}
    whole = {"epochs": protocol.epochs, "batch_size": 32}
    found = {name: identities(build, data, own, **whole) for name, own in arms.items()}
    sgd = {"class_name": "SGD", "config": {"learning_rate": 0.01, "momentum": 0.9}}
    grid, held_out = {"SGD 0.01, momentum 0.9": {"optimizer": sgd}}, functools.partial(held_out_split, task, 0.2)
    found["grid"] = identities(build, held_out, grid, epochs=protocol.grid_epochs, batch_size=32, seeds=[1000])

    assert found == {name: IDENTITIES[BACKEND][f"{task}, {name}"] for name in found}


@pytest.mark.one_backend
def test_fit_saves_the_same_fields(parts, tmp_path, monkeypatch, capsys):
    """`onecycle fit --save` writes the fields that it wrote, with values of the same types, beside its report."""
    monkeypatch.setattr(parts, "subject", lambda: (parts.build(), *parts.data(0)[0]), raising=False)
    options = {"--epochs": "2", "--max-learning-rate": "0.5", "--save": str(tmp_path / "fit.json")}

    assert main(["fit", "comparison_parts:subject", *itertools.chain(*options.items())]) == 0
    assert capsys.readouterr().out
    now = json.loads((tmp_path / "fit.json").read_text(encoding="utf-8"))
    before = types(read("results/fit.json"))
    assert {name: kind for name, kind in types(now).items() if name in before} == before


@pytest.fixture
def parts(monkeypatch):
    """The module that the comparison was made with."""
    monkeypatch.syspath_prepend(str(SAVED))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "comparison_parts", raising=False)
    yield importlib.import_module("comparison_parts")
    sys.modules.pop("comparison_parts", None)


def known_arms(arms):
    """Return the arms of a dict without the one that had its peak from a sweep."""
    return {name: arm for name, arm in arms.items() if name != "warmup_stable"}


def identities(build, data, arms, *, epochs, batch_size, seeds=(0,)):
    """Return arm -> the identities of its runs, by seed."""
    known = {"model": model_identity(build()), "data": data_identity(data)}
    settings = SharedSettings(build, data, epochs, batch_size, known)
    parsed = [Arm.from_dict(name, options) for name, options in arms.items()]
    return {arm.name: [settings.identity(arm, seed) for seed in seeds] for arm in parsed}


def arrays():
    """Return the inputs and targets that the models were trained on."""
    with np.load(SAVED / "training.npz") as saved:
        return saved["x"], saved["y"]


def train(model, **options):
    """Train for six steps an epoch, in a fixed order."""
    x, y = arrays()
    return model.fit(x, y, batch_size=4, shuffle=False, verbose=0, **options)


def as_lists(model):
    """Return the weights as lists."""
    return [weight.tolist() for weight in model.get_weights()]


def assert_weights(model, expected):
    """Check the weights, but for the rounding of another backend."""
    for weight, numbers in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(weight, numbers, rtol=0, atol=ROUNDING)


def steps_of(model):
    """Return the optimizer's step counter."""
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))


def files(folder):
    """Return name -> content."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def types(fields):
    """Return name -> type, of the fields of a JSON object."""
    return {name: type(value) for name, value in fields.items()}
