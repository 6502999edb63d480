"""`fit_one_cycle(backup_dir=...)` in one process: what a run keeps, how it continues, and what is refused."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from oracles import killed

from onecycle import fit_one_cycle
from onecycle.finding.race_data import Judge
from onecycle.training.backups.files import SUFFIX, BackupFolder
from onecycle.training.backups.run_backup import RunBackup


class Crash(Exception):
    """The error that ends a run."""


class CrashAt(keras.callbacks.Callback):
    """Raises Crash after a batch of an epoch."""

    def __init__(self, epoch, batch=1):
        super().__init__()
        self.at = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise Crash


class Batches(keras.utils.PyDataset):
    """Five batches in an order that the data set draws itself after each epoch."""

    def __init__(self):
        super().__init__()
        self.random = np.random.default_rng(3)
        self.order = self.random.permutation(5)
        self.epochs = 0

    def __len__(self):
        return 5

    def __getitem__(self, k):
        x, y = killed.data()
        rows = slice(16 * self.order[k], 16 * self.order[k] + 16)
        return x[rows] + 0.01 * self.epochs, y[rows]

    def on_epoch_end(self):
        self.epochs += 1
        self.random.shuffle(self.order)


class TwoEpochs(keras.utils.PyDataset):
    """Ten batches, all different."""

    def __len__(self):
        return 10

    def __getitem__(self, k):
        x, y = killed.data()
        return x[8 * k : 8 * k + 8], y[8 * k : 8 * k + 8]


def generator():
    """Yield batches in a seeded order, for ever."""
    (x, y), random = killed.data(), np.random.default_rng(4)
    while True:
        rows = random.permutation(len(x))[:16]
        yield x[rows], y[rows]


def data_loader():
    """Return a `DataLoader` of PyTorch that shuffles by its own generator."""
    import torch

    x, y = map(torch.from_numpy, killed.data())
    order = torch.Generator().manual_seed(5)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), 16, shuffle=True, generator=order)


def crash(folder, epoch=2, model=None, **arguments):
    """Train until a callback raises in an epoch."""
    with pytest.raises(Crash):
        killed.fit(model or killed.build(), folder, CrashAt(epoch), **arguments)


def assert_same_state(model, other):
    """Check that two models and their optimizers have the same bits."""
    for value, expected in zip(killed.state(model), killed.state(other), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.fixture(scope="module")
def uninterrupted():
    """Return a model trained without a backup, and the `History`."""
    model = killed.build()
    return model, killed.fit(model, None)


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """Return the folder of a run that crashed in its third epoch, not to be changed."""
    folder = tmp_path_factory.mktemp("crashed")
    crash(folder)
    return folder


@pytest.fixture
def interrupted(crashed, tmp_path):
    """Return a copy of the folder of the crashed run."""
    return Path(shutil.copytree(crashed, tmp_path / "copy"))


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a backup, which does not exist yet."""
    return tmp_path / "runs" / "first"


def test_interrupted_run_ends_as_an_uninterrupted_one(uninterrupted, folder):
    """A run that is interrupted in two epochs ends with the state, history and cycle of an uninterrupted one."""
    model, history = uninterrupted
    crash(folder, epoch=0)
    crash(folder, epoch=3)
    keras.utils.set_random_seed(99)
    resumed = killed.build()
    keras.utils.set_random_seed(98)
    found = killed.fit(resumed, folder)
    assert_same_state(resumed, model)
    assert (found.history, found.epoch) == (history.history, history.epoch)
    assert found.onecycle == history.onecycle


def test_same_model_continues(uninterrupted, folder):
    """The model of the interrupted run itself continues from the backup, whatever has become of its variables."""
    model = killed.build()
    crash(folder, model=model)
    killed.fit(model, folder)
    assert_same_state(model, uninterrupted[0])


