"""The variables of a conditional random field (CRF) beside the head of a token classifier, in any part of a model.

C labels. `transitions` [C, C] are the scores of a label behind another, [from, to]; `start` and `end` [C] those of the
first and of the last label. Source: pytorch-crf (torchcrf), whose names AllenNLP and bert4torch have too;
tf.contrib.crf, which has one matrix alone. That of bert4keras is not read: its file holds the matrix divided by the
`lr_multiplier` of the training, which the file does not state.
"""

from __future__ import annotations

from collections.abc import Mapping

from export.readers.protocol import Format, Shape
from export.weights.plan import PlannedVariable
from zoo.errors import BadConfig

TRANSITIONS, START, END = (f"task/crf/{name}" for name in ("transitions", "start", "end"))
# Format -> how the variables may be called; the parts of a model in front of a name may have any names.
_SPELLED: Mapping[Format, tuple[tuple[str, ...], ...]] = {
    "huggingface": (("transitions", "start_transitions", "end_transitions"),),
    "tf1": (("transitions",), ("transition",)),
}


def find_crf(shapes: Mapping[str, Shape], format: Format, classes: int) -> tuple[PlannedVariable, ...]:
    """Return the variables of the CRF over `classes` labels, none if a checkpoint has none that is known.

        find_crf(checkpoint.shapes, "huggingface", 7)[0].sources  # ("crf.transitions",)

    Raises BadConfig if there are several.
    """
    found = []
    for spelled in _SPELLED.get(format, ()):
        for name in shapes:
            scope = name[: len(name) - len(spelled[0])]
            if name.endswith(spelled[0]) and scope[-1:] in ("", "/", "."):
                names = [scope + each for each in spelled]
                if [shapes.get(each) for each in names] == [(classes, classes), (classes,), (classes,)][: len(names)]:
                    found.append(names)
    if len(found) > 1:
        raise BadConfig(
            f"there are several CRFs over {classes} labels: {', '.join(names[0] for names in found)}. Export the "
            "encoder alone with `--kind encoder`."
        )
    return tuple(
        PlannedVariable(ours, ours, (name,), shapes[name][-1:], shapes[name], False)
        for names in found
        for ours, name in zip((TRANSITIONS, START, END), names, strict=False)
    )
