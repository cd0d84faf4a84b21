"""Names and shapes of checkpoints as transformers and Model Garden save them, typed by hand from their source.

Nothing here reads the exporter's tables: a page made from those tables would agree with any mistake in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scripts.layouts import Config, Shapes


def bert(config: Config, model: str = "bert") -> Shapes:
    """BertModel; ErnieModel and RobertaModel have the same names under their own prefix, ERNIE 3.0 one table more."""
    h = config["hidden_size"]
    shapes = _embeddings(f"{model}.embeddings", config, h) | _layers(f"{model}.encoder", config)
    if config.get("use_task_id"):
        shapes[f"{model}.embeddings.task_type_embeddings.weight"] = (config["task_type_vocab_size"], h)
    return shapes | _linear(f"{model}.pooler.dense", h, h)


def ernie(config: Config) -> Shapes:
    return bert(config, "ernie")


def roberta(config: Config) -> Shapes:
    return bert(config, "roberta")


def albert(config: Config) -> Shapes:
    h, e, f = config["hidden_size"], config["embedding_size"], config["intermediate_size"]
    shapes = _embeddings("albert.embeddings", config, e) | _linear("albert.encoder.embedding_hidden_mapping_in", e, h)
    block = "albert.encoder.albert_layer_groups.0.albert_layers.0"
    for part in ("query", "key", "value", "dense"):
        shapes |= _linear(f"{block}.attention.{part}", h, h)
    shapes |= _norm(f"{block}.attention.LayerNorm", h) | _norm(f"{block}.full_layer_layer_norm", h)
    shapes |= _linear(f"{block}.ffn", h, f) | _linear(f"{block}.ffn_output", f, h)
    return shapes | _linear("albert.pooler", h, h)


def electra(config: Config) -> Shapes:
    """ElectraModel: no pooler."""
    h, e = config["hidden_size"], config["embedding_size"]
    shapes = _embeddings("electra.embeddings", config, e) | _layers("electra.encoder", config)
    return shapes | (_linear("electra.embeddings_project", e, h) if h != e else {})


def distilbert(config: Config) -> Shapes:
    """DistilBertModel: no types, no pooler, and sizes under names of its own."""
    h, f = config["dim"], config["hidden_dim"]
    scope = "distilbert.embeddings"
    shapes: Shapes = {
        f"{scope}.word_embeddings.weight": (config["vocab_size"], h),
        f"{scope}.position_embeddings.weight": (config["max_position_embeddings"], h),
        **_norm(f"{scope}.LayerNorm", h),
    }
    for layer in range(config["n_layers"]):
        scope = f"distilbert.transformer.layer.{layer}"
        for part in ("q_lin", "k_lin", "v_lin", "out_lin"):
            shapes |= _linear(f"{scope}.attention.{part}", h, h)
        shapes |= _linear(f"{scope}.ffn.lin1", h, f) | _linear(f"{scope}.ffn.lin2", f, h)
        shapes |= _norm(f"{scope}.sa_layer_norm", h) | _norm(f"{scope}.output_layer_norm", h)
    return shapes


def roformer(config: Config) -> Shapes:
    """RoFormerModel: sines of the positions are stored, once for all layers, and there is no table of positions."""
    h, heads = config["hidden_size"], config["num_attention_heads"]
    shapes = _embeddings("roformer.embeddings", config, config["embedding_size"]) | _layers("roformer.encoder", config)
    del shapes["roformer.embeddings.position_embeddings.weight"]
    return shapes | {"roformer.encoder.embed_positions.weight": (config["max_position_embeddings"], h // heads)}


def nezha(config: Config) -> Shapes:
    """NezhaModel: no table of positions; the sinusoids of distances are made again by every layer."""
    shapes = bert(config, "nezha")
    del shapes["nezha.embeddings.position_embeddings.weight"]
    return shapes


def megatron_bert(config: Config) -> Shapes:
    """MegatronBertModel: BERT's names, but norms lie before attention and FFN, and one after the last layer."""
    h = config["hidden_size"]
    shapes = bert(config) | _norm("bert.encoder.ln", h)
    for layer in range(config["num_hidden_layers"]):
        scope = f"bert.encoder.layer.{layer}"
        shapes |= _norm(f"{scope}.attention.ln", h) | _norm(f"{scope}.ln", h)
    norms = ("bert.embeddings.LayerNorm.", ".output.LayerNorm.")
    return {name: shape for name, shape in shapes.items() if not any(norm in name for norm in norms)}


