"""The next-sentence head: whether the second segment follows the first (BERT) or both are in order (ALBERT)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.families.table import dotted
from export.heads.table import Head, Tensors
from export.oracle.heads import HeadOracle
from zoo.contract import NSP_LOGITS, POOLED_OUTPUT

if TYPE_CHECKING:
    from export.encoder.encoder import Encoder

_TF1 = {"nsp": "cls/seq_relationship"}


def _logits(encoder: Encoder, outputs: Tensors, inputs: Tensors) -> Tensors:
    """Return [B, 2], B being the batch."""
    import tensorflow as tf

    x = tf.matmul(outputs[POOLED_OUTPUT], encoder.weight("nsp/rows"), transpose_b=True)
    return {NSP_LOGITS: tf.nn.bias_add(x, encoder.weights["nsp/output_bias"])}


NSP = Head(
    name="nsp",
    title="next-sentence head",
    variables={"nsp/rows": (2, "hidden_size"), "nsp/output_bias": (2,)},
    scopes={
        ("bert", "tf1"): _TF1,
        ("bert", "huggingface"): dotted(_TF1),
        ("bert", "uer"): dotted(_TF1),
        ("albert", "tf1"): _TF1,
        ("albert", "huggingface"): {"nsp": "sop_classifier.classifier"},
        ("albert_brightmart", "tf1"): _TF1,
        ("ernie", "huggingface"): dotted(_TF1),
        ("nezha", "huggingface"): dotted(_TF1),
    },
    reads="pooled_output",
    compute=_logits,
    oracle=HeadOracle.nsp,
)
