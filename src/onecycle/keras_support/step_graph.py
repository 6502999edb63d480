"""A training step of PyTorch as a graph of tensor operations, which runs without the Python code of Keras.

The graph holds the operations that the step runs, in the same order and, but for pools (`graph_layout.py`), on the same
kernels. It leaves out the code of Keras' layers, in which a small step on PyTorch spends most of its time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

import keras

from onecycle.keras_support.graph_layout import pool_with_channels_last
from onecycle.keras_support.held_objects import held_objects
from onecycle.keras_support.model_state import flattened_layers

if TYPE_CHECKING:
    import torch

    from onecycle.keras_support.types import Nested

    Step: TypeAlias = Callable[..., Any]

# Layers of Keras that run code of the user's.
_FOREIGN_CODE = ("Lambda", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer")


def foreign_part(model: keras.Model) -> str | None:
    """Return a part of the model whose code is not that of Keras, as the end of a sentence, or None.

    Such code may do something else in each step, which a graph does not notice.
    """
    for layer in flattened_layers(model):
        kind = type(layer)
        if not _is_of_keras(kind) or kind.__name__ in _FOREIGN_CODE:
            return f"the code of {kind.__name__} is not that of Keras"
    held = held_objects(model, model.optimizer, getattr(model, "loss", None), *model.metrics)
    functions = [value for one in held for value in getattr(one, "__dict__", {}).values()]
    loss = keras.tree.flatten(getattr(model, "loss", None))
    for value in (*functions, *loss):
        if isinstance(value, FunctionType) and not _is_of_keras(value):
            return f"the function {value.__name__} is not one of Keras"
        if isinstance(value, _WITH_CODE) and not _is_of_keras(type(value)):
            return f"the code of {type(value).__name__} is not that of Keras"
    return None


_WITH_CODE = (
    *(keras.losses.Loss, keras.metrics.Metric, keras.optimizers.Optimizer),
    *(keras.regularizers.Regularizer, keras.constraints.Constraint),
)


def _is_of_keras(value: type | FunctionType) -> bool:
    return value.__module__.split(".")[0] in ("keras", "onecycle")


def loss_of_tensors(
    model: keras.Model,
    state: Sequence[Sequence[torch.Tensor]],
    x: Nested,
    y: Nested,
    sample_weight: Nested,
    training: bool,
) -> tuple[Nested, tuple[Nested, Nested, Nested]]:
    """Compute the loss of a batch, as `compilation.loss_and_updates` does.

    Args:
        model: The model.
        state: Values of its trainable variables, its others, those of the optimizer, and those of the metrics.
        x: Inputs of the batch.
        y: Targets of the batch.
        sample_weight: Weights of its rows, or None.
        training: Whether the layers run in training mode.

    Returns:
        The loss; and (predictions, values of the other variables, values of the metrics).
    """
    groups = model.trainable_variables, model.non_trainable_variables, model.metrics_variables
    values = state[0], state[1], state[3]
    pairs = [pair for group in zip(groups, values, strict=True) for pair in zip(*group, strict=True)]
    mode = {"training": training} if model._call_has_training_arg else {}
    with keras.StatelessScope(state_mapping=pairs, collect_losses=True) as scope:
        y_pred = model(x, **mode)
        loss = model._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
    others, metrics = ([scope.get_current_value(one).detach() for one in group] for group in groups[1:])
    return loss, (y_pred, others, metrics)


def gradients_of_tensors(
    function: Callable[..., tuple[Nested, Nested]], trainable: Sequence[torch.Tensor]
) -> tuple[tuple[Nested, Nested], Nested]:
    """Call a function of trainable tensors and compute the gradients of its loss, as `compilation.with_gradients`."""
    import torch

    leaves = [value.detach().requires_grad_() for value in trainable]
    with torch.enable_grad():
        loss, others = function(leaves)
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True) if leaves else ()
    loss, others = keras.tree.map_structure(lambda one: one.detach(), (loss, others))
    return (loss, others), list(gradients)


def compiled_step(function: Step, arguments: tuple[Nested, ...]) -> Step:
    """Return a function of flat lists of tensors as a graph; see `compilation.compile_step`."""
    lengths = [len(one) if isinstance(one, list) else None for one in arguments]

    def of_tensors(*tensors: torch.Tensor) -> Any:
        rest = iter(tensors)
        return function(*(next(rest) if n is None else [next(rest) for _ in range(n)] for n in lengths))

    graph = traced_graph(of_tensors, _joined(arguments))
    return lambda *given: graph(*_joined(given))


def _joined(arguments: Sequence[Nested]) -> list[torch.Tensor]:
    joined: list[torch.Tensor] = []
    for one in arguments:
        joined += one if isinstance(one, list) else [one]
    return joined


def traced_graph(function: Step, tensors: Sequence[torch.Tensor]) -> Step:
    """Trace a function of tensors and return it as a graph.

    Args:
        function: Takes the tensors and returns a flat list of tensors. It may change its arguments in place.
        tensors: Arguments of the shapes and types to trace for. They are not changed.

    Returns:
        A function that takes and returns what `function` does, for tensors of the same shapes.

    Raises:
        RuntimeError: If the function reads values of tensors, on which its code may depend.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    # With a `ShapeEnv`, a learning rate may become a number in the graph, as `alpha=` of an operation.
    mode = FakeTensorMode(shape_env=ShapeEnv(), static_shapes=True, allow_non_fake_inputs=True)
    with mode:
        fakes = [mode.from_tensor(tensor, static_shapes=True) for tensor in tensors]
        module = make_fx(function, _allow_non_fake_inputs=True)(*fakes)
    graph = module.graph
    # Arguments and results are flat lists, so they need no unpacking.
    graph.set_codegen(torch.fx.graph.CodeGen())
    for node in list(graph.nodes):
        if node.target is torch.ops.aten.detach.default:  # nothing in the graph has gradients
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    pool_with_channels_last(graph)
    _fold_constants(module)
    graph.eliminate_dead_code()
    module.recompile()
    forward = module.forward

    def run(*arguments: torch.Tensor) -> list[torch.Tensor]:
        with torch.no_grad():
            results: list[torch.Tensor] = forward(*arguments)
            return results

    return run


