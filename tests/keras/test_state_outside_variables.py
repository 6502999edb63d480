"""A range test restores the state that a model keeps outside Keras' variables, and that of its data."""

import collections
import time

import keras
import numpy as np
import pytest
from keras import layers

import onecycle
from onecycle.engine import train_members
from onecycle.keras_support.fit_start import start_fit
from onecycle.keras_support.snapshot import preserving

BACKEND = keras.backend.backend()
ROWS, BATCH = 96, 16
torch_only = pytest.mark.skipif(BACKEND != "torch", reason="PyTorch only")
tensorflow_only = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow only")


def data():
    """Return small arrays to train on."""
    x = 3 * np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32") + 1
    return x, np.tanh(x[:, :1])


def compiled(*inner, **options):
    """Return a small compiled model with the given layers in it."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,), batch_size=BATCH), *inner, layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", **options)
    return model


def find(model, **options):
    """Run a range test that diverges."""
    options = {"x": data()[0], "y": data()[1], "num_steps": 24, "batch_size": BATCH, "verbose": 0, **options}
    onecycle.find_learning_rate(model, options.pop("x"), options.pop("y"), **options)


def find_in_fit(model):
    """Run two range tests in `fit`."""
    find(model, repeats=2, steps_per_execution=None)


def find_by_callback(model):
    """Run a range test in a `fit` of the user's."""
    finder = onecycle.LearningRateFinder(num_steps=24)
    model.fit(*data(), batch_size=BATCH, epochs=5, verbose=0, callbacks=[finder])
    assert finder.result is not None


def train(model):
    """Train two members."""
    train_members(model, *data(), members=[0.01, 0.1], epochs=1, batch_size=BATCH)


def numbers(*values):
    """Return copies of arrays and tensors of any library."""
    return [np.array(keras.ops.convert_to_numpy(value)) for value in values]


def assert_equal(one, other):
    """Compare two lists of arrays bit by bit."""
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


class Keeping(layers.Layer):
    """A layer that keeps a counter, a list, an array and a set of numbers, and changes them in each call."""

    def __init__(self):
        super().__init__()
        self.calls, self.sums, self.seen = 0, [0.0], collections.deque([1], maxlen=3)
        self.memory, self.names, self.none = np.zeros(3), {"last": {"call": 0}}, None

    def call(self, inputs):
        self.calls += 1
        self.sums.append(1.0)
        self.seen.append(self.calls)
        self.memory += self.calls
        self.names["last"]["call"] = self.calls
        self.none, self.new = self.calls, self.calls
        return inputs

    def kept(self):
        return self.calls, list(self.sums), list(self.seen), self.memory.tolist(), repr(self.names), self.none


@pytest.mark.parametrize("run", [find, find_in_fit, find_by_callback, train])
def test_attributes_of_layers_are_restored(run):
    """Counters, lists, arrays and dicts of a layer are as before, whatever runs; what was added is removed."""
    keeping = Keeping()
    model = compiled(keeping)
    model.fit(*data(), batch_size=BATCH, verbose=0)
    before = keeping.kept()
    del keeping.new
    run(model)
    assert keeping.kept() == before
    assert not hasattr(keeping, "new")


@torch_only
@pytest.mark.parametrize("run", [find, find_in_fit, find_by_callback, train])
def test_buffers_of_modules_are_restored(run):
    """The running statistics of a module of PyTorch, and state that it adds to its `state_dict`, are as before."""
    import torch

    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.count = torch.nn.BatchNorm1d(4), {"calls": 0}
            self.register_buffer("mean", torch.zeros(4), persistent=False)

        def forward(self, x):
            self.count["calls"] += 1
            self.mean = 0.5 * self.mean + x.detach().mean(0)
            return self.norm(x)

        def get_extra_state(self):
            return self.count

        def set_extra_state(self, state):
            self.count = state

    module = Counting()
    model = compiled(layers.TorchModuleWrapper(torch.nn.Sequential(module, torch.nn.Linear(4, 4))))
    model.fit(*data(), batch_size=BATCH, verbose=0)
    score = model.evaluate(*data(), verbose=0)
    before, mean, calls = numbers(*module.norm.state_dict().values()), numbers(module.mean), module.count["calls"]
    run(model)
    assert_equal(before, numbers(*module.norm.state_dict().values()))
    assert_equal(mean, numbers(module.mean))
    assert module.count == {"calls": calls}
    assert np.isfinite(score)
    assert model.evaluate(*data(), verbose=0) == score


