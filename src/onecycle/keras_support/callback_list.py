"""The other callbacks of the running `fit`, which Keras does not pass to a callback."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from functools import partial

import keras

from onecycle.keras_support.interrupts import undo_unless_finished

_EVENTS = ("epoch", "train_batch", "test", "test_batch")
HOOKS = (*(f"on_{event}_{when}" for event in _EVENTS for when in ("begin", "end")), "on_train_end")


def fit_callbacks(callback: keras.callbacks.Callback) -> list[keras.callbacks.Callback]:
    """Return all callbacks of the running `fit`, the given one included.

    Call it from a hook of the callback: the callbacks are those of the `CallbackList` that calls the hook. The list is
    empty if there is none.
    """
    running = _running_callback_list(callback)
    return [] if running is None else [one for one in running.callbacks if not isinstance(one, _Deferred)]


def other_callbacks(callback: keras.callbacks.Callback) -> list[keras.callbacks.Callback]:
    """Return the callbacks of the running `fit` without the given one; empty if they cannot be found."""
    return [other for other in fit_callbacks(callback) if other is not callback]


def call_first(callback: keras.callbacks.Callback) -> None:
    """Call the callback's later hooks before those of all others. Use it within a hook of the callback."""
    running = _running_callback_list(callback)
    if running is not None:
        # The list is changed in place, since the running loop iterates over it.
        running.callbacks.remove(callback)
        running.callbacks.insert(0, callback)


def call_last(callback: keras.callbacks.Callback, last: keras.callbacks.Callback) -> bool:
    """Call the running hook on another callback too, after all others.

    Args:
        callback: The callback within whose hook this is called.
        last: The callback to call last.

    Returns:
        False if no list of callbacks calls the hook, so that nothing will be called.
    """
    running = _running_callback_list(callback)
    if running is not None:
        running.callbacks.append(last)  # a loop over a list reaches items that are appended meanwhile
    return running is not None


def state_of_copy(callback: keras.callbacks.Callback, *of_one_fit: str) -> dict[str, object]:
    """Return the attributes of a copy of a callback, as tuners make one for each trial: without model and `fit`.

    Args:
        callback: The callback.
        *of_one_fit: Attributes that belong to one `fit`. They are None in the copy, until its next `fit`.
    """
    return {name: None if name in ("_model", *of_one_fit) else value for name, value in vars(callback).items()}


def copied_callback(callback: keras.callbacks.Callback, model: keras.Model) -> keras.callbacks.Callback:
    """Return a copy of a callback for one of several trainings of a model.

    Args:
        callback: The callback.
        model: The model, which is not copied.

    Raises:
        ValueError: If it cannot be copied.
    """
    try:
        return copy.deepcopy(callback, {id(model): model})
    except Exception as error:
        raise ValueError(
            f"Each candidate of a race needs a copy of the callbacks, and {type(callback).__name__} cannot be copied. "
            "Race without it, and train with the learning rate of the result."
        ) from error


def take_state(callback: keras.callbacks.Callback, copied: keras.callbacks.Callback) -> None:
    """Give a callback the attributes of its copy."""
    vars(callback).update(vars(copied))


def hooks_of_fit(callback: keras.callbacks.Callback) -> keras.callbacks.CallbackList | None:
    """Return the list of callbacks that calls the running hook of a callback, or None if no list does.

    Its hooks can be replaced later, from any thread, by `set_before`.
    """
    return _running_callback_list(callback)


def set_before(running: keras.callbacks.CallbackList, hook: str, action: Callable[..., None]) -> None:
    """Call `action` with the arguments of a later hook, before any callback of the list gets the hook.

    Args:
        running: The list, from `hooks_of_fit`.
        hook: Name of the later hook.
        action: Called with the arguments of the hook.
    """
    original = getattr(running, hook)

    def called(*args: object, **kwargs: object) -> None:
        action(*args, **kwargs)
        original(*args, **kwargs)

    setattr(running, hook, called)


def call_before(callback: keras.callbacks.Callback, hook: str, action: Callable[..., None]) -> None:
    """Call `action` with the arguments of a later hook, before any callback of the running `fit` gets the hook.

    Args:
        callback: The callback within whose hook this is called.
        hook: Name of the later hook.
        action: Called with the arguments of the hook.
    """
    running = _running_callback_list(callback)
    if running is not None:
        set_before(running, hook, action)


def call_after(callback: keras.callbacks.Callback, hook: str, action: Callable[..., None]) -> bool:
    """Call `action` with the arguments of a later hook, after all callbacks that the running `fit` has by now.

    Unlike a further callback, it costs nothing in a step.

    Args:
        callback: The callback within whose hook this is called.
        hook: Name of the later hook.
        action: Called with the arguments of the hook, before what callbacks pass to `call_last` within it.

    Returns:
        False if no list of callbacks calls the hook, so that nothing will be called.
    """
    running = _running_callback_list(callback)
    if running is None:
        return False
    last = _Deferred(**{hook: action})
    original = getattr(running, hook)

    def called(*args: object, **kwargs: object) -> None:
        running.callbacks.append(last)
        try:
            original(*args, **kwargs)
        finally:
            running.callbacks.remove(last)

    setattr(running, hook, called)
    return True


def on_callback_error(
    callback: keras.callbacks.Callback, action: Callable[[], None], *, hooks: Iterable[str] = HOOKS
) -> None:
    """Call `action` when a later hook of any callback of the running `fit` raises.

    Args:
        callback: The callback within whose hook this is called.
        action: Called before the exception leaves the hook. It must do the same when it is called twice.
        hooks: The names of the hooks.
    """
    running = _running_callback_list(callback)
    if running is None:
        return
    for name in hooks:
        setattr(running, name, partial(undo_unless_finished, getattr(running, name), action))  # also after Ctrl-C


class _Deferred(keras.callbacks.LambdaCallback):
    """An action of `call_after`, which stands among the callbacks while one hook runs."""


def _running_callback_list(callback: keras.callbacks.Callback) -> keras.callbacks.CallbackList | None:
    # No callback has a reference to its list, so it is looked up in the frames of the calls that led here.
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList) and any(c is callback for c in caller.callbacks):
            return caller
        frame = frame.f_back
    return None
