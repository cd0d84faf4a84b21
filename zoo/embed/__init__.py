"""Turns a corpus into vectors: text, JSONL or Parquet in, Parquet out, on this machine, on Apache Beam or on Spark.

`embed_corpus` does the whole work. `zoo.embed.beam.EncoderHandler` and `zoo.embed.spark.embedding_udf` are steps for
your own pipelines. Needs the extra `embed`, `beam` or `spark`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.embed.asked import Corpus, Settings
    from zoo.embed.encoder import EncoderSpec
    from zoo.embed.manifest import Manifest
    from zoo.embed.run import Plan, embed_corpus, plan_corpus

# Modules are imported on first use, because every command line imports this package.
_HOMES = {
    "Corpus": "asked",
    "EncoderSpec": "encoder",
    "Manifest": "manifest",
    "Plan": "run",
    "Settings": "asked",
    "embed_corpus": "run",
    "plan_corpus": "run",
}

__all__ = ["Corpus", "EncoderSpec", "Manifest", "Plan", "Settings", "embed_corpus", "plan_corpus"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo.embed' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"zoo.embed.{_HOMES[name]}"), name)
    return value
