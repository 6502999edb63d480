"""The argument `layer_rates`: what it names, what it refuses, what it leaves unchanged, and where it is recorded."""

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.followed import fit, follow
from oracles.layered import Layered
from oracles.scheduled import compiled, unchanged

import onecycle
from onecycle.hyperparameters.current_values import layer_rates_in_effect

# Keras 3.15 reads variables in a way that NumPy 2 deprecates. onecycle has no part in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

LAYERS = keras.layers
ADAM = {"learning_rate": 0.01}


class TestNames:
    """What a key of `layer_rates` stands for."""

    @pytest.mark.parametrize(
        ("key", "named"),
        [
            ("encoder", "first second norm"),
            ("encoder/*", "first second norm"),
            ("encoder/second", "second"),
            ("second", "second"),
            ("*/s*", "second"),
            ("[fs]*", "first second"),
            ("h?ad", "head"),
            (("first", "head"), "first head"),
            ("*", "first second norm head"),
        ],
    )
    def test_names_and_patterns(self, key, named, nested):
        """A name is a path or the own name of a layer, and a pattern is compared with both."""
        assert layers_with_factor(nested, {key: 0.5}) == named.split()

    def test_layers_and_groups(self, nested):
        """A layer stands for itself, a nested model for its layers, and a group for its members, also nested ones."""
        encoder, head = nested.get_layer("encoder"), nested.get_layer("head")
        assert layers_with_factor(nested, {encoder: 0.5}) == ["first", "second", "norm"]
        assert layers_with_factor(nested, {((encoder.get_layer("first"),), (head,)): 0.5}) == ["first", "head"]
        assert layers_with_factor(nested, {nested: 0.5}) == ["first", "second", "norm", "head"]

    def test_layers_inside_a_layer(self):
        """A composite layer stands for the layers inside it, which can be named by their paths too."""
        inputs = keras.Input((3, 4))
        outputs = LAYERS.MultiHeadAttention(1, 2, name="attention")(inputs, inputs)
        model = keras.Model(inputs, outputs)
        model.compile(keras.optimizers.SGD(), "mse")
        whole = onecycle.schedule_hyperparameters(model, layer_rates={"attention": 0.5})
        assert len(layer_rates_in_effect(whole.optimizer).factors()) == 8
        one = onecycle.schedule_hyperparameters(model, layer_rates={"attention/query": 0.5})
        assert len(layer_rates_in_effect(one.optimizer).factors()) == 2

    def test_shared_weight(self):
        """A weight that two layers share has the factor of the one that is named."""
        model = tied()
        onecycle.schedule_hyperparameters(model, layer_rates={"first": 0.5})
        factors = layer_rates_in_effect(model.optimizer).factors()
        assert factors == {id(model.get_layer("first").kernel): 0.5}
        onecycle.schedule_hyperparameters(model, layer_rates={"first": 0.5, "second": 0.5})
        with pytest.raises(ValueError, match=r"kernel' belongs to layers of 'first' and of 'second'.*0.5 and 1"):
            onecycle.schedule_hyperparameters(model, layer_rates={"first": 0.5, "second": 1})

    def test_frozen_layer(self, nested):
        """A frozen layer can have a factor, which has an effect once it is trained."""
        nested.get_layer("encoder").trainable = False
        nested.compile(keras.optimizers.SGD(), "mse")
        assert layers_with_factor(nested, {"encoder": 0.5}) == ["first", "second", "norm"]


