"""Tests that everything works under a `keras.distribution`, or refuses data that it cannot split before training.

JAX has four virtual devices: `DataParallel` splits each batch in four, `ModelParallel` in two.
"""

import json
import re

import numpy as np
import pytest

PROGRAM = """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
import json, keras, numpy as np, onecycle

def arrays(rows):
    x = np.random.default_rng(0).normal(size=(rows, 4)).astype("float32")
    return x, np.tanh(x[:, :1])

def new_model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu", name="hidden"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", metrics=["mae"])
    return model

class Batches(keras.utils.PyDataset):
    def __init__(self, rows, size):
        super().__init__()
        self.data, self.size = arrays(rows), size
    def __len__(self):
        return -(-len(self.data[0]) // self.size)
    def __getitem__(self, index):
        return tuple(part[index * self.size : (index + 1) * self.size] for part in self.data)

def race(**options):
    model, data = new_model(), arrays(400)
    settings = {"candidates": [0.01, 0.04, 0.16], "validation_data": arrays(40), "seed": 1, "verbose": 0}
    result = onecycle.race_learning_rates(model, *data, epochs=3, batch_size=20, **settings, **options)
    return {"scores": result.scores.tolist(), "reasons": result.reasons, "weights": flat(model)}

def flat(model):
    return np.concatenate([weight.ravel() for weight in model.get_weights()]).tolist()

def race_on_cluster():
    from distributed import LocalCluster
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs="CRITICAL") as cluster:
        return race(cluster=cluster.scheduler_address.replace("tcp://", "dask://"))

def unchanged_by_searches():
    model, (x, y) = new_model(), arrays(403)
    validation = arrays(40)
    def state():
        # Compiled for the state of the model alone.
        return [*model.evaluate(*validation, verbose=0), *model.predict(validation[0], verbose=0).ravel().tolist()]
    before = state()
    onecycle.find_learning_rate(model, x, y, batch_size=20, num_steps=30, verbose=0)
    finder = onecycle.LearningRateFinder(num_steps=30)
    model.fit(x[:400], y[:400], batch_size=20, epochs=3, verbose=0, callbacks=[finder], validation_data=validation)
    return before == state() and len(finder.result.losses) > 10

def trained():
    model = new_model()
    options = {"batch_size": 20, "validation_split": 0.5, "seed": 1}
    history = onecycle.fit_one_cycle(model, *arrays(800), epochs=8, verbose=0, **options)
    return {"steps": int(model.optimizer.iterations), "val_loss": history.history["val_loss"]}

def refusal(function, *data, **arguments):
    model = new_model()
    try:
        function(model, *data, verbose=0, **arguments)
    except ValueError as error:
        return f"{int(model.optimizer.iterations)} steps: {error}"

def refusals():
    fit, race = onecycle.fit_one_cycle, onecycle.race_learning_rates
    return [
        refusal(onecycle.find_learning_rate, *arrays(90), batch_size=30),
        refusal(fit, *arrays(90), epochs=2, batch_size=30),
        refusal(fit, *arrays(90), epochs=2, batch_size=20),
        refusal(fit, *arrays(88), epochs=2, batch_size=20, validation_data=arrays(21)),
        refusal(fit, *arrays(88), epochs=2, batch_size=20, validation_split=0.25),
        refusal(race, *arrays(400), epochs=8, batch_size=20, validation_data=arrays(21)),
        refusal(onecycle.find_learning_rate, Batches(90, 30)),
    ]

devices = keras.distribution.list_devices("cpu")
layouts = keras.distribution.LayoutMap(keras.distribution.DeviceMesh((2, 2), ("batch", "model"), devices))
layouts["hidden.kernel"] = (None, "model")
results = {"one device": {"race": race()}}
for distribution in (
    keras.distribution.DataParallel(devices=devices),
    keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch"),
):
    with distribution.scope():
        found = results[type(distribution).__name__] = {"race": race(), "trained": trained()}
        found["unchanged"] = unchanged_by_searches()
        if len(results) == 2:
            found |= {"refusals": refusals(), "on cluster": race_on_cluster()}
        else:
            found["refusal"] = refusal(onecycle.race_learning_rates, *arrays(400), epochs=3, cluster="ray")
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def results(python, backend):
    """Return what happened on one device, under DataParallel and under ModelParallel."""
    if backend != "jax":
        pytest.skip("Keras distributes on JAX only")
    return json.loads(python(PROGRAM, KERAS_BACKEND="jax").stdout.splitlines()[-1])


@pytest.mark.long
@pytest.mark.parametrize("distribution", ["DataParallel", "ModelParallel"])
class TestDistribution:
    """Both ways to distribute."""

    def test_race_equals_that_of_one_device(self, results, distribution):
        """The scores, the winner and its weights are those of one device to float32."""
        assert_same_race(results["one device"]["race"], results[distribution]["race"])

    def test_model_can_be_evaluated_before_and_after_each_search(self, results, distribution):
        """Functions compiled before a range test and a LearningRateFinder give the same values afterwards."""
        assert results[distribution]["unchanged"]

    def test_fit_one_cycle_trains_at_the_peak_of_a_range_test(self, results, distribution):
        """After the range test come all steps of the training, with an evaluation in each epoch."""
        trained = results[distribution]["trained"]
        assert trained["steps"] == 8 * 20
        assert len(trained["val_loss"]) == 8
        assert trained["val_loss"][-1] < 0.05


@pytest.mark.long
def test_workers_of_a_cluster_split_batches_among_their_devices(results):
    """Under DataParallel, the candidates of a race on Dask are those of a race on one device to float32."""
    assert_same_race(results["one device"]["race"], results["DataParallel"]["on cluster"])


@pytest.mark.long
def test_race_on_a_cluster_is_refused_under_other_distributions(results):
    """Before any training."""
    assert results["ModelParallel"]["refusal"].startswith("0 steps: A model under a strategy of TensorFlow")


def assert_same_race(one, other):
    """Two races have the same scores, reasons and weights of the winner."""
    np.testing.assert_allclose(other["scores"], one["scores"], rtol=1e-3)
    assert [reason.split(":")[0] for reason in other["reasons"]] == [reason.split(":")[0] for reason in one["reasons"]]
    np.testing.assert_allclose(other["weights"], one["weights"], rtol=1e-3, atol=1e-5)


@pytest.mark.long
def test_uneven_batches_are_refused_before_training(results):
    """Each refusal names the argument, the number of devices and what was received."""
    size, batches = r"0 steps: Argument `batch_size` must be a multiple of 4", "have batches that divide evenly among"
    data_set = r"0 steps: Every batch of a data set, .* among the 4 devices"
    expected = [
        rf"{size}.* Received: batch_size=30",
        rf"{size}.* Received: batch_size=30",
        rf"0 steps: Argument `x` must {batches} the 4 devices.* Received: 90 rows with a batch size of 20",
        rf"0 steps: Argument `validation_data` must {batches} the 4 devices.* Received: 21 rows",
        rf"0 steps: Argument `x` must {batches} the 4 devices.* Received: 66 rows",
        rf"0 steps: Argument `validation_data` must {batches} the 4 devices.* Received: 21 rows",
        data_set,
    ]
    for pattern, message in zip(expected, results["DataParallel"]["refusals"], strict=True):
        assert message is not None, pattern
        assert re.match(pattern, message), message