def jina_bert(config: Config) -> Shapes:
    """JinaBertModel: BERT's names with a gated FFN and no table of positions (ALiBi)."""
    h, f = config["hidden_size"], config["intermediate_size"]
    shapes = bert(config)
    del shapes["bert.embeddings.position_embeddings.weight"]
    for layer in range(config["num_hidden_layers"]):
        scope = f"bert.encoder.layer.{layer}"
        shapes = {n: s for n, s in shapes.items() if not n.startswith((f"{scope}.intermediate.", f"{scope}.output."))}
        shapes |= {f"{scope}.mlp.gated_layers.weight": (2 * f, h), **_linear(f"{scope}.mlp.wo", f, h)}
        shapes |= _norm(f"{scope}.mlp.layernorm", h)
    return shapes


def modernbert(config: Config) -> Shapes:
    """ModernBertModel: no biases, no table of positions, queries, keys and values in one matrix."""
    h, f = config["hidden_size"], config["intermediate_size"]
    shapes: Shapes = {"model.embeddings.tok_embeddings.weight": (config["vocab_size"], h)}
    shapes |= {"model.embeddings.norm.weight": (h,), "model.final_norm.weight": (h,)}
    for layer in range(config["num_hidden_layers"]):
        scope = f"model.layers.{layer}"
        shapes |= {f"{scope}.attn.Wqkv.weight": (3 * h, h), f"{scope}.attn.Wo.weight": (h, h)}
        shapes |= {f"{scope}.mlp.Wi.weight": (2 * f, h), f"{scope}.mlp.Wo.weight": (h, f)}
        shapes |= {f"{scope}.mlp_norm.weight": (h,)} | ({f"{scope}.attn_norm.weight": (h,)} if layer else {})
    return shapes


