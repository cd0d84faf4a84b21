"""Shows UER-py's checkpoints under transformers' names, and its config under google-research/bert's keys.

Source: scripts/convert_bert_from_uer_to_huggingface.py of dbiir/UER-py, in older and newer versions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from export.readers.protocol import Container, OpenedCheckpoint
from export.readers.renamed import RenamedVariable, RenamedVariables, as_stored, without_first_row
from zoo.errors import Unsupported

_WORD = re.compile(r"embedding\.word(_embedding|\.embedding)\.weight")
_SEGMENT = "bert.embeddings.token_type_embeddings.weight"

# Pattern of UER's name -> transformers' name; kernels are [out, in] in both.
_NAMES: Mapping[str, str] = {
    _WORD.pattern: "bert.embeddings.word_embeddings.weight",
    r"embedding\.(position_|pos\.)embedding\.weight": "bert.embeddings.position_embeddings.weight",
    r"embedding\.(segment_|seg\.)embedding\.weight": _SEGMENT,
    r"embedding\.layer_norm\.(gamma|beta)": r"bert.embeddings.LayerNorm.\1",
    r"encoder\.transformer\.(\d+)\.self_attn\.linear_layers\.0\.": r"bert.encoder.layer.\1.attention.self.query.",
    r"encoder\.transformer\.(\d+)\.self_attn\.linear_layers\.1\.": r"bert.encoder.layer.\1.attention.self.key.",
    r"encoder\.transformer\.(\d+)\.self_attn\.linear_layers\.2\.": r"bert.encoder.layer.\1.attention.self.value.",
    r"encoder\.transformer\.(\d+)\.self_attn\.final_linear\.": r"bert.encoder.layer.\1.attention.output.dense.",
    r"encoder\.transformer\.(\d+)\.layer_norm_1\.": r"bert.encoder.layer.\1.attention.output.LayerNorm.",
    r"encoder\.transformer\.(\d+)\.feed_forward\.linear_1\.": r"bert.encoder.layer.\1.intermediate.dense.",
    r"encoder\.transformer\.(\d+)\.feed_forward\.linear_2\.": r"bert.encoder.layer.\1.output.dense.",
    r"encoder\.transformer\.(\d+)\.layer_norm_2\.": r"bert.encoder.layer.\1.output.LayerNorm.",
    r"target\.(nsp_|sp_|sp\.)linear_1\.": "bert.pooler.dense.",
    r"target\.(nsp_|sp_|sp\.)linear_2\.": "cls.seq_relationship.",
    r"target\.mlm[_.]linear_1\.": "cls.predictions.transform.dense.",
    r"target\.(mlm\.)?layer_norm\.": "cls.predictions.transform.LayerNorm.",
    r"target\.mlm[_.]linear_2\.weight": "cls.predictions.decoder.weight",
    r"target\.mlm[_.]linear_2\.bias": "cls.predictions.bias",
}
_CONFIG_WORDS: Mapping[str, tuple[str, ...]] = {
    "heads_num": ("num_attention_heads",),
    "layers_num": ("num_hidden_layers",),
    "feedforward_size": ("intermediate_size",),
    "max_seq_length": ("max_position_embeddings",),
    "dropout": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
}
_ACTIVATION_WORDS = {"gelu_fast": "gelu_new"}  # both are gelu written with tanh
# UER has many encoders. These settings make one a BERT; an absent key has the value given here.
_BERT = {"encoder": "transformer", "mask": "fully_visible", "layernorm_positioning": "post", "feed_forward": "dense"}
_NORM = (
    "layer norms are computed as BERT's (variance over N, eps 1e-12), as transformers does with converted UER models; "
    "UER's own code divides by N - 1"
)


def understood_as_uer(checkpoint: OpenedCheckpoint) -> OpenedCheckpoint:
    """Return a UER checkpoint with transformers' names and a completed config. Any other is returned unchanged.

    Raises Unsupported when the config describes another architecture than BERT.
    """
    if not any(_WORD.fullmatch(name) for name in checkpoint.shapes):
        return checkpoint
    others = [
        f"'{key}' is {found!r}" for key, bert in _BERT.items() if (found := checkpoint.config.get(key, bert)) != bert
    ]
    if others:
        raise Unsupported(f"{checkpoint.path} is a UER model other than BERT: {', '.join(others)}. Not converted.")
    renamed = list(_renamed(checkpoint.container))
    facts = ["UER's variables are shown under transformers' names", _NORM]
    if any(each.name == _SEGMENT and each.shape != checkpoint.shapes[each.stored] for each in renamed):
        facts.append("the segment table had 3 rows; the first, UER's padding, was dropped")
    container = RenamedVariables(checkpoint.container, renamed)
    config = _config(checkpoint.config)
    return replace(checkpoint, format="uer", container=container, config=config, facts=(*checkpoint.facts, *facts))


def _renamed(container: Container) -> Iterator[RenamedVariable]:
    for stored, shape in container.shapes.items():
        name = next(
            (re.sub(pattern, ours, stored) for pattern, ours in _NAMES.items() if re.match(pattern, stored)), stored
        )
        drop_padding = name == _SEGMENT and shape[:1] == (3,)
        yield (without_first_row if drop_padding else as_stored)(name, stored, shape)


def _config(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config with google's keys added: heads_num 12 also becomes num_attention_heads 12.

    All other keys stay, and a key of google's that the config has already keeps its value.
    """
    translated = {ours: raw[key] for key, words in _CONFIG_WORDS.items() if key in raw for ours in words}
    word = _ACTIVATION_WORDS.get(str(raw.get("hidden_act")))
    return {**translated, **raw, **({"hidden_act": word} if word else {})}