class TestRefusals:
    """Every invalid argument is an error that names it, and nothing is changed."""

    @pytest.mark.parametrize(
        ("layer_rates", "message"),
        [
            ({"nowhere": 0.5}, r"no layer of model 'nested': 'nowhere'.*'encoder/first', .*'head'"),
            ({"decoder/*": 0.5}, "The pattern matches no layer of model 'nested': 'decoder"),
            ({"encoder": 0.5, "first": 0.1}, "'encoder/first' is named twice.*by 'encoder' and by 'first'"),
            ({"encoder/*": 0.5, "*/second": 1}, "'encoder/second' is named twice"),
            ({("first", "head"): 0.5, "head": 0.5}, "'head' is named twice.*by 'first, head' and by 'head'"),
            ({"dropout": 0.5}, "Layer 'dropout' in `layer_rates` has no weights that can be trained"),
            ({"drop*": 0.5}, "Layer 'drop.*no weights that can be trained"),
            ({"statistics": 0.5}, "'statistics' in `layer_rates` has no weights that can be trained"),
            ({"head": -0.5}, r"must be a number that is >= 0 and finite.*Received: -0.5 for 'head'"),
            ({"head": float("nan")}, "Received: nan for 'head'"),
            ({"head": float("inf")}, "Received: inf for 'head'"),
            ({"head": "half"}, "Received: 'half' for 'head'"),
            ({"head": True}, "Received: True for 'head'"),
            ({"head": None}, "Received: None for 'head'"),
            ("falling", '`layer_rates` must be a mapping of layers to factors, or "decay".*falling'),
        ],
    )
    def test_values(self, layer_rates, message, nested):
        """The message names the key or the value."""
        with unchanged(nested.optimizer), pytest.raises(ValueError, match=message):
            onecycle.schedule_hyperparameters(nested, layer_rates=layer_rates)

    @pytest.mark.parametrize(
        "layer_rates", [0.5, [("head", 0.5)], {1: 0.5}, {(): 0.5}, {None: 0.5}, {("head", 1): 0.5}], ids=str
    )
    def test_types(self, layer_rates, nested):
        """Neither numbers nor lists are taken, and keys must be layers."""
        with unchanged(nested.optimizer), pytest.raises(TypeError, match="layer_rates"):
            onecycle.schedule_hyperparameters(nested, layer_rates=layer_rates)

    def test_layer_of_another_model(self, nested):
        """The layer of another model is refused, whether or not it has weights."""
        other = networks.keras_model(seed=0)
        for layer in (other.layers[0], LAYERS.Dense(1)):
            with pytest.raises(ValueError, match=f"must be one of the model. Received: '{layer.name}'"):
                onecycle.schedule_hyperparameters(nested, layer_rates={layer: 0.5})

    def test_name_of_several_layers(self):
        """A name that several layers have is refused, and their paths are named."""
        parts = [
            keras.Sequential([keras.Input((4,)), LAYERS.Dense(4, name="same")], name=name) for name in ("left", "right")
        ]
        model = keras.Sequential([keras.Input((4,)), *parts])
        model.compile("sgd", "mse")
        with pytest.raises(ValueError, match=r"Several layers have the name 'same'.*'left/same', 'right/same'"):
            onecycle.schedule_hyperparameters(model, layer_rates={"same": 0.5})
        onecycle.schedule_hyperparameters(model, layer_rates={"left/same": 0.5})

    def test_model_without_weights(self):
        """A model that is not built yet has no weights to name."""
        model = keras.Sequential([LAYERS.Dense(2, name="a")])
        model.compile("sgd", "mse")
        for run in (
            lambda: onecycle.schedule_hyperparameters(model, layer_rates={"a": 0.5}),
            lambda: onecycle.layer_groups(model, 1),
        ):
            with pytest.raises(ValueError, match=r"which has none yet. Begin it with `keras.Input"):
                run()

    def test_optimizer_alone(self):
        """For an optimizer by itself, layers are named by themselves, and must be among those it trains."""
        model, other = compiled(keras.optimizers.Adam(**ADAM)), networks.keras_model(seed=0)
        for layer_rates in ({"dense": 0.5}, "decay"):
            with pytest.raises(ValueError, match=r"Pass the layers themselves, or the model|Pass the model"):
                onecycle.schedule_hyperparameters(model.optimizer, layer_rates=layer_rates)
        with pytest.raises(ValueError, match="must be one that the optimizer trains"):
            onecycle.schedule_hyperparameters(model.optimizer, layer_rates={model.layers[0]: 0.5})
        model.optimizer.build(model.trainable_variables)
        with pytest.raises(ValueError, match="must be one that the optimizer trains"):
            onecycle.schedule_hyperparameters(model.optimizer, layer_rates={other.layers[0]: 0.5})
        onecycle.schedule_hyperparameters(model.optimizer, layer_rates={model.layers[0]: 0.5})
        data = networks.batches(seed=1, n=4)
        fit(model, data)
        assert networks.distance(model.get_weights(), halved(data)) < 1e-5

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"decay": 0.5}, "`decay` is the ratio.*layer_rates=None, decay=0.5"),
            ({"layer_rates": {"head": 1}, "decay": 0.5}, "`decay` is the ratio"),
            ({"layer_rates": "decay", "decay": 0}, "`decay` must be > 0"),
            ({"layer_rates": "decay", "decay": 1.5}, "`decay` must be > 0 and <= 1"),
            ({"layer_rates": "decay", "decay": float("nan")}, "`decay` must be a finite number"),
        ],
    )
    def test_decay(self, arguments, message, nested):
        """A decay out of range, or without `layer_rates="decay"`, is refused."""
        with pytest.raises(ValueError, match=message):
            onecycle.schedule_hyperparameters(nested, **arguments)

    def test_optimizer_without_update_step(self):
        """An optimizer that updates its weights in its own way cannot have rates of layers, and the error says so."""

        class Own(keras.optimizers.Optimizer):
            def _backend_update_step(self, grads, trainable_variables, learning_rate):
                """Do nothing."""

        with pytest.raises(ValueError, match="Own has no method `update_step`"):
            onecycle.schedule_hyperparameters(compiled(Own(0.1)), layer_rates={"*": 0.5})


