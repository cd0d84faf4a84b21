"""BertGeneration's encoder (Rothe et al. 2020): BERT without token types and without a pooler."""

from dataclasses import replace

from export.families.bert import BERT, HUGGING_FACE as BERT_HUGGING_FACE, TF1
from export.families.distilbert import NO_TYPES

# Its names are BERT's, under "bert." where a decoder is saved. No file has the prefix here: nothing but the config's
# model type, or a person, says that a checkpoint is of this family.
HUGGING_FACE = replace(
    BERT_HUGGING_FACE,
    family="bert_generation",
    prefix="bert_generation.",
    scopes={module: f"bert_generation{scope[4:]}" for module, scope in BERT_HUGGING_FACE.scopes.items()},
)

BERT_GENERATION = replace(
    BERT,
    name="bert_generation",
    layouts=(HUGGING_FACE,),
    names=replace(TF1, family="bert_generation"),
    model_types=("bert-generation",),
    activations={"huggingface": BERT.activations["huggingface"]},
    poolers=("first_token",),
    by_type=True,
    folds=(NO_TYPES,),
)
