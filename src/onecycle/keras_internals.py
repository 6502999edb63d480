"""What onecycle needs of Keras that Keras does not offer publicly, all of it in one room.

Checked on Keras 3.15.1. `tests/keras/test_keras_internals*.py` fail when one of these names changes its meaning.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras.src.backend.common import global_state
from keras.src.backend.common.stateless_scope import in_stateless_scope
from keras.src.backend.config import is_nnx_enabled
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.utils import file_utils

from onecycle import backends

_GLOBAL_SEED_GENERATOR = "global_seed_generator"
_GLOBAL_SEED = "global_random_seed"


def inner_optimizers(optimizer: Any) -> tuple[Any, ...]:
    """The optimizers that do the work: those inside a `LossScaleOptimizer` or `MultiOptimizer`, else the one given."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return inner_optimizers(optimizer.inner_optimizer)
    if is_multi_optimizer(optimizer):
        return tuple(optimizer.optimizers)
    return (optimizer,)


def all_optimizers(model: Any) -> list[Any]:
    """A model's optimizer and every one inside it, also those that a `MultiOptimizer` chooses when it is built."""
    optimizer = model.optimizer
    found = [optimizer, *inner_optimizers(optimizer)]
    if is_multi_optimizer(optimizer) and not optimizer.built:
        found += [optimizer._optimizer_map(variable) for variable in model.trainable_variables]
    return list({id(one): one for one in found}.values())


def is_multi_optimizer(optimizer: Any) -> bool:
    """Whether the optimizer hands variables to several others (`MultiOptimizer`, new in Keras 3.15)."""
    multi = getattr(keras.optimizers, "MultiOptimizer", None)
    return multi is not None and isinstance(optimizer, multi)


def raw_step(optimizer: Any) -> int:
    """Steps the optimizer has counted: its `_iterations`, micro-batches under gradient accumulation."""
    return int(backends.to_numpy(step_counter(optimizer)))


def step_counter(optimizer: Any) -> Any:
    """The variable that Keras hands to learning-rate schedules."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return step_counter(optimizer.inner_optimizer)
    return optimizer._iterations  # a MultiOptimizer's own: one inside it that has no variables never counts


def own_learning_rate(optimizer: Any) -> Any:
    """The optimizer's own learning rate as Keras resolves it, a schedule of ours left out."""
    return type(optimizer)._get_current_learning_rate(optimizer)


def velocities(optimizer: Any) -> list[Any]:
    """The variables that sum up past steps with the learning rates those had, as SGD and RMSprop keep them."""
    found: list[Any] = []
    for inner in inner_optimizers(optimizer):
        if isinstance(inner, keras.optimizers.SGD):
            found += inner.momentums
        elif isinstance(inner, keras.optimizers.RMSprop):
            found += inner._momentums
    return found


def learning_rate_setting(optimizer: Any) -> Any:
    """What the optimizer was built with: a variable, a schedule or another callable."""
    return optimizer._learning_rate


def set_quietly(thing: Any, **attributes: Any) -> None:
    """Set attributes on an optimizer or model past Keras' (and TensorFlow's) attribute tracking.

    What is tracked becomes state: it would be counted among the variables and break checkpoints.
    """
    vars(thing).update(attributes)


def unset_quietly(thing: Any, *names: str) -> None:
    """Remove instance attributes, so that those of the class are seen again; missing ones are no error."""
    for name in names:
        vars(thing).pop(name, None)


def set_steps_per_execution(model: Any, steps: int) -> None:
    """Have a call of the compiled functions make so many steps.

    A test function compiled for another number would be called once for so many batches and see one of them.
    """
    if model.steps_per_execution != steps:
        model.steps_per_execution = steps
        unset_quietly(model, "_eval_epoch_iterator")
        set_quietly(model, test_function=None)


def remake_train_function(model: Any) -> None:
    """Have a compiled model trace its training step anew; one that has none yet is left alone.

    JAX caches traces by the equality of functions, and two bound methods of one model are equal: jitting
    `model.train_step` again would bring back the old trace. So the step is handed over as a new function.
    """
    if getattr(model, "train_function", None) is None:
        return
    make_train_function_anew(model, model.make_train_function)


def make_train_function_anew(model: Any, make: Callable[..., Any]) -> None:
    """Call the model's own `make_train_function` so that nothing traced before, or after, is taken for the same."""
    with _renewed(model, "train_step"):
        make(force=True)


