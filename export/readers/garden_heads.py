"""The heads of Model Garden's classifiers, span labelers and token classifiers, under names that tell them apart.

All give their last dense layer the name "predictions/transform/logits" or "…/logits", so it is the attributes of the
model that tell which head it is: the object graph has them, in checkpoints and in SavedModels.

| head | is shown as |
|---|---|
| ClassificationHead of BertClassifier | `sentence_prediction/out_proj`, and `sentence_prediction/dense` before it |
| BertTokenClassifier | `token_classification/logits` |
| BertSpanLabeler | `span_labeling/logits` |
| those of tf-models-official before 2.4, whose attributes are not in the file | `predictions/transform/logits` |

Source: official/nlp/modeling of tf-models-official 2.2, 2.3, 2.4, 2.8 and 2.20, and files that 2.20 wrote.
"""

from __future__ import annotations

from collections.abc import Mapping

from export.readers.object_names import Place, given_names, of_training, places
from export.readers.protocol import Container

_LOGITS = "predictions/transform/logits"
_OF_PRETRAINING = "cls/predictions"  # beside it the older head is that of the next sentence


def shown_heads(container: Container) -> Mapping[str, str]:
    """Return the stored name -> the shown name of the variables of a head.

    shown_heads(container)["model/layer_with_weights-1/bias/.ATTRIBUTES/…"]  # "token_classification/logits/bias"
    """
    given, known = given_names(container), places(container)
    names = set(given.values())
    pretrained = any(f"/{_OF_PRETRAINING}" in f"/{name}" for name in names)
    found = {}
    for stored, name in given.items():
        scope, _, leaf = name.rpartition("/")
        head = _head(scope, known[stored])
        if head and leaf in ("kernel", "bias") and not of_training(stored, name, names):
            found[stored] = f"{head}/{leaf}"
    if pretrained:
        found = {stored: shown for stored, shown in found.items() if not shown.startswith(_LOGITS)}
    has_output = any(shown.startswith("sentence_prediction/out_proj") for shown in found.values())
    return found if has_output else {stored: shown for stored, shown in found.items() if "/dense/" not in shown}


def _head(scope: str, place: Place) -> str:
    """Return the name of the head that a layer with this given name belongs to, "" for no head."""
    # A head of BertPretrainerV2 is held by a list, so that next_sentence is none of these.
    if "classifier" in place.above or any(name.startswith("layer_with_weights-") for name in place.above):
        if "out_proj" in place.layer:
            return "sentence_prediction/out_proj"
        if "dense" in place.layer and scope.endswith("/pooler_dense"):
            return "sentence_prediction/dense"
    if f"/{scope}".endswith(f"/{_LOGITS}"):
        if "classifier" in place.layer:
            return "token_classification/logits"
        return "span_labeling/logits" if "span_labeling" in place.above else _LOGITS
    return ""
