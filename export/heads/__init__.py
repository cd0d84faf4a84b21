"""All heads: what an encoder computes for its training task, beside its own outputs.

The pooler is no head: each encoder has one (export/encoder/), and a head says whether it reads the pooler's output.
Attention scores are an output of the encoder, `.attention` of an archive.
"""

from export.heads.discriminator import DISCRIMINATOR
from export.heads.mlm import MLM
from export.heads.nsp import NSP
from export.heads.table import Head

HEADS: dict[str, Head] = {head.name: head for head in (DISCRIMINATOR, MLM, NSP)}