class TestGroups:
    """The order of layers from input to head."""

    def test_layer_groups(self, nested):
        """The groups have the layers with weights, in order, and a normalization stays with the layer before it."""
        names = [[layer.name for layer in group] for group in onecycle.layer_groups(nested, 3)]
        assert names == [["first"], ["second", "norm"], ["head"]]
        assert [len(group) for group in onecycle.layer_groups(nested, 2)] == [3, 1]
        assert [len(group) for group in onecycle.layer_groups(nested, 1)] == [4]

    def test_too_many_groups(self, nested):
        """There are as many groups as layers at most."""
        with pytest.raises(ValueError, match=r"`n` must be at most 3.*Received: n=4"):
            onecycle.layer_groups(nested, 4)
        with pytest.raises(ValueError, match="`n` must be >= 1"):
            onecycle.layer_groups(nested, 0)
        with pytest.raises(TypeError, match=r"must be a keras.Model"):
            onecycle.layer_groups(nested.layers, 1)

    def test_normalization_first(self):
        """A normalization before all other layers is in the group of the first one."""
        model = keras.Sequential([keras.Input((4,)), LAYERS.BatchNormalization(), LAYERS.Dense(2), LAYERS.Dense(1)])
        assert [len(group) for group in onecycle.layer_groups(model, 2)] == [2, 1]

    def test_decay(self, nested):
        """The factors fall by the ratio from the head, which has 1, to the input."""
        onecycle.schedule_hyperparameters(nested, layer_rates="decay", decay=0.5)
        described = layer_rates_in_effect(nested.optimizer).described
        assert described == (("encoder/first", 0.25), ("encoder/second, encoder/norm", 0.5), ("head", 1.0))
        onecycle.schedule_hyperparameters(nested, layer_rates="decay")
        assert layer_rates_in_effect(nested.optimizer).described[0][1] == 0.75**2


