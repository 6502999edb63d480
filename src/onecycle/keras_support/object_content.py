"""The attributes of objects and the items of containers: their present values, and their restoration."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Any

from onecycle.keras_support import backends
from onecycle.keras_support.attributes import set_untracked, unset_untracked
from onecycle.keras_support.foreign_state import keeps_attributes_elsewhere
from onecycle.keras_support.held_objects import MutableContainer, has_attributes, is_container


class ContentSnapshot:
    """The attributes and items of objects and containers, each only its own, not those of what it holds.

    Args:
        objects: What to record. Anything that has neither attributes nor items is ignored.
    """

    def __init__(self, objects: Iterable[object]) -> None:
        self._attributes: list[tuple[object, dict[str, object]]] = []
        self._items: list[tuple[MutableContainer, Any]] = []
        for one in objects:
            if is_container(one):
                self._items.append((one, _copied(one)))  # type: ignore[arg-type]
            elif has_attributes(one) and not keeps_attributes_elsewhere(one):
                self._attributes.append((one, dict(vars(one))))

    def restore(self) -> None:
        """Give every object its attributes and every container its items. Containers are changed in place."""
        for owner, attributes in self._attributes:
            unset_untracked(owner, *[name for name in vars(owner) if name not in attributes])
            set_untracked(owner, **attributes)
        for container, items in self._items:
            _restore_items(container, items)


def _copied(container: MutableContainer) -> Any:
    if isinstance(container, dict):
        return dict(container)
    return set(container) if isinstance(container, set) else list(container)


def _restore_items(container: Any, items: Any) -> None:
    # The methods of the built-in types bypass the tracking of Keras' subclasses.
    if isinstance(container, list):
        if not _same(container, items):
            list.__setitem__(container, slice(None), items)
    elif isinstance(container, set):
        if not _same(container, items):
            set.clear(container)
            set.update(container, items)
    elif isinstance(container, deque):
        if not _same(container, items):
            deque.clear(container)
            deque.extend(container, items)
    elif not (_same(container, items) and _same(container.values(), items.values())):
        _restore_dict(container, items)


def _same(one: Iterable[object], other: Iterable[object]) -> bool:
    """Return whether two containers hold the same objects in the same order."""
    one, other = list(one), list(other)
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _restore_dict(container: dict[object, object], items: dict[object, object]) -> None:
    if backends.is_tracked_dict(container):
        # TensorFlow's wrapper has to see every change.
        for name in list(container):
            del container[name]
        for name in items:
            container[name] = items[name]
        return
    kind = OrderedDict if isinstance(container, OrderedDict) else dict
    kind.clear(container)
    for name in items:
        kind.__setitem__(container, name, items[name])