@contextmanager
def _renewed(model: Any, name: str) -> Iterator[None]:
    """The named method as a function that compares equal to nothing else, for the length of the block."""
    missing = object()
    before = vars(model).get(name, missing)
    method: Callable[..., Any] = getattr(model, name)

    def renewed(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    set_quietly(model, **{name: renewed})
    try:
        yield
    finally:
        unset_quietly(model, name)
        if before is not missing:
            set_quietly(model, **{name: before})


@contextmanager
def losses_told(model: Any) -> Iterator[list[Any]]:
    """What the model's `compute_loss` returns within the block."""
    losses: list[Any] = []
    compute_loss, own = model.compute_loss, vars(model).get("compute_loss")

    def told(*args: Any, **kwargs: Any) -> Any:
        losses.append(compute_loss(*args, **kwargs))
        return losses[-1]

    set_quietly(model, compute_loss=told)
    try:
        yield losses
    finally:
        unset_quietly(model, "compute_loss")
        if own is not None:
            set_quietly(model, compute_loss=own)


class _Carried:
    """What Keras takes for a seed generator: its state travels with a model's, but is no weight and is never saved."""

    def __init__(self, state: Any) -> None:
        self.state = state


def carry_variable(model: Any, variable: Any) -> None:
    """Carry one more non-trainable variable through the model's training steps, past its weights and its files."""
    model._seed_generators.append(_Carried(variable))


def drop_variable(model: Any, variable: Any) -> None:
    """Undo `carry_variable`."""
    generators = model._seed_generators
    generators[:] = [other for other in generators if other.state is not variable]


def carry_with_optimizer(optimizer: Any, variable: Any) -> None:
    """Let the optimizer's steps on JAX, which see no variables but the optimizer's, see one more."""
    list.append(inner_optimizers(optimizer)[0]._variables, variable)


def drop_from_optimizer(optimizer: Any, variable: Any) -> None:
    """Undo `carry_with_optimizer`."""
    variables = inner_optimizers(optimizer)[0]._variables
    list.__setitem__(variables, slice(None), [other for other in variables if other is not variable])


def keeps_what_is_assigned() -> bool:
    """Whether a stateless scope is open, in which alone JAX keeps what a traced step assigns to a variable."""
    return in_stateless_scope()


def compiled_parts(model: Any) -> tuple[Any, ...]:
    """What `compile` made and the first batch builds: the loss and the metrics (None where there are none)."""
    return (model._compile_loss, model._compile_metrics)


def recurrent_states(model: Any) -> list[Any]:
    """The variables in which layers with `stateful=True` keep what they saw last; no model counts them as its own."""
    layers = (layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN) and layer.stateful)
    return [state for layer in layers if layer.states is not None for state in keras.tree.flatten(layer.states)]


def not_decayed(optimizer: Any) -> list[str]:
    """The variables that an optimizer was told to leave out of its weight decay."""
    excluded = vars(optimizer).get("_exclude_from_weight_decay", ())
    return sorted(map(str, (*excluded, vars(optimizer).get("_exclude_from_weight_decay_pattern"))))


def metrics_of(model: Any) -> list[Any]:
    """Every metric of a compiled model, also those that wait in what `compile` was given for the first batch."""
    names = "_user_metrics", "_user_weighted_metrics", "metrics"
    inside = [getattr(model._compile_metrics, name, None) for name in names]
    found = [*model.metrics, *keras.tree.flatten(inside)]
    return list({id(metric): metric for metric in found if isinstance(metric, keras.metrics.Metric)}.values())


def skip_averages_once(optimizer: Any) -> None:
    """Keep the `fit` that an exception is ending from writing the moving averages of `use_ema` into the weights."""

    def finalize_variable_values(var_list: Any) -> None:
        unset_quietly(optimizer, "finalize_variable_values")

    set_quietly(optimizer, finalize_variable_values=finalize_variable_values)


def global_seed_generator() -> Any:
    """Keras' global seed generator, or None while nothing has drawn from it."""
    return global_state.get_global_attribute(_GLOBAL_SEED_GENERATOR)


def set_global_seed_generator(generator: Any) -> None:
    """Put the generator of `global_seed_generator` back."""
    global_state.set_global_attribute(_GLOBAL_SEED_GENERATOR, generator)


def global_seed() -> Any:
    """What `keras.utils.set_random_seed` was last given, or None."""
    return global_state.get_global_attribute(_GLOBAL_SEED)


def set_global_seed(seed: Any) -> None:
    """Put the seed of `global_seed` back, without seeding anything."""
    global_state.set_global_attribute(_GLOBAL_SEED, seed)


