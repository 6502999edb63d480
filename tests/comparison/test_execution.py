"""Runs made in processes and on clusters, where workers and the main process are killed in the middle of a run."""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from onecycle import compare
from onecycle.results import load
from onecycle.workers import environment
from onecycle.workers import process as worker

WAIT = 120  # seconds that anything may take before the test fails

DRIVER = """
import sys
from user_code import ARMS, build, data
from onecycle import compare
if __name__ == "__main__":
    directory, jobs, cluster, seeds = sys.argv[1:]
    compare(build, data, ARMS, seeds=int(seeds), epochs=1, directory=directory, jobs=int(jobs),
            cluster=cluster or None, verbose=0)
"""


@pytest.fixture
def user_code(user_folder, monkeypatch):
    """The user's module, imported."""
    monkeypatch.delitem(sys.modules, "user_code", raising=False)
    yield importlib.import_module("user_code")
    sys.modules.pop("user_code", None)


@pytest.fixture
def driver(user_folder):
    """Return a function that starts a comparison in another process. The process is killed when the test ends."""
    (user_folder / "driver.py").write_text(DRIVER)
    started = []

    def start(directory, *, jobs=1, cluster="", seeds=2, pause=0.0):
        path = os.pathsep.join(filter(None, (str(user_folder), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "ONECYCLE_TEST_PAUSE": str(pause), "PYTHONPATH": path}
        arguments = [sys.executable, "driver.py", str(directory), str(jobs), cluster, str(seeds)]
        started.append(subprocess.Popen(arguments, cwd=user_folder, env=environment, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT)


def compared(user_code, *, arms=None, **options):
    """Return a comparison of one epoch, made without output."""
    return compare(user_code.build, user_code.data, arms or user_code.ARMS, epochs=1, verbose=0, **options)


def started_runs():
    """Return (process, parent process) for each run that has started, in order."""
    log = Path(os.environ["ONECYCLE_TEST_LOG"])
    lines = log.read_text().splitlines() if log.exists() else []
    return [tuple(map(int, line.split())) for line in lines]


def wait_until(condition):
    """Wait until another process has made the condition true."""
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "the condition never became true"
        time.sleep(0.05)


def names(directory):
    """Return the file names of the records in a folder."""
    return sorted(path.name for path in directory.glob("*.json")) if directory.exists() else []


def without_times(comparison):
    """Return the runs without what a clock measured and without the number of threads."""
    return [without_seconds(run) for run in comparison.runs]


def without_seconds(run):
    """Return a run without what a clock measured, also where it stopped short of the target, and its machine."""
    left_out = ("seconds", "seconds_to_target", "machine")
    return {
        name: without_seconds(value) if isinstance(value, dict) else value
        for name, value in run.items()
        if name not in left_out
    }


def has_each_run_once(comparison, seeds):
    """Return whether the comparison has every run exactly once."""
    counts = Counter((run["arm"], run["seed"]) for run in comparison.runs)
    return counts == {(arm, seed): 1 for arm in ("plain", "cycle") for seed in range(seeds)}


def test_two_processes_give_same_records_as_one(user_code, tmp_path):
    """Runs of a user's module in other processes give the same records to the last bit."""
    here = compared(user_code, seeds=2)
    spread = compared(user_code, seeds=2, jobs=2, directory=tmp_path / "runs")
    assert without_times(here) == without_times(spread)
    spread.save(tmp_path / "saved.json")
    assert load(tmp_path / "saved.json") == spread
    assert len(names(tmp_path / "runs")) == 4
    processes = [process for process, _ in started_runs()]
    assert processes[:4] == [os.getpid()] * 4
    assert os.getpid() not in processes[4:]


def test_closures_and_large_arrays_are_sent_to_processes(tmp_path):
    """Nested functions and lambdas are sent to other processes with the values they close over, and so are arrays."""
    import keras

    x = np.random.default_rng(0).normal(size=(200_000, 2)).astype("float32")
    rate = 0.01

    def make():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(rate), "mse")
        return model

    arms = {"plain": {}, "adam": {"optimizer": lambda: keras.optimizers.Adam(rate)}}
    comparison = compare(
        make, ((x, x[:, :1]), (x, x[:, :1])), arms, seeds=1, epochs=1, batch_size=2000, jobs=2, verbose=0
    )
    assert len(comparison.runs) == 2


def change_settings(keras):
    """Set every global setting of Keras to a value that is not the default."""
    keras.config.set_floatx("float16")
    keras.config.set_epsilon(1e-5)
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_bfloat16")


@pytest.fixture
def restored_keras():
    """Keras, with its global settings restored after the test."""
    import keras

    before = worker.keras_settings()
    yield keras
    worker.use_keras_settings(before)


def test_other_processes_use_global_settings_of_keras(restored_keras):
    """A run in another process has the same data type, image data format and dtype policy, so the same record."""
    keras = restored_keras
    rows = (np.arange(32.0).reshape(16, 2) / 32, np.zeros(16, "int32"))

    def settings_dependent():
        # The width of the net depends on every setting that the dtype policy does not contain.
        order, epsilon = keras.config.image_data_format(), keras.config.epsilon()
        units = 3 + (order == "channels_first") + 2 * (keras.config.floatx() == "float16") + 4 * (epsilon == 1e-5)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units), keras.layers.Dense(2)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        return model

    change_settings(keras)
    options = {"seeds": 1, "epochs": 1, "verbose": 0}
    here = compare(settings_dependent, (rows, rows), {"plain": {}, "again": {}}, **options)
    spread = compare(settings_dependent, (rows, rows), {"plain": {}, "again": {}}, **options, jobs=2)

    assert without_times(here) == without_times(spread)


def test_keras_settings_survive_serialization(restored_keras):
    """All global settings are plain data, which another process applies."""
    before = worker.keras_settings()
    change_settings(restored_keras)
    changed = json.loads(json.dumps(worker.keras_settings()))
    worker.use_keras_settings(before)
    assert all(changed[name] != value for name, value in before.items())
    worker.use_keras_settings(changed)

    assert worker.keras_settings() == changed
    assert restored_keras.layers.Dense(1).compute_dtype == "bfloat16"


def test_killed_comparison_keeps_finished_runs(driver, user_code, tmp_path):
    """A comparison killed during a run and started again makes only the missing runs."""
    runs = tmp_path / "runs"
    process = driver(runs, pause=2.0)
    wait_until(lambda: len(started_runs()) == 3)  # the third is running
    process.kill()
    process.wait(WAIT)
    before = {name: (runs / name).read_bytes() for name in names(runs)}
    assert len(before) == 2
    comparison = compared(user_code, seeds=2, directory=runs)
    assert comparison.problems == ()
    assert has_each_run_once(comparison, seeds=2)
    assert len(started_runs()) == 3 + 2
    assert {name: (runs / name).read_bytes() for name in before} == before


@pytest.mark.long
def test_killed_worker_process_is_replaced(user_code, tmp_path, monkeypatch):
    """When one of two processes is killed during a run, the comparison still makes every run once."""
    monkeypatch.setenv("ONECYCLE_TEST_PAUSE", "1.0")

    def kill_one():
        wait_until(lambda: len(started_runs()) >= 2)
        os.kill(started_runs()[0][0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joblib warns of leaked files and of the stopped worker
        comparison = compared(user_code, seeds=2, jobs=2, directory=tmp_path / "runs")
    killer.join()
    assert has_each_run_once(comparison, seeds=2)
    assert len(names(tmp_path / "runs")) == 4
    assert len(started_runs()) > 4


def test_error_in_another_process_names_run(user_code):
    """The error of a run in another process names the arm, the seed and the cause."""

    def broken():
        raise OSError("no more")

    with pytest.raises(RuntimeError, match="Arm 'plain' with seed 0: OSError: no more"):
        compared(user_code, arms={"plain": {"callbacks": broken}, "other": {}}, seeds=1, jobs=2)


@pytest.fixture
def cluster(user_folder):
    """A Dask cluster of two worker processes on this machine."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs="CRITICAL"
    ) as started:
        yield started


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # Dask warns of killed workers
def test_dask_replaces_killed_worker(cluster, user_code, tmp_path, monkeypatch):
    """When a worker is killed during a run, Dask repeats the run elsewhere, and every run is made once."""
    address = cluster.scheduler_address.replace("tcp://", "dask://")
    killed = []

    def kill_one():
        wait_until(lambda: len(started_runs()) >= 2)
        killed.extend(started_runs()[0])
        os.kill(killed[1], signal.SIGKILL)

    monkeypatch.setattr(user_code, "PAUSE", 1.5)
    monkeypatch.setattr(user_code, "LOG", os.environ["ONECYCLE_TEST_LOG"])
    killer = threading.Thread(target=kill_one)
    killer.start()
    runs = tmp_path / "runs"
    comparison = compared(user_code, seeds=1, cluster=address, directory=runs)
    killer.join()
    assert has_each_run_once(comparison, seeds=1)
    assert len(names(runs)) == 2
    assert len(started_runs()) == 3  # the killed worker's run was started twice
    assert not Path(f"/proc/{killed[0]}").exists()  # its process ended with the worker
    assert comparison.problems == ()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_killed_comparison_on_dask_resumes(cluster, driver, user_code, tmp_path):
    """After a comparison on Dask is killed, a second one on the same cluster makes the missing runs."""
    address = cluster.scheduler_address.replace("tcp://", "dask://")
    runs = tmp_path / "runs"
    process = driver(runs, cluster=address, seeds=2, pause=1.5)
    wait_until(lambda: len(names(runs)) >= 1)
    process.kill()
    process.wait(WAIT)
    kept = {name: (runs / name).read_bytes() for name in names(runs)[:1]}
    comparison = compared(user_code, seeds=2, cluster=address, directory=runs)
    assert has_each_run_once(comparison, seeds=2)
    assert len(names(runs)) == 4
    assert comparison.problems == ()
    assert {name: (runs / name).read_bytes() for name in kept} == kept


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_ray_gives_same_records_as_one_process(user_code, tmp_path):
    """A comparison on Ray gives the same records to the last bit."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        here = compared(user_code, seeds=2)
        there = compared(user_code, seeds=2, cluster="ray", directory=tmp_path / "runs")
    finally:
        ray.shutdown()
    assert without_times(here) == without_times(there)
    assert len(names(tmp_path / "runs")) == 4


@pytest.mark.parametrize("cluster", ["dask", "dask://", "slurm://host:1", "ray:"])
def test_unknown_cluster_is_refused(cluster, user_code):
    """The error lists the kinds of cluster."""
    with pytest.raises(ValueError, match="`cluster` must be"):
        compared(user_code, seeds=1, cluster=cluster)


def test_worker_on_another_backend_is_refused():
    """A worker that has loaded Keras on another backend raises, since Keras cannot change its backend."""
    import keras  # noqa: F401

    with pytest.raises(RuntimeError, match="Start a fresh worker"):
        worker.set_environment({"KERAS_BACKEND": "another"})


def test_devices_are_assigned_in_turn(monkeypatch):
    """Worker processes are assigned devices in turn, by the numbers that joblib gives them."""

    class Process:
        name = "LokyProcess-1"

    monkeypatch.setattr(worker, "current_process", Process)
    assigned = []
    for number in range(1, 6):
        monkeypatch.setattr(Process, "name", f"LokyProcess-{number}")
        assigned.append(worker.assigned_device(["0", "3"]))
    assert assigned == ["0", "3", "0", "3", "0"]


@pytest.mark.parametrize(
    ("visible", "devices"), [(None, "0,1"), ("1", "1"), ("", None)], ids=["all", "one", "none visible"]
)
def test_processes_share_visible_gpus(visible, devices, monkeypatch):
    """Worker processes share the GPUs of the machine, or those of CUDA_VISIBLE_DEVICES, which may be none."""
    monkeypatch.setattr(environment, "_gpus", lambda: ["0", "1"])
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert environment.device_variables(2).get("ONECYCLE_DEVICES") == devices