@torch_only
def test_modules_that_are_no_layers_are_restored():
    """A module in a list of a model, and a buffer of a layer itself, are as before."""
    import torch

    class Holding(layers.Layer):
        def __init__(self):
            super().__init__()
            self.norms = [torch.nn.BatchNorm1d(4)]
            self.register_buffer("total", torch.zeros(()))

        def call(self, inputs):
            self.total += inputs.detach().sum()
            self.norms[0].train()
            return self.norms[0](inputs)

    holding = Holding()
    model = compiled(holding)
    model.fit(*data(), batch_size=BATCH, verbose=0)
    state = lambda: numbers(holding.total, *holding.norms[0].state_dict().values())  # noqa: E731 - short
    before = state()
    find(model)
    assert_equal(before, state())
    find_by_callback(model)
    assert_equal(before, state())


@tensorflow_only
@pytest.mark.parametrize("run", [find_in_fit, find_by_callback, train])
def test_variables_and_tables_of_tensorflow_are_restored(run):
    """A `tf.Variable`, one in a `tf.Module`, and a table that a layer fills are as before, and `fit` trains."""
    import tensorflow as tf

    class Counter(tf.Module):
        def __init__(self):
            super().__init__()
            self.count = tf.Variable(0.0, trainable=False)

    class Counting(layers.Layer):
        def __init__(self):
            super().__init__()
            self.total, self.counter = tf.Variable(0.0, trainable=False), Counter()
            self.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, -1)

        def call(self, inputs):
            self.total.assign_add(tf.reduce_sum(inputs))
            self.counter.count.assign_add(1.0)
            self.table.insert(tf.cast(self.counter.count, tf.int64), tf.constant(1, tf.int64))
            return inputs

    counting = Counting()
    model = compiled(counting, jit_compile=False)
    model.fit(*data(), batch_size=BATCH, verbose=0)
    state = lambda: numbers(counting.total, counting.counter.count, counting.table.size())  # noqa: E731 - short
    before = state()
    assert before[1] > 0
    run(model)
    assert_equal(before, state())


def test_states_of_recurrent_layers_are_restored_by_the_callback():
    """A recurrent layer with `stateful=True` has the same state after a `fit` with a `LearningRateFinder`."""
    if BACKEND == "jax":
        pytest.skip("a training step of JAX changes no such state")
    model = compiled(layers.Reshape((2, 2)), layers.SimpleRNN(4, stateful=True))
    model.predict(data()[0], batch_size=BATCH, verbose=0)
    before = numbers(*model.layers[1].states)
    find_by_callback(model)
    assert_equal(before, numbers(*model.layers[1].states))


class Noisy(keras.Model):
    """A model that draws from generators, with a layer that is never called."""

    def __init__(self):
        super().__init__()
        self.generator, self.unused = keras.random.SeedGenerator(3), layers.Dense(2)
        self.hidden = {"generator": (np.random.default_rng(1), keras.random.SeedGenerator(4))}
        self.dense = layers.Dense(1)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, inputs):
        self.hidden["generator"][0].random()
        return self.dense(inputs + keras.random.normal(keras.ops.shape(inputs), seed=self.generator))


@pytest.mark.one_backend
@pytest.mark.parametrize("run", [find, find_in_fit, find_by_callback])
def test_seed_generators_of_a_trained_model_do_not_move(run):
    """Generators are as before where a layer is never called, so that the model is called on a batch first."""
    model = Noisy()
    model.compile("sgd", "mse")
    model.fit(*data(), batch_size=BATCH, verbose=0)
    state = lambda: [*numbers(model.generator.state), model.hidden["generator"][0].bit_generator.state]  # noqa: E731
    before = state()
    run(model)
    assert_equal(before[:1], state()[:1])
    if run is not find_by_callback:  # each `fit` of a model with such a layer calls it on symbols
        assert state()[1] == before[1]


