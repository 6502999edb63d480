"""MLflow, Comet and Weights & Biases log a training with a cycle, and nothing else."""

import importlib.util
import json

import pytest

import onecycle

PROGRAM = """
import json, warnings
import keras, numpy as np, onecycle

class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        x = np.random.RandomState(index).randn(16, 4).astype("float32")
        return x, x[:, :1]

def compiled():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    return model
"""

MLFLOW = """
import mlflow
mlflow.keras.autolog(log_models=False, log_datasets=False, silent=True)
history = onecycle.fit_one_cycle(compiled(), Batches(), epochs=2, seed=0, verbose=0)
mlflow.flush_async_logging()
runs, client = mlflow.search_runs(output_format="list"), mlflow.MlflowClient()
values = {
    # Written by a thread, perhaps in another order.
    name: [one.value for one in sorted(client.get_metric_history(runs[0].info.run_id, name), key=lambda one: one.step)]
    for name in ("loss", "learning_rate", "momentum")
}
cycle = history.onecycle.parameters()
print(json.dumps([len(runs), runs[0].data.params, cycle, values, history.history]))
"""

MLFLOW_RACE = """
import mlflow
mlflow.keras.autolog(log_models=False, log_datasets=False, silent=True)
x = np.random.RandomState(0).randn(200, 4).astype("float32")
history = onecycle.fit_one_cycle(compiled(), x, x[:, :1], epochs=3, max_learning_rate="race", seed=0, verbose=0)
automatic = len(mlflow.search_runs(output_format="list"))
with mlflow.start_run():
    mlflow.log_params(history.onecycle.parameters())
    for epoch in history.epoch:
        mlflow.log_metrics({name: values[epoch] for name, values in history.history.items()}, epoch)
(run,) = mlflow.search_runs(output_format="list")
print(json.dumps([automatic, run.data.metrics, run.data.params["max_learning_rate"], history.history]))
"""

COMET = """
import zipfile
quiet = {name: False for name in ("log_code", "log_env_details", "log_git_metadata", "log_git_patch")}
experiment = comet_ml.OfflineExperiment(offline_directory=".", project_name="p", workspace="w", **quiet)
history = onecycle.fit_one_cycle(compiled(), Batches(), epochs=2, seed=0, verbose=0)
experiment.end()
messages = zipfile.ZipFile(experiment.get_key() + ".zip").read("messages.json").decode().splitlines()
logged = [one.get("payload", {}).get("metric") for one in map(json.loads, messages)]
values = {
    name: [one["metricValue"] for one in logged if one and one["metricName"] == name]
    for name in ("loss", "learning_rate", "momentum")
}
print(json.dumps([values, history.history]))
"""

WANDB = """
import wandb
with wandb.init(mode="disabled"):
    logged = []
    wandb.log = logged.append
    from wandb.integration.keras import WandbMetricsLogger
    callbacks = [WandbMetricsLogger(log_freq=1), onecycle.OneCycleScheduler(0.1)]
    compiled().fit(Batches(), epochs=2, verbose=0, callbacks=callbacks)
print(json.dumps(logged))
"""

WANDB_OFFLINE = """
import pathlib, wandb
from wandb.integration.keras import WandbMetricsLogger
with wandb.init(mode="offline", project="p", dir=".") as run:
    history = onecycle.fit_one_cycle(
        compiled(), Batches(), epochs=2, max_learning_rate=0.1, verbose=0, callbacks=[WandbMetricsLogger()]
    )
    run.config.update(history.onecycle.parameters())
    values = {name: run.summary[name] for name in ("epoch/loss", "epoch/learning_rate", "epoch/momentum")}
    config = run.config.as_dict()
files = [path.name for path in pathlib.Path("wandb").glob("offline-run-*/*.wandb")]
print(json.dumps([values, config["max_learning_rate"], files, history.history]))
"""


@pytest.fixture
def logged(python, tmp_path, monkeypatch):
    """Return a function that runs a program in an empty folder and returns what its last line holds."""
    monkeypatch.chdir(tmp_path)
    environment = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_TRACKING_URI": (tmp_path / "runs").as_uri()}
    environment |= {"WANDB_SILENT": "true", "WANDB_DIR": str(tmp_path)}
    return lambda program, first="": json.loads(
        python(f"{first}\n{PROGRAM}{program}", **environment).stdout.splitlines()[-1]
    )


def test_mlflow(logged):
    """Autologging has one run, with the losses of the training and the parameters of the cycle."""
    pytest.importorskip("mlflow")
    runs, parameters, cycle, values, history = logged(MLFLOW)

    assert runs == 1
    assert values == {name: pytest.approx(history[name]) for name in values}
    assert cycle["rule"] == "one_cycle"
    assert {name: parameters[f"optimizer_{name}"] for name in cycle} == {k: str(v) for k, v in cycle.items()}
    assert (
        parameters["optimizer_learning_rate"]
        == f"OneCycle(max_learning_rate={cycle['max_learning_rate']}, total_steps=8)"
    )


@pytest.mark.long
def test_mlflow_beside_a_race(logged):
    """Autologging has no run, and the history of the winner can be logged."""
    pytest.importorskip("mlflow")
    automatic, metrics, peak, history = logged(MLFLOW_RACE)
    assert automatic == 0
    assert metrics == {name: pytest.approx(values[-1]) for name, values in history.items()}
    assert float(peak) > 0


def test_comet(logged):
    """An offline experiment of Comet has the epochs of the training, and none of the range test."""
    if importlib.util.find_spec("comet_ml") is None:  # an import would patch Keras in this process
        pytest.skip("needs comet_ml")
    values, history = logged(COMET, first="import comet_ml")  # it patches Keras only if it comes before
    assert values == {name: pytest.approx(history[name]) for name in values}


def test_weights_and_biases(logged):
    """`WandbMetricsLogger` logs the rate of each step and of each epoch's last step, and the momentum."""
    pytest.importorskip("wandb")
    rows = logged(WANDB)
    rates = onecycle.OneCycle(0.1, 8).values()

    assert [row["batch/learning_rate"] for row in rows if "batch/learning_rate" in row] == pytest.approx(rates)
    assert [row["epoch/learning_rate"] for row in rows if "epoch/epoch" in row] == pytest.approx(rates[[3, 7]])
    assert [row["epoch/momentum"] for row in rows if "epoch/epoch" in row] == pytest.approx([0.85, 0.95])


@pytest.mark.long
def test_weights_and_biases_offline(logged):
    """An offline run has the last loss, rate and momentum, and the parameters of the cycle, in one file."""
    pytest.importorskip("wandb")
    values, peak, files, history = logged(WANDB_OFFLINE)
    assert values["epoch/loss"] == pytest.approx(history["loss"][-1])
    assert values["epoch/learning_rate"] == pytest.approx(onecycle.OneCycle(0.1, 8).values()[-1])
    assert values["epoch/momentum"] == pytest.approx(0.95)
    assert peak == 0.1
    assert len(files) == 1