def callbacks_beside(callback: Any) -> list[Any]:
    """All callbacks of the running `fit`, the given one included; empty if they cannot be found.

    Keras tells a callback nothing of the others, so the list is taken from the `CallbackList` that is calling.
    """
    calling = _calling_list(callback)
    return [] if calling is None else list(calling.callbacks)


def call_first(callback: Any) -> None:
    """From within a callback's hook: have its later hooks called before those of all others."""
    calling = _calling_list(callback)
    if calling is not None:
        calling.callbacks.remove(callback)
        calling.callbacks.insert(0, callback)  # the loop that is calling goes on with the same one


def call_last(callback: Any, last: Any) -> None:
    """From within a callback's hook: have that hook of another callback called after those of all others."""
    calling = _calling_list(callback)
    if calling is not None:
        calling.callbacks.append(last)  # a loop over a list reaches what is appended meanwhile


def on_error_of_callbacks(callback: Any, action: Callable[[], None]) -> None:
    """Have `action` called when any callback of the running `fit` raises, from its next hook on."""
    calling = _calling_list(callback)
    if calling is None:
        return
    for name in _HOOKS:
        setattr(calling, name, _guarded(getattr(calling, name), action))


def _guarded(hook: Callable[..., None], action: Callable[[], None]) -> Callable[..., None]:
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            hook(*args, **kwargs)
        except BaseException:
            action()
            raise

    return guarded


_HOOKS = tuple(
    f"on_{what}_{when}" for what in ("epoch", "train_batch", "test", "test_batch") for when in ("begin", "end")
)


def _calling_list(callback: Any) -> Any:
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList) and any(c is callback for c in caller.callbacks):
            return caller
        frame = frame.f_back
    return None


def is_fitting(model: Any) -> bool:
    """Whether a call of the model's `fit` is running, in this thread."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model:
            return True
        frame = frame.f_back
    return False


def called_by_fit(model: Any) -> bool:
    """Whether the method that asks was called by `fit` itself, as `make_train_function` is where `fit` begins."""
    frame = sys._getframe(2)
    return frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model


def backups_to_restore(callback: Any) -> tuple[tuple[str, ...], bool]:
    """The folders of the `BackupAndRestore`s beside a callback, and whether one of them has a backup in it.

    To be asked before training begins: a backup is there to be restored then, and again after the first epoch.
    """
    found = [c for c in callbacks_beside(callback) if isinstance(c, keras.callbacks.BackupAndRestore)]
    folders = tuple(str(backup.backup_dir) for backup in found)
    return folders, any(file_utils.exists(backup._training_metadata_path) for backup in found)


_TRAINING = ("fit", "make_train_function", "train_step", "compute_loss_and_updates", "_update_metrics_variables")
_REPORTING = ("compute_metrics", "get_metrics_result", "test_step")


def method_of_ones_own(model: Any, *others: str) -> str | None:
    """The name of a method in which the model's training is not Keras' own, or None.

    Args:
        others: Further methods that must be Keras' own.
    """
    names = (*_TRAINING, *_REPORTING, *others)
    own = (name for name in names if name in vars(model) or _defined(type(model), name) != _defined(keras.Model, name))
    return next(own, None)


def _defined(kind: type, name: str) -> Any:
    return getattr(kind, name, None)


def trains_through_nnx() -> bool:
    """Whether Keras' layers are Flax modules, whose training is another."""
    return bool(is_nnx_enabled())


def training_arrays(x: Any, y: Any, sample_weight: Any, class_weight: Any) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight) whole, as `fit` would hand them to the step batch by batch."""
    rows = next(leaf for leaf in keras.tree.flatten(x) if leaf is not None).shape[0]
    adapter = ArrayDataAdapter(x, y, sample_weight, batch_size=rows, class_weight=class_weight)
    found = adapter.get_jax_iterator() if backends.carries_state() else adapter.get_numpy_iterator()
    return keras.utils.unpack_x_y_sample_weight(next(iter(found)))


def build_as_fit_does(model: Any, batch: Any) -> None:
    """Build the loss, the metrics and the optimizer, from a batch (x, y, sample_weight) that is not looked into."""
    model._symbolic_build(data_batch=batch)


def updated_metrics(
    model: Any, metrics_variables: list[Any], loss: Any, x: Any, y: Any, y_pred: Any, sample_weight: Any
) -> list[Any]:
    """The metrics' variables after a training step on JAX, the mean of the losses among them."""
    _, updated = model._update_metrics_variables(metrics_variables, loss, x, y, y_pred, sample_weight)
    return list(updated)


def is_loss_tracker(model: Any, metric: Any) -> bool:
    """Whether a metric is the one in which every model keeps the mean of its losses."""
    return metric is model._loss_tracker
