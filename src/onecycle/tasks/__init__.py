"""The data sets and models that onecycle's demo, tests and studies train on.

task = onecycle.tasks.load_task("fashion-mnist")
(x, y), (x_test, y_test) = task.data
model = task.build(seed=0)
"""

from onecycle.tasks.task import NAMES, Task, load_task

__all__ = ["NAMES", "Task", "load_task"]