class TestTraining:
    """What surrounds the factors in training."""

    def test_undone_and_replaced(self):
        """A second call replaces the factors, a schedule keeps them, and after unscheduling the optimizer is plain."""
        optimizer = keras.optimizers.Adam(**ADAM)
        model, data = compiled(optimizer), networks.batches(seed=1, n=6)
        variables = len(optimizer.variables)
        before = dict(vars(optimizer))
        onecycle.schedule_hyperparameters(model, layer_rates={"*": 3.0})
        onecycle.schedule_hyperparameters(model, layer_rates={model.layers[0]: 0.5})
        onecycle.schedule_hyperparameters(model, learning_rate=0.01)
        fit(model, data[:2])
        expected = halved(data[:2])
        assert networks.distance(model.get_weights(), expected) < 1e-5
        onecycle.unschedule_hyperparameters(model)
        assert vars(optimizer).keys() >= before.keys()
        assert not [name for name in ("apply", "update_step", "_apply_weight_decay") if name in vars(optimizer)]
        plain = compiled(keras.optimizers.Adam(**ADAM))
        fit(plain, data[:2])
        assert len(optimizer.variables) == len(plain.optimizer.variables) > variables
        assert optimizer.get_config()["learning_rate"] == pytest.approx(0.01)
        onecycle.schedule_hyperparameters(plain, layer_rates={})
        copy_state(model, plain)
        fit(model, data[2:4])
        fit(plain, data[2:4])
        assert networks.distance(model.get_weights(), plain.get_weights()) == 0

    def test_checkpoints(self, tmp_path):
        """A checkpoint of a training with factors loads into a plain model and back, and the training goes on."""
        data = networks.batches(seed=1, n=6)
        whole, part = (compiled(keras.optimizers.Adam(**ADAM)) for _ in range(2))
        for model in (whole, part):
            onecycle.schedule_hyperparameters(model, layer_rates={model.layers[0]: 0.5})
        fit(whole, data)
        fit(part, data[:3])
        part.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert layer_rates_in_effect(loaded.optimizer) is None
        onecycle.schedule_hyperparameters(loaded, layer_rates={loaded.layers[0]: 0.5})
        fit(loaded, data[3:])
        assert networks.distance(loaded.get_weights(), whole.get_weights()) < 1e-6

    def test_average_clipping_and_frozen_layer(self):
        """Factors work beside `use_ema` with overwriting, clipping and a frozen layer."""
        data = networks.batches(seed=1, n=8)
        settings = {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2, "global_clipnorm": 0.5}
        # With one layer frozen, a factor on the other one is a factor on the rate.
        weights = []
        for rate, factor in ((0.01, 0.5), (0.005, 1.0)):
            model = networks.keras_model(seed=0)
            model.layers[1].trainable = False
            model.compile(keras.optimizers.Adam(rate, **settings), "mse")
            onecycle.schedule_hyperparameters(model, layer_rates={model.layers[0]: factor, model.layers[1]: 0.1})
            fit(model, data)
            weights.append(model.get_weights())
        assert networks.distance(*weights) < 1e-6
        assert networks.distance(weights[0][2:], networks.initial_weights(0)[2:]) == 0

    def test_nested_updates_restore_the_methods(self):
        """After an error in a step the optimizer has its own methods, and the next step works."""
        optimizer = keras.optimizers.SGD(0.1)
        model = compiled(optimizer)
        optimizer.build(model.trainable_variables)
        onecycle.schedule_hyperparameters(model, layer_rates={"*": 0.5})
        with pytest.raises(Exception):  # noqa: B017 - whatever the backend raises
            optimizer.apply([None, "no gradient", None, None], model.trainable_variables)
        assert "update_step" not in vars(optimizer)
        assert "_backend_update_step" not in vars(optimizer)
        data = networks.batches(seed=1, n=2)
        fit(model, data)