@pytest.mark.one_backend
def test_pick_is_not_made_again(folder, monkeypatch):
    """The continued run has the peak and the range test of the interrupted one, whose search is not repeated."""
    model = killed.build()
    history = killed.fit(model, None, max_learning_rate="auto")
    crash(folder, max_learning_rate="auto")
    monkeypatch.setattr("onecycle.training.peak.find_learning_rate", None)
    resumed = killed.build()
    found = killed.fit(resumed, folder, max_learning_rate="auto")
    assert_same_state(resumed, model)
    assert found.onecycle.range_test == history.onecycle.range_test


@pytest.mark.parametrize(
    ("make", "steps"),
    [(Batches, None), (TwoEpochs, 5), (generator, 5), (data_loader, None)],
    ids=["PyDataset", "steps_per_epoch", "generator", "DataLoader"],
)
def test_order_of_the_data(folder, backend, make, steps):
    """The order of the data continues, also where it is the data set's own, or an epoch is a part of the data."""
    if make is data_loader and backend != "torch":
        pytest.skip("read in the same way on each backend")

    def arguments():
        return {"x": make(), "steps_per_epoch": steps, "shuffle": False}

    model = killed.build()
    killed.fit(model, None, **arguments())
    crash(folder, **arguments())
    resumed = killed.build()
    killed.fit(resumed, folder, **arguments())
    assert_same_state(resumed, model)


@pytest.mark.one_backend
def test_finished_run_is_restored(uninterrupted, interrupted):
    """The same call on the folder of a finished run trains nothing, says so, and returns that run."""
    model, history = uninterrupted
    killed.fit(killed.build(), interrupted)
    again = killed.build()
    with pytest.warns(UserWarning, match=r"is finished. The model has the weights .* nothing was trained"):
        found = killed.fit(again, interrupted)
    assert_same_state(again, model)
    assert (found.history, found.onecycle) == (history.history, history.onecycle)


def test_run_killed_after_its_last_epoch(uninterrupted, folder, monkeypatch):
    """Where only the end is missing, nothing is trained, and the run has its report, also from then on."""
    model, history = uninterrupted
    with monkeypatch.context() as patched:
        patched.setattr(RunBackup, "keep_end", raise_crash)
        with pytest.raises(Crash):
            killed.fit(killed.build(), folder)
    resumed, again = killed.build(), killed.build()
    found = killed.fit(resumed, folder)
    assert_same_state(resumed, model)
    assert (found.history, found.onecycle) == (history.history, history.onecycle)
    with pytest.warns(UserWarning, match="is finished"):
        assert killed.fit(again, folder).onecycle == history.onecycle


def raise_crash(*arguments):
    """Raise Crash, whatever is called."""
    raise Crash


@pytest.mark.one_backend
def test_race_goes_on_and_its_end_is_kept(folder, monkeypatch):
    """An interrupted race continues from its cuts; when it is finished, its winner and its result are restored."""
    raced, again = killed.build(), killed.build()
    with monkeypatch.context() as patched:
        judged, score = [], Judge.score

        def interrupt_at_third(self):
            judged.append(None)
            if len(judged) == 3:
                raise KeyboardInterrupt
            return score(self)

        patched.setattr(Judge, "score", interrupt_at_third)
        with pytest.raises(KeyboardInterrupt):
            killed.fit(killed.build(), folder, max_learning_rate="race", epochs=3)
    counted = []
    monkeypatch.setattr(Judge, "score", lambda self: (counted.append(None), score(self))[1])
    history = killed.fit(raced, folder, max_learning_rate="race", epochs=3)
    # Three candidates at the first cut, of which two were judged before, and two at the second; and the start, since no
    # loss falls by much in three steps.
    assert len(counted) == 4
    assert not (folder / "race").exists()
    with pytest.warns(UserWarning, match="is finished"):
        found = killed.fit(again, folder, max_learning_rate="race", epochs=3)
    assert_same_state(again, raced)
    assert (found.history, found.onecycle.evidence) == (history.history, history.onecycle.evidence)