def model_garden(config: Config) -> Shapes:
    """TF2 Model Garden's BERT encoder, variables by object, attention kernels by head."""
    h, f, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    rows = (config["vocab_size"], config["max_position_embeddings"], config["type_vocab_size"])
    parts: dict[str, tuple[int, ...]] = {f"{i}/embeddings": (count, h) for i, count in enumerate(rows)}
    parts |= {"3/gamma": (h,), "3/beta": (h,)}
    for number in range(4, 4 + config["num_hidden_layers"]):
        for part in ("query", "key", "value"):
            scope = f"{number}/_attention_layer/_{part}_dense"
            parts |= {f"{scope}/kernel": (h, heads, h // heads), f"{scope}/bias": (heads, h // heads)}
        scope = f"{number}/_attention_layer/_output_dense"
        parts |= {f"{scope}/kernel": (heads, h // heads, h), f"{scope}/bias": (h,)}
        parts |= {f"{number}/_intermediate_dense/kernel": (h, f), f"{number}/_intermediate_dense/bias": (f,)}
        parts |= {f"{number}/_output_dense/kernel": (f, h), f"{number}/_output_dense/bias": (h,)}
        for norm in ("_attention_layer_norm", "_output_layer_norm"):
            parts |= {f"{number}/{norm}/gamma": (h,), f"{number}/{norm}/beta": (h,)}
    pooler = 4 + config["num_hidden_layers"]
    parts |= {f"{pooler}/kernel": (h, h), f"{pooler}/bias": (h,)}
    value = "/.ATTRIBUTES/VARIABLE_VALUE"
    named = {f"encoder/layer_with_weights-{part}{value}": shape for part, shape in parts.items()}
    return {"_CHECKPOINTABLE_OBJECT_GRAPH": (), **named}


# -- heads, and what else lies beside an encoder ----------------------------------------------------------------------


def _masked_lm(config: Config) -> Shapes:
    h, v = config["hidden_size"], config["vocab_size"]
    shapes = _linear("cls.predictions.transform.dense", h, h) | _norm("cls.predictions.transform.LayerNorm", h)
    return shapes | {"cls.predictions.bias": (v,), "cls.predictions.decoder.weight": (v, h)}


def _next_sentence(config: Config) -> Shapes:
    return _linear("cls.seq_relationship", config["hidden_size"], 2)


def _masked_lm_of_albert(config: Config) -> Shapes:
    h, e, v = config["hidden_size"], config["embedding_size"], config["vocab_size"]
    shapes = _linear("predictions.dense", h, e) | _norm("predictions.LayerNorm", e)
    return shapes | _linear("predictions.decoder", e, v) | {"predictions.bias": (v,)}


def _masked_lm_of_roberta(config: Config) -> Shapes:
    h, v = config["hidden_size"], config["vocab_size"]
    shapes = _linear("lm_head.dense", h, h) | _norm("lm_head.layer_norm", h)
    return shapes | {"lm_head.bias": (v,), "lm_head.decoder.weight": (v, h)}


def _masked_lm_of_distilbert(config: Config) -> Shapes:
    h, v = config["dim"], config["vocab_size"]
    shapes = _linear("vocab_transform", h, h) | _norm("vocab_layer_norm", h)
    return shapes | _linear("vocab_projector", h, v)


def _discriminator(config: Config) -> Shapes:
    h = config["hidden_size"]
    scope = "discriminator_predictions"
    return _linear(f"{scope}.dense", h, h) | _linear(f"{scope}.dense_prediction", h, 1)


def _stale_projection(config: Config) -> Shapes:
    """Google's electra-base and electra-large hold a projection that nothing uses (transformers issue 7530)."""
    return _linear("electra.embeddings_project", config["embedding_size"], config["hidden_size"])


def _labels(config: Config) -> Shapes:
    """The last layer of a sequence or token classifier: one row a label."""
    return _linear("classifier", config["hidden_size"], len(config["id2label"]))


def _labels_of_roberta(config: Config) -> Shapes:
    h = config["hidden_size"]
    return _linear("classifier.dense", h, h) | _linear("classifier.out_proj", h, len(config["id2label"]))


def _span(config: Config) -> Shapes:
    return _linear("qa_outputs", config["hidden_size"], 2)


LAYOUTS: Mapping[str, Callable[[Config], Shapes]] = {
    "bert": bert,
    "ernie": ernie,
    "roberta": roberta,
    "albert": albert,
    "electra": electra,
    "distilbert": distilbert,
    "roformer": roformer,
    "nezha": nezha,
    "megatron_bert": megatron_bert,
    "jina_bert": jina_bert,
    "modernbert": modernbert,
}
HEADS: Mapping[str, Callable[[Config], Shapes]] = {
    "masked LM": _masked_lm,
    "masked LM alone": _masked_lm,
    "next sentence": _next_sentence,
    "masked LM of ALBERT": _masked_lm_of_albert,
    "masked LM of RoBERTa": _masked_lm_of_roberta,
    "masked LM of DistilBERT": _masked_lm_of_distilbert,
    "discriminator": _discriminator,
    "stale projection": _stale_projection,
    "labels": _labels,
    "labels of tokens": _labels,
    "labels of RoBERTa": _labels_of_roberta,
    "span": _span,
}
# Classes with these heads are made without a pooler.
POOLERLESS = {"masked LM alone", "labels of tokens", "span", "labels of RoBERTa"}


def _embeddings(scope: str, config: Config, width: int) -> Shapes:
    return {
        f"{scope}.word_embeddings.weight": (config["vocab_size"], width),
        f"{scope}.position_embeddings.weight": (config["max_position_embeddings"], width),
        f"{scope}.token_type_embeddings.weight": (config["type_vocab_size"], width),
        **_norm(f"{scope}.LayerNorm", width),
    }


def _layers(scope: str, config: Config) -> Shapes:
    h, f = config["hidden_size"], config["intermediate_size"]
    shapes: Shapes = {}
    for layer in range(config["num_hidden_layers"]):
        each = f"{scope}.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= _linear(f"{each}.{part}", h, h)
        shapes |= _norm(f"{each}.attention.output.LayerNorm", h) | _norm(f"{each}.output.LayerNorm", h)
        shapes |= _linear(f"{each}.intermediate.dense", h, f) | _linear(f"{each}.output.dense", f, h)
    return shapes


def _linear(scope: str, inputs: int, outputs: int) -> Shapes:
    return {f"{scope}.weight": (outputs, inputs), f"{scope}.bias": (outputs,)}


def _norm(scope: str, width: int) -> Shapes:
    return {f"{scope}.weight": (width,), f"{scope}.bias": (width,)}