def _fold_constants(module: torch.fx.GraphModule) -> None:
    """Compute what does not depend on the arguments of a graph once, such as the number of values of a loss."""
    import torch

    changing = _changed_in_place(module.graph)
    values: dict[torch.fx.Node, Any] = {}
    for node in list(module.graph.nodes):
        if node.op == "get_attr":
            values[node] = getattr(module, node.target)
            continue
        inputs = node.all_input_nodes
        if node.op != "call_function" or node in changing or not all(one in values for one in inputs):
            continue
        if not isinstance(node.target, torch._ops.OpOverload) or node.is_impure():
            continue
        arguments, keywords = torch.fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
        value = node.target(*arguments, **keywords)
        if isinstance(value, torch.Tensor):
            values[node] = value
    for k, (node, value) in enumerate(values.items()):
        used = any(user not in values for user in node.users)
        if node.op == "get_attr" or not used:
            continue
        name = f"_folded{k}"
        module.register_buffer(name, value)
        with module.graph.inserting_before(node):
            node.replace_all_uses_with(module.graph.get_attr(name))


def _changed_in_place(graph: torch.fx.Graph) -> set[torch.fx.Node]:
    """Return the nodes whose values the graph may change in place or return, and all that those were computed from."""
    import torch

    waiting: list[torch.fx.Node] = []
    for node in graph.nodes:
        if node.op == "output":
            waiting += node.all_input_nodes
        elif isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable:
            written = [one for one in node.target._schema.arguments if one.alias_info and one.alias_info.is_write]
            names = {one.name for one in written}
            positional = zip(node.target._schema.arguments, node.args, strict=False)
            values = [value for one, value in positional if one.name in names]
            values += [value for name, value in node.kwargs.items() if name in names]
            waiting += [one for one in keras.tree.flatten(values) if isinstance(one, torch.fx.Node)]
    found: set[torch.fx.Node] = set()
    while waiting:
        node = waiting.pop()
        if node not in found and _is_view(node):
            waiting += node.all_input_nodes
        found.add(node)
    return found


def _is_view(node: torch.fx.Node) -> bool:
    """Return whether the value of a node may share memory with its arguments."""
    schema = getattr(node.target, "_schema", None)
    return schema is None or any(one.alias_info is not None for one in schema.arguments)
