"""All tasks of text archives: what is made of the outputs of an encoder for texts."""

from export.tasks.classification import CLASSIFICATION
from export.tasks.fill_mask import FILL_MASK
from export.tasks.span import SPANS
from export.tasks.table import Task
from export.tasks.tokens import TOKENS
from export.tasks.vector import VECTORS
from zoo.contract import TaskName

TASKS: dict[TaskName, Task] = {task.name: task for task in (VECTORS, CLASSIFICATION, TOKENS, SPANS, FILL_MASK)}
