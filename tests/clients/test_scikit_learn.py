"""scikit-learn: Keras' wrappers in pipelines, in cross-validation and in a grid search over the peak."""

import keras
import numpy as np
import pytest
from oracles.clients import LABELS, STEPS, Recorder, X

import onecycle

pytest.importorskip("sklearn")

from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def build(X, y):
    """Return a model for what the wrapper passes: the rows, and the targets as indicators."""
    model = keras.Sequential([keras.Input(X.shape[1:]), keras.layers.Dense(2, "softmax")])
    model.compile(keras.optimizers.SGD(momentum=0.9), "categorical_crossentropy", metrics=["accuracy"])
    return model


class CycleClassifier(keras.wrappers.SKLearnClassifier):
    """A classifier whose peak is a parameter of scikit-learn."""

    def __init__(self, model, peak=0.1, epochs=2, warm_start=False, model_kwargs=None, fit_kwargs=None):
        super().__init__(model, warm_start=warm_start, model_kwargs=model_kwargs, fit_kwargs=fit_kwargs)
        self.peak, self.epochs = peak, epochs

    def fit(self, X, y, **kwargs):
        callbacks = [onecycle.OneCycleScheduler(self.peak), *kwargs.pop("callbacks", [])]
        return super().fit(X, y, epochs=self.epochs, callbacks=callbacks, verbose=0, **kwargs)


def test_cross_validation_of_a_pipeline():
    """`params` of `cross_val_score` reach the wrapper in a pipeline, and each fold makes a whole cycle."""
    fits = []
    pipeline = make_pipeline(StandardScaler(), keras.wrappers.SKLearnClassifier(build))
    options = {"epochs": 2, "verbose": 0, "callbacks": [onecycle.OneCycleScheduler(0.1), Recorder(fits)]}
    params = {f"sklearnclassifier__{name}": value for name, value in options.items()}
    scores = cross_val_score(pipeline, X, LABELS, cv=2, params=params)

    assert fits == [pytest.approx(onecycle.OneCycle(0.1, 2 * 2).values())] * 2  # 64 rows are 2 batches of 32
    assert np.all((scores > 0) & (scores <= 1))


def test_grid_search_over_the_peak():
    """The peak is a parameter of the grid. The best estimator is a whole cycle with the best peak."""
    fits = []
    pipeline = make_pipeline(StandardScaler(), CycleClassifier(build))
    search = GridSearchCV(pipeline, {"cycleclassifier__peak": [1e-6, 0.3]}, cv=2)
    search.fit(X, LABELS, cycleclassifier__callbacks=[Recorder(fits)])

    best = search.best_params_["cycleclassifier__peak"]
    assert [max(rates) for rates in fits] == pytest.approx([1e-6] * 2 + [0.3] * 2 + [best])  # two folds each
    assert len(fits[-1]) == 2 * STEPS
    assert search.best_estimator_.predict(X).shape == (len(X),)
