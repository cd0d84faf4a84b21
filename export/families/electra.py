"""ELECTRA: the discriminator and, with --family, the generator that shares its embeddings. Neither has a pooler."""

from dataclasses import replace

from export.families.bert import SCOPES as BERT_SCOPES
from export.families.table import ERF_IN_TRANSFORMERS, PYTORCH, TENSORFLOW, Family, Layout, dotted, with_gelu

SCOPES = {module: scope.replace("bert/", "electra/") for module, scope in BERT_SCOPES.items()} | {
    "embeddings/projection": "electra/embeddings_project",
    # Not a pooler, but what the predecessor of this project made one of; see --pooler discriminator.
    "pooler": "discriminator_predictions/dense",
}

TF1 = Layout(
    family="electra",
    format="tf1",
    prefix="electra/",
    scopes=SCOPES,
    leaves=TENSORFLOW,
    left_out={
        r"generator_predictions/.*": "generator (its masked-language-model head)",
        r"generator/.*": "generator",
    },
)

HUGGING_FACE = Layout(
    family="electra",
    format="huggingface",
    prefix="electra.",
    scopes=dotted(SCOPES),
    leaves=PYTORCH,
    left_out={r"(classifier|qa_outputs|sequence_summary)\..*": "head of a fine-tuned task"},
)

ELECTRA = Family(
    name="electra",
    layouts=(TF1, HUGGING_FACE),
    model_types=("electra",),
    activations={
        "tf1": with_gelu("gelu", "google-research/electra computes 'gelu' with erf"),
        "huggingface": ERF_IN_TRANSFORMERS,
    },
    poolers=("first_token", "discriminator"),
    projection="after_norm",
    mlm_activation={"huggingface": "gelu"},  # ElectraGeneratorPredictions, whatever the config says
)

_GENERATOR_SCOPES = {
    module: scope.replace("electra/encoder/", "generator/encoder/").replace(
        "electra/embeddings_", "generator/embeddings_"
    )
    for module, scope in SCOPES.items()
    if module != "pooler"
}

# Only a TF1 file holds both models; transformers publishes the generator as a model of its own. The file's config has
# the discriminator's sizes, so the user names a config with the generator's sizes.
ELECTRA_GENERATOR = replace(
    ELECTRA,
    name="electra_generator",
    layouts=(
        Layout(
            family="electra_generator",
            format="tf1",
            prefix="electra/",
            scopes=_GENERATOR_SCOPES,
            leaves=TENSORFLOW,
            left_out={
                r"discriminator_predictions/.*": "discriminator (its head)",
                r"electra/(encoder|embeddings_project)/.*": "discriminator",
            },
        ),
    ),
    poolers=("first_token",),
    on_request=True,
)