class TestRecords:
    """Where the factors are recorded."""

    def test_history_and_range_test(self):
        """The report of a cycle and the range test that picked its peak have the factors, also when saved."""
        x, y = networks.stacked(networks.batches(seed=1, n=20))
        model = compiled(keras.optimizers.Adam())
        rates = {model.layers[0]: 0.1, model.layers[1].name: 1}
        history = onecycle.fit_one_cycle(model, x, y, epochs=1, layer_rates=rates, seed=0, verbose=0)
        expected = {model.layers[0].name: 0.1, model.layers[1].name: 1.0}
        report = history.onecycle
        assert report.layer_rates == report.range_test.layer_rates == expected
        assert f"{model.layers[0].name} 0.1" in report.summary()
        assert "The learning rates are those of layers with factor 1." in report.range_test.summary()
        assert layer_rates_in_effect(model.optimizer) is None

    def test_saved(self, tmp_path):
        """A saved report has the factors, and one without any is saved as before."""
        x, y = networks.stacked(networks.batches(seed=1, n=4))
        for layer_rates, names in (({"*": 0.5}, {"*": 0.5}), (None, {})):
            model = compiled(keras.optimizers.SGD())
            cycle = onecycle.OneCycleScheduler(0.1, layer_rates=layer_rates)
            history = model.fit(x, y, verbose=0, callbacks=[cycle])
            history.onecycle.save(tmp_path / "report.json")
            assert onecycle.load(tmp_path / "report.json").layer_rates == names
            assert ("layer_rates" in (tmp_path / "report.json").read_text()) == bool(names)

    def test_resumed_with_other_factors(self, tmp_path):
        """The backup of a run with other factors is refused, and the difference is named."""
        x, y = networks.stacked(networks.batches(seed=1, n=4))

        def train(layer_rates):
            model = compiled(keras.optimizers.SGD())
            arguments = {"max_learning_rate": 0.1, "backup_dir": tmp_path, "layer_rates": layer_rates}
            return onecycle.fit_one_cycle(model, x, y, epochs=1, verbose=0, guard=False, **arguments)

        train({"*": 0.5})
        with pytest.raises(ValueError, match=r"`layer_rates.layer 0 \(Dense\)` is 0.5 there and 0.25 here"):
            train({"*": 0.25})
        with pytest.raises(ValueError, match=r"`layer_rates.layer 0 \(Dense\)` is 0.5 there and nothing here"):
            train(None)
        with pytest.warns(UserWarning, match="finished"):
            train({"*": 0.5})


@pytest.fixture
def nested():
    """A compiled model with a nested one: encoder (first, second, norm), statistics, dropout, head."""
    encoder = keras.Sequential(
        [
            keras.Input((4,)),
            LAYERS.Dense(3, name="first"),
            LAYERS.Dense(3, name="second"),
            LAYERS.LayerNormalization(name="norm"),
        ],
        name="encoder",
    )
    model = keras.Sequential(
        [
            keras.Input((4,)),
            encoder,
            LAYERS.BatchNormalization(center=False, scale=False, name="statistics"),
            LAYERS.Dropout(0.1, name="dropout"),
            LAYERS.Dense(1, name="head"),
        ],
        name="nested",
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def layers_with_factor(model, layer_rates):
    """Return the names of the layers whose weights have a factor other than 1."""
    onecycle.schedule_hyperparameters(model, layer_rates=layer_rates)
    factors = layer_rates_in_effect(model.optimizer).factors()
    found = [layer for layer in model._flatten_layers() if not layer._layers]
    named = [one.name for one in found if any(id(weight) in factors for weight in one.weights)]
    order = ["first", "second", "norm", "head"]
    return sorted(named, key=order.index)


def tied():
    """Return a compiled model in which two layers share their kernel."""

    class Tied(LAYERS.Layer):
        def __init__(self, kernel=None, **arguments):
            super().__init__(**arguments)
            self.kernel = kernel

        def build(self, shape):
            if self.kernel is None:
                self.kernel = self.add_weight(shape=(4, 4), name="kernel")

        def call(self, inputs):
            return keras.ops.matmul(inputs, self.kernel)

    first = Tied(name="first")
    first.build((None, 4))
    first.built = True
    model = keras.Sequential([keras.Input((4,)), first, Tied(first.kernel, name="second")])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def halved(data):
    """Return the weights after Adam's steps with half the rate for the first layer."""
    return follow(Layered("Adam", ADAM, (0.5, 0.5, 1, 1)), data)


def copy_state(source, target):
    """Give a model the weights and the optimizer state of another one."""
    target.set_weights(source.get_weights())
    for to, value in zip(target.optimizer.variables, source.optimizer.variables, strict=True):
        to.assign(np.array(keras.ops.convert_to_numpy(value.value)))
