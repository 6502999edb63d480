"""KerasHub: a classifier made from a configuration, with strings, without its preprocessor, and with LoRA."""

import keras
import numpy as np
import pytest

import onecycle
from onecycle.keras_support.preprocessing import preprocessed

keras_hub = pytest.importorskip("keras_hub")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "is", "good", "bad"]
LABELS = np.random.default_rng(0).integers(0, 2, 64)
TEXTS = [f"the film is {'good' if label else 'bad'}" for label in LABELS]
# KerasHub warns that arrays are not shuffled, and TensorFlow of its own use of NumPy.
pytestmark = pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def preprocessor():
    """Return the preprocessor of a small vocabulary, which makes token numbers of strings."""
    pytest.importorskip("tensorflow_text")
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=WORDS)
    return keras_hub.models.BertTextClassifierPreprocessor(tokenizer, sequence_length=8)


def classifier(preprocessor):
    """Return a small BERT with a head, compiled."""
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(WORDS), num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16, max_sequence_length=8
    )
    model = keras_hub.models.BertTextClassifier(backbone, num_classes=2, preprocessor=preprocessor, dropout=0.0)
    model.compile(keras.optimizers.AdamW(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_strings_are_searched_and_trained_on(preprocessor):
    """A range test and a cycle take strings, which the model's own `fit` preprocesses; the test changes nothing."""
    model = classifier(preprocessor)
    before = model.get_weights()
    result = onecycle.find_learning_rate(model, TEXTS, LABELS, batch_size=16, num_steps=40, verbose=0)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    history = onecycle.fit_one_cycle(model, TEXTS, LABELS, batch_size=16, epochs=3, max_learning_rate=0.01, verbose=0)

    assert len(result.learning_rates) > 10
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert history.onecycle.total_steps == 12


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch traces nothing but code of Keras")
def test_range_test_is_compiled(preprocessor, monkeypatch):
    """The range test of strings runs in one program, on data that is preprocessed once, and equals that on tokens."""
    monkeypatch.delattr("onecycle.finding.ramp_in_fit.RampInFit.start")  # no test inside `fit`
    model = classifier(preprocessor)
    arguments = {"batch_size": 16, "num_steps": 60, "seed": 0, "verbose": 0}
    found = onecycle.find_learning_rate(model, TEXTS, LABELS, **arguments)
    tokens = {name: np.asarray(value) for name, value in preprocessor(TEXTS).items()}
    plain = keras.Model(model.inputs, model.outputs)
    plain.compile(keras.optimizers.AdamW(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    expected = onecycle.find_learning_rate(plain, tokens, LABELS, **arguments)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-4)


def test_a_part_of_many_rows_is_preprocessed(preprocessor):
    """Of more rows than the test needs, a part is preprocessed, each row with its target."""
    model = classifier(preprocessor)
    numbers = np.arange(len(TEXTS))
    x, y, _ = preprocessed(model, TEXTS, numbers, None, rows=10)
    assert len(set(y.tolist())) == 10
    whole = preprocessor(TEXTS)
    for name, values in x.items():
        np.testing.assert_array_equal(values, np.asarray(whole[name])[y])


def test_plain_model_around_a_classifier_has_the_fit_of_keras(preprocessor):
    """`keras.Model` of its inputs and outputs, which may be compiled into one loop, shares its weights."""
    from onecycle.keras_support.train_function import overridden_method

    model = classifier(preprocessor)
    tokens = {name: np.asarray(value) for name, value in preprocessor(TEXTS).items()}
    plain = keras.Model(model.inputs, model.outputs)
    plain.compile(keras.optimizers.AdamW(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    onecycle.find_learning_rate(plain, tokens, LABELS, batch_size=16, num_steps=40, verbose=0)

    assert overridden_method(plain) is None
    assert overridden_method(model) == "fit"
    assert all(one is other for one, other in zip(plain.trainable_weights, model.trainable_weights, strict=True))


@pytest.mark.long
def test_lora_trains_the_small_matrices_only(preprocessor):
    """After `enable_lora`, a cycle changes the matrices of LoRA and the head, and no other weight."""
    model = classifier(preprocessor)
    model.backbone.enable_lora(rank=2)
    model.compile(keras.optimizers.AdamW(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    frozen = {id(weight): weight.numpy().copy() for weight in model.non_trainable_weights}
    assert any("lora" in weight.path for weight in model.trainable_weights)
    onecycle.fit_one_cycle(model, TEXTS, LABELS, batch_size=16, epochs=1, max_learning_rate=0.01, verbose=0)

    for weight in model.non_trainable_weights:
        if "seed" not in weight.path:
            np.testing.assert_array_equal(weight.numpy(), frozen[id(weight)])