@pytest.mark.one_backend
def test_full_disk_ends_no_training(uninterrupted, folder, monkeypatch):
    """A backup that cannot be written is a warning, and training goes on; the first one is an error before it."""
    write, written = BackupFolder.write, []

    def fail_after_first(self, backup):
        written.append(backup.epoch)
        if len(written) > 1:
            raise OSError(28, "No space left on device")
        write(self, backup)

    monkeypatch.setattr(BackupFolder, "write", fail_after_first)
    model = killed.build()
    with pytest.warns(UserWarning, match=r"could not be written.*No space left.*continues from epoch 0"):
        killed.fit(model, folder)
    assert_same_state(model, uninterrupted[0])
    with pytest.raises(OSError, match="No space left"):
        killed.fit(killed.build(), folder / "other")


@pytest.mark.parametrize("damage", ["truncated", "changed"])
def test_damaged_backup(uninterrupted, interrupted, damage):
    """A run whose newest backup is damaged continues from the one before; with no whole one left it is refused."""
    newest, before = sorted(interrupted.glob(f"*{SUFFIX}"), reverse=True)
    content = newest.read_bytes()
    damaged = content[:-100] if damage == "truncated" else content[:-50] + b"x" + content[-49:]
    newest.write_bytes(damaged)
    (interrupted / f".{newest.name}.abc.part").write_bytes(b"the draft of a killed process")
    model = killed.build()
    with pytest.warns(UserWarning, match=rf"{newest.name} is damaged: .* from the backup before, {before.name}"):
        killed.fit(model, interrupted)
    assert_same_state(model, uninterrupted[0])
    assert not list(interrupted.glob(".*"))
    for file in interrupted.glob("*"):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"No backup in .* is whole. .* Delete the folder to start anew"):
        killed.fit(model, interrupted)


def other_model():
    """Return a model with one more unit."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(9), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 7}, r"`epochs` is 6 there and 7 here.*To train for more epochs"),
        ({"max_learning_rate": 0.1}, "`max_learning_rate` is 0.05 there and 0.1 here"),
        ({"validation_split": 0.5}, "`validation_split` is nothing there and 0.5 here"),
        ({"x": killed.data()[0] + 1, "y": killed.data()[1], "batch_size": 16}, "the data `x` has other values"),
        ({"model": other_model}, r"of the model, `layers.layers.*` is"),
    ],
)
def test_other_run_is_refused(crashed, change, message):
    """A folder of other arguments, data or another model is refused before training, and the difference is named."""
    change = dict(change)
    model = change.pop("model", killed.build)()
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"has the backup of another run: .*{message}"):
        killed.fit(model, crashed, **change)
    assert all(map(np.array_equal, before, model.get_weights()))


@pytest.mark.one_backend
def test_wrong_folders(tmp_path):
    """A file as folder, and a second backup by Keras, are refused before training."""
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match=r"`backup_dir` must be a folder. Received: backup_dir="):
        killed.fit(killed.build(), file)
    with pytest.raises(TypeError, match="`backup_dir` must be a path"):
        killed.fit(killed.build(), 3)
    with pytest.raises(ValueError, match="would both restore the model"):
        killed.fit(killed.build(), tmp_path / "new", keras.callbacks.BackupAndRestore(str(tmp_path / "keras")))
    assert not (tmp_path / "new").exists()


@pytest.mark.one_backend
def test_unbuilt_model(folder):
    """A model without weights is built before its first backup, and a new one continues from it."""

    def build():
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    x, y = killed.data()
    arguments = {"epochs": 3, "max_learning_rate": 0.1, "backup_dir": folder, "verbose": 0}
    with pytest.raises(Crash):
        fit_one_cycle(build(), x, y, callbacks=[CrashAt(1)], **arguments)
    model = build()
    report = fit_one_cycle(model, x, y, **arguments).onecycle
    assert (report.start_step, report.steps, report.total_steps) == (0, 9, 9)


@pytest.mark.one_backend
def test_cycle_that_began_later(folder):
    """A second cycle of a trained model continues from its own start."""
    model = killed.build()
    killed.fit(model, None, epochs=1)
    start = int(model.optimizer.iterations)
    crash(folder, model=model)
    report = killed.fit(killed.build(), folder).onecycle
    assert (report.start_step, report.steps, report.total_steps) == (start, 30, 30)
