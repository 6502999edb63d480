"""The runs of a comparison spread over processes and clusters, with workers and drivers killed in the middle."""

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
from onecycle.comparison import execution
from onecycle.comparison import worker as worker_module
from onecycle.results import load

WAIT = 120  # seconds that anything here may take before the test is given up

DRIVER = """
import sys
from person import ARMS, build, data
from onecycle import compare
if __name__ == "__main__":
    directory, jobs, cluster, seeds = sys.argv[1:]
    compare(build, data, ARMS, seeds=int(seeds), epochs=1, directory=directory, jobs=int(jobs),
            cluster=cluster or None, verbose=0)
"""


@pytest.fixture
def mine(person, monkeypatch):
    """The person's module, imported."""
    monkeypatch.delitem(sys.modules, "person", raising=False)
    yield importlib.import_module("person")
    sys.modules.pop("person", None)


@pytest.fixture
def driver(person):
    """Starts a comparison in a process of its own; what is left of it when the test ends is killed."""
    (person / "driver.py").write_text(DRIVER)
    started = []

    def start(directory, *, jobs=1, cluster="", seeds=2, pause=0.0):
        path = os.pathsep.join(filter(None, (str(person), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "ONECYCLE_TEST_PAUSE": str(pause), "PYTHONPATH": path}
        arguments = [sys.executable, "driver.py", str(directory), str(jobs), cluster, str(seeds)]
        started.append(subprocess.Popen(arguments, cwd=person, env=environment, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT)


def begun():
    """The processes that have begun a run, in order, one entry a run: (process, its parent)."""
    told = Path(os.environ["ONECYCLE_TEST_TOLD"])
    lines = told.read_text().splitlines() if told.exists() else []
    return [tuple(map(int, line.split())) for line in lines]


def until(condition):
    """Wait for something that another process does."""
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def names(directory):
    """The records in a folder, by name."""
    return sorted(path.name for path in directory.glob("*.json")) if directory.exists() else []


def without_times(comparison):
    """The runs without what a clock says, and on what share of the machine they were made."""
    apart = ("seconds", "seconds_to_target", "machine")
    return [{name: value for name, value in run.items() if name not in apart} for run in comparison.runs]


def once_each(comparison, seeds):
    """Whether every run is there, and once."""
    counts = Counter((run["arm"], run["seed"]) for run in comparison.runs)
    return counts == {(arm, seed): 1 for arm in ("plain", "cycle") for seed in range(seeds)}


def test_two_processes_give_what_one_gives(mine, tmp_path):
    """The same records to the last bit, made in at least one other process, from the person's own module."""
    here = compare(mine.build, mine.data, mine.ARMS, seeds=2, epochs=1, verbose=0)
    spread = compare(
        mine.build, mine.data, mine.ARMS, seeds=2, epochs=1, verbose=0, jobs=2, directory=tmp_path / "runs"
    )
    assert without_times(here) == without_times(spread)
    spread.save(tmp_path / "saved.json")
    assert load(tmp_path / "saved.json") == spread
    assert len(names(tmp_path / "runs")) == 4
    processes = [process for process, _ in begun()]
    assert processes[:4] == [os.getpid()] * 4
    assert os.getpid() not in processes[4:]


def test_what_closes_over_the_tests_own_values_travels(tmp_path):
    """Functions made in functions, and lambdas, are sent to other processes whole, and so are arrays of megabytes."""
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


def strange(keras):
    """Every global setting of Keras as it is not by default."""
    keras.config.set_floatx("float16")
    keras.config.set_epsilon(1e-5)
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_bfloat16")


@pytest.fixture
def own_keras():
    """Keras, whose global settings are put back after the test."""
    import keras

    before = worker_module.keras_settings()
    yield keras
    worker_module.use_keras_settings(before)


def test_other_processes_train_with_the_drivers_settings_of_keras(own_keras):
    """Type and order of numbers, and the policy of layers, decide about a run: it is the same in another process."""
    keras = own_keras
    rows = (np.arange(32.0).reshape(16, 2) / 32, np.zeros(16, "int32"))

    def seen():
        # How wide the net is depends on all that a layer does not take from its policy.
        order, epsilon = keras.config.image_data_format(), keras.config.epsilon()
        units = 3 + (order == "channels_first") + 2 * (keras.config.floatx() == "float16") + 4 * (epsilon == 1e-5)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units), keras.layers.Dense(2)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        return model

    strange(keras)
    options = {"seeds": 1, "epochs": 1, "verbose": 0}
    here = compare(seen, (rows, rows), {"plain": {}}, **options)
    spread = compare(seen, (rows, rows), {"plain": {}}, **options, jobs=2)

    assert without_times(here) == without_times(spread)


def test_keras_settings_come_back_as_they_were_told(own_keras):
    """As plain data that any process can read, each setting among them."""
    before = worker_module.keras_settings()
    strange(own_keras)
    told = json.loads(json.dumps(worker_module.keras_settings()))
    worker_module.use_keras_settings(before)
    assert all(told[name] != value for name, value in before.items())
    worker_module.use_keras_settings(told)

    assert worker_module.keras_settings() == told
    assert own_keras.layers.Dense(1).compute_dtype == "bfloat16"


def test_a_killed_driver_loses_nothing_that_was_finished(driver, mine, tmp_path):
    """Killed in mid-run and started again: the finished runs are not made again, and every run is there once."""
    runs = tmp_path / "runs"
    process = driver(runs, pause=2.0)
    until(lambda: len(begun()) == 3)  # in the middle of the third
    process.kill()
    process.wait(WAIT)
    before = {name: (runs / name).read_bytes() for name in names(runs)}
    assert len(before) == 2
    comparison = compare(mine.build, mine.data, mine.ARMS, seeds=2, epochs=1, verbose=0, directory=runs)
    assert comparison.problems == ()
    assert once_each(comparison, seeds=2)
    assert len(begun()) == 3 + 2
    assert {name: (runs / name).read_bytes() for name in before} == before


def test_a_killed_process_of_the_pool_is_survived(mine, tmp_path, monkeypatch):
    """One of two processes is killed in mid-run: the comparison finishes with every run once."""
    monkeypatch.setenv("ONECYCLE_TEST_PAUSE", "1.0")

    def kill_one():
        until(lambda: len(begun()) >= 2)
        os.kill(begun()[0][0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joblib tells of its leaked files and stopped worker
        comparison = compare(
            mine.build, mine.data, mine.ARMS, seeds=2, epochs=1, verbose=0, jobs=2, directory=tmp_path / "runs"
        )
    killer.join()
    assert once_each(comparison, seeds=2)
    assert len(names(tmp_path / "runs")) == 4
    assert len(begun()) > 4


def test_a_run_that_fails_in_another_process_says_which(mine):
    """The error comes back with its arm, its seed and what went wrong."""

    def broken():
        raise OSError("no more")

    with pytest.raises(RuntimeError, match="Arm 'plain' with seed 0: OSError: no more"):
        compare(mine.build, mine.data, {"plain": {"callbacks": broken}}, seeds=1, epochs=1, verbose=0, jobs=2)


@pytest.fixture
def cluster(person):
    """A Dask cluster of two worker processes on this machine, each of which can be killed."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs="CRITICAL"
    ) as started:
        yield started


@pytest.mark.filterwarnings("ignore")  # what Dask says of killed workers
def test_a_dask_cluster_finishes_though_a_worker_is_killed(cluster, mine, tmp_path, monkeypatch):
    """A worker is killed in mid-run: Dask has its run made elsewhere, and every run is there once."""
    address = cluster.scheduler_address.replace("tcp://", "dask://")
    killed = []

    def kill_one():
        until(lambda: len(begun()) >= 2)
        killed.extend(begun()[0])
        os.kill(killed[1], signal.SIGKILL)

    monkeypatch.setattr(mine, "PAUSE", 1.5)
    monkeypatch.setattr(mine, "TOLD", os.environ["ONECYCLE_TEST_TOLD"])
    killer = threading.Thread(target=kill_one)
    killer.start()
    runs = tmp_path / "runs"
    comparison = compare(
        mine.build, mine.data, mine.ARMS, seeds=1, epochs=1, verbose=0, cluster=address, directory=runs
    )
    killer.join()
    assert once_each(comparison, seeds=1)
    assert len(names(runs)) == 2
    assert len(begun()) == 3  # the killed worker's run was begun twice
    assert not Path(f"/proc/{killed[0]}").exists()  # and did not go on without it
    assert comparison.problems == ()


@pytest.mark.filterwarnings("ignore")
def test_a_second_driver_finishes_what_a_killed_one_began_on_dask(cluster, driver, mine, tmp_path):
    """The driver is killed in mid-run: a second one on the same cluster makes the rest, and every run is there once."""
    address = cluster.scheduler_address.replace("tcp://", "dask://")
    runs = tmp_path / "runs"
    process = driver(runs, cluster=address, seeds=2, pause=1.5)
    until(lambda: len(names(runs)) >= 1)
    process.kill()
    process.wait(WAIT)
    kept = {name: (runs / name).read_bytes() for name in names(runs)[:1]}
    comparison = compare(
        mine.build, mine.data, mine.ARMS, seeds=2, epochs=1, verbose=0, cluster=address, directory=runs
    )
    assert once_each(comparison, seeds=2)
    assert len(names(runs)) == 4
    assert comparison.problems == ()
    assert {name: (runs / name).read_bytes() for name in kept} == kept


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_ray_gives_what_one_process_gives(mine, tmp_path):
    """The same comparison on Ray, through joblib: the same records to the last bit."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        here = compare(mine.build, mine.data, mine.ARMS, seeds=2, epochs=1, verbose=0)
        there = compare(
            mine.build, mine.data, mine.ARMS, seeds=2, epochs=1, verbose=0, cluster="ray", directory=tmp_path / "runs"
        )
    finally:
        ray.shutdown()
    assert without_times(here) == without_times(there)
    assert len(names(tmp_path / "runs")) == 4


@pytest.mark.parametrize("cluster", ["dask", "dask://", "slurm://host:1", "ray:"])
def test_another_cluster_is_refused(cluster, mine):
    """The error says what there is."""
    with pytest.raises(ValueError, match="`cluster` must be"):
        compare(mine.build, mine.data, mine.ARMS, seeds=1, epochs=1, verbose=0, cluster=cluster)


def test_a_worker_on_another_backend_is_refused():
    """Keras cannot change its backend, so a worker that has loaded another one says so."""
    import keras  # noqa: F401

    with pytest.raises(RuntimeError, match="start a fresh worker"):
        worker_module.prepare({"KERAS_BACKEND": "another"})


def test_each_process_takes_its_own_device(monkeypatch):
    """Joblib numbers its processes; they share out the devices by their numbers."""

    class Process:
        name = "LokyProcess-1"

    monkeypatch.setattr(worker_module, "current_process", Process)
    taken = []
    for number in range(1, 6):
        monkeypatch.setattr(Process, "name", f"LokyProcess-{number}")
        taken.append(worker_module.own_device(["0", "3"]))
    assert taken == ["0", "3", "0", "3", "0"]


@pytest.mark.parametrize(
    ("visible", "devices"), [(None, "0,1"), ("1", "1"), ("", None)], ids=["all", "one", "hidden from everybody"]
)
def test_processes_share_the_gpus_that_may_be_seen(visible, devices, monkeypatch):
    """Those of the machine, or of CUDA_VISIBLE_DEVICES; where that is empty, none."""
    monkeypatch.setattr(execution, "_gpus", lambda: ["0", "1"])
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert execution._devices(2).get("ONECYCLE_DEVICES") == devices
