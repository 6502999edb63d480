"""Data sets and models for the demo, the tests and the studies.

task = onecycle.tasks.load_task("fashion-mnist")
(x, y), (x_test, y_test) = task.data
model = task.build(seed=0)
"""

from onecycle.tasks.task import NAMES, Task, load_task

__all__ = ["NAMES", "Task", "load_task"]
