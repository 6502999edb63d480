"""Optuna: a search over the peak, with trials that are pruned in the middle of a cycle."""

import keras
import numpy as np
import pytest
from oracles.clients import LABELS, X, build

import onecycle

optuna = pytest.importorskip("optuna")


@pytest.mark.parametrize("own_fit", [True, False], ids=["callback", "fit_one_cycle"])
def test_pruned_trials_leave_nothing_behind(own_fit):
    """Bad peaks are pruned, and the model of a pruned trial has its own learning rate and momentum again."""
    models = []

    def objective(trial):
        def report(epoch, logs):
            trial.report(logs["val_loss"], epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        models.append(model := build())
        peak = trial.suggest_float("peak", 1e-3, 1.0, log=True)
        options = {"epochs": 3, "validation_data": (X, LABELS), "verbose": 0}
        prune = keras.callbacks.LambdaCallback(on_epoch_end=report)
        if own_fit:
            history = model.fit(X, LABELS, callbacks=[onecycle.OneCycleScheduler(peak), prune], **options)
        else:
            history = onecycle.fit_one_cycle(model, X, LABELS, max_learning_rate=peak, callbacks=[prune], **options)
        return history.history["val_loss"][-1]

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=1)
    study = optuna.create_study(sampler=optuna.samplers.GridSampler({"peak": [0.3, 1e-3, 0.1]}, seed=1), pruner=pruner)
    study.enqueue_trial({"peak": 0.3})
    study.optimize(objective, n_trials=3)
    states = [trial.state.name for trial in study.trials]

    assert states[0] == "COMPLETE"
    assert "PRUNED" in states
    assert study.best_params["peak"] > 1e-3
    for model in models:
        onecycle.unschedule_hyperparameters(model)  # removes what an exception has left in `fit`
        assert float(model.optimizer.learning_rate) == np.float32(0.01)
        assert model.optimizer.momentum == 0.9
