"""The task with a backbone of KerasHub: a small BERT that knows modules of the standard library apart."""

from __future__ import annotations

import sysconfig
from functools import cache
from pathlib import Path

import keras
import numpy as np
from tasks import LENGTH, SYMBOLS, Arrays, FineTuning, windows

SOURCE_MODULES = ("email", "json", "asyncio", "unittest", "xml", "http")
TARGET_MODULES = ("logging", "multiprocessing", "ctypes", "importlib")
ROWS_OF_MODULE = 900


@cache
def module_windows(names: tuple[str, ...]) -> Arrays:
    """Return windows of the source of modules in random order, and the number of the module of each."""
    x, y = [], []
    for number, name in enumerate(names):
        folder = Path(sysconfig.get_path("stdlib")) / name
        text = "".join(path.read_text("utf-8", errors="ignore") for path in sorted(folder.rglob("*.py")))
        rows = windows(text[: ROWS_OF_MODULE * (LENGTH + 1)])[0]
        x.append(rows)
        y.append(np.full(len(rows), number, "int32"))
    order = np.random.RandomState(22).permutation(sum(map(len, y)))
    return np.concatenate(x)[order], np.concatenate(y)[order]


def target() -> tuple[Arrays, Arrays]:
    """Return 1500 windows of other modules, and those that judge."""
    x, y = module_windows(TARGET_MODULES)
    return (x[:1500], y[:1500]), (x[1500:], y[1500:])


def net(classes: int) -> keras.Model:
    """Return a small BERT from a configuration, with a head on its first token."""
    import keras_hub

    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(SYMBOLS) + 2, num_layers=2, num_heads=2, hidden_dim=32, intermediate_dim=64, dropout=0.1,
        max_sequence_length=LENGTH,
    )  # fmt: skip
    tokens = keras.Input((LENGTH,), dtype="int32")
    inputs = {
        "token_ids": tokens,
        "segment_ids": keras.ops.zeros_like(tokens),
        "padding_mask": keras.ops.ones_like(tokens),
    }
    pooled = backbone(inputs)["pooled_output"]
    return keras.Model(tokens, keras.layers.Dense(classes)(pooled))


def bert_task() -> FineTuning:
    return FineTuning(lambda: module_windows(SOURCE_MODULES), target, net, "adam", 5, new_head=True)