class Shuffled(keras.utils.PyDataset):
    """Batches in an order that its own generator draws after each epoch."""

    def __init__(self):
        super().__init__()
        self.rng, self.order, self.epochs, self.read = np.random.default_rng(1), np.arange(ROWS), 0, []
        self.noise = layers.GaussianNoise(0.1)

    def __len__(self):
        return ROWS // BATCH

    def __getitem__(self, index):
        self.read.append(index)
        x, y = data()
        rows = self.order[BATCH * index : BATCH * (index + 1)]
        noisy = self.noise(x[rows] + self.rng.normal(), training=True)
        return numbers(noisy)[0], y[rows]

    def on_epoch_end(self):
        self.rng.shuffle(self.order)
        self.epochs += 1

    def state(self):
        seed = numbers(*self.noise.variables)[0].tolist()
        return self.rng.bit_generator.state, self.order.tolist(), self.epochs, len(self.read), seed


@pytest.mark.parametrize("build", [compiled, Noisy])
def test_a_data_set_is_restored(build):
    """The generator, the order and the counters of a `PyDataset` are as before a range test."""
    model, shuffled = build(), Shuffled()
    model.compile("sgd", "mse")
    before = shuffled.state()
    find(model, x=shuffled, y=None, batch_size=None)
    assert shuffled.state() == before


class ReadAhead(Shuffled):
    """Batches of which a thread that reads ahead is still making one when `fit` stops."""

    def __getitem__(self, index):
        time.sleep(0.3)
        return super().__getitem__(index)


def test_a_data_set_is_restored_after_a_thread_has_read_ahead():
    """`tf.data` does not read on after the state of a data set is restored."""
    model, data_set = Noisy(), ReadAhead()
    model.compile("sgd", "mse")
    before = data_set.state()
    start_fit(model, data_set)
    time.sleep(0.5)
    assert data_set.state() == before


def test_the_generator_of_a_data_loader_is_restored():
    """A `DataLoader` draws the same order of rows after a range test as before, from its generator or its sampler's."""
    torch = pytest.importorskip("torch")
    rows = torch.utils.data.TensorDataset(*map(torch.as_tensor, data()))
    for place in ("loader", "sampler"):
        generator = torch.Generator().manual_seed(5)
        sampler = torch.utils.data.RandomSampler(rows, generator=generator)
        options = {"generator": generator, "shuffle": True} if place == "loader" else {"sampler": sampler}
        loader = torch.utils.data.DataLoader(rows, BATCH, **options)
        before = generator.get_state()
        find(compiled(), x=loader, y=None, batch_size=None)
        assert bool((generator.get_state() == before).all())


class TwoOptimizers(keras.Model):
    """A model that holds optimizers besides that of `compile`, of which a step uses one (not on JAX)."""

    def __init__(self):
        super().__init__()
        self.dense, self.optimizers = layers.Dense(1), {"one": keras.optimizers.Adam(0.1)}

    def call(self, inputs):
        return self.dense(inputs)


@pytest.mark.one_backend
def test_every_optimizer_that_a_model_holds_is_restored():
    """The variables of another optimizer, its rate, and whether it was built are as before."""
    model = TwoOptimizers()
    model.compile("sgd", "mse")
    model(data()[0])
    other = model.optimizers["one"]

    class Changing(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            other.learning_rate = 0.5
            other.build(model.trainable_variables)
            other.iterations.assign_add(1)
            other.beta_1 = 0.0

    def run():
        model.fit(*data(), verbose=0, callbacks=[Changing()])

    preserving(model, run)
    assert (other.built, other.beta_1, len(other.variables)) == (False, 0.9, 2)
    assert numbers(other.iterations, other.learning_rate) == [0, np.float32(0.1)]
