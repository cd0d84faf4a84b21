"""A small registry with every kind of source, the checkpoints that its rows mean, and the servers that have them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.release.builder import Job
from export.release.report import Row
from scripts.layouts import LAYOUTS, bert_config, transformers_arrays
from scripts.random_checkpoint import random_arrays, write_tf1, write_vocabulary
from tests.localserver import LocalServer, Reply
from zoo.registry.registry import Registry, registry_text

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "你", "好", "##好", *(f"w{i}" for i in range(63))]  # 71
SCALE = 0.25
_SIZES = (24, 3, 40, len(WORDS))  # hidden, heads, intermediate, vocabulary
_ALBERT = {"embedding_size": 16, "num_hidden_groups": 1}
_ELECTRA = {"embedding_size": 24, "generator_hidden_size": 8, "generator_intermediate_size": 12}

# name -> layout, layers, what its config has beyond the others
CHECKPOINTS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "base": ("bert", 2, {}),
    "small": ("electra", 1, _ELECTRA),
    "tiny": ("albert", 2, _ALBERT),
}
REPOSITORY = "someone/small-discriminator"


def config_of(name: str) -> dict[str, Any]:
    _, layers, extra = CHECKPOINTS[name]
    return bert_config(layers, *_SIZES, positions=24, **extra)


def write_checkpoint(name: str, directory: Path, seed: int = 1) -> Path:
    """Write one of CHECKPOINTS as its publisher trained it, in the TF1 layout."""
    config = config_of(name)
    write_tf1(directory, config, LAYOUTS[CHECKPOINTS[name][0]](config), seed, SCALE)
    write_vocabulary(directory / "vocab.txt", WORDS)
    return directory


def zipped(directory: Path) -> bytes:
    """Return a .zip with the directory in it, as upstream packs one."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(directory.iterdir()):
            archive.write(file, f"{directory.name}/{file.name}")
    return content.getvalue()


def serve_repository(server: LocalServer, name: str = "small", repository: str = REPOSITORY, api: bool = True) -> None:
    """Serve a checkpoint as a Hugging Face repository, with the hub's listing or as a mirror without one."""
    from safetensors.numpy import save

    config = config_of(name)
    layout = CHECKPOINTS[name][0]
    weights = save(transformers_arrays(random_arrays(LAYOUTS[layout](config), 1, SCALE)))
    files = {
        "config.json": json.dumps(config | {"model_type": layout, "layer_norm_eps": 1e-12}).encode(),
        "vocab.txt": "".join(f"{word}\n" for word in WORDS).encode(),
        "model.safetensors": weights,
    }
    for file, content in files.items():
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        reply = Reply(content, ranges=True, headers={"ETag": tag})
        server.serve(f"/{repository}/resolve/main/{file}", reply)
    listing: list[dict[str, Any]] = [
        {"type": "file", "path": file, "size": len(content), "oid": "0" * 40} for file, content in files.items()
    ]
    listing[-1]["lfs"] = {"oid": hashlib.sha256(weights).hexdigest(), "size": len(weights)}
    listing.append({"type": "directory", "path": "onnx", "size": 0, "oid": "0" * 40})
    if api:
        server.serve(f"/api/models/{repository}/tree/main", json.dumps(listing).encode())


def rows(server: LocalServer) -> dict[str, Any]:
    """Return the rows of the registry, as its file has them."""
    sizes = {"kind": "encoder", "hidden_size": 24, "heads": 3, "vocab_size": 71, "tokenizer": "words"}
    repository = {"kind": "huggingface", "repository": REPOSITORY}
    return {
        "words": {"kind": "tokenizer", "vocab_size": 71, "recipe": {"cased": False}, "sources": [repository]},
        "words_preprocess": {"kind": "preprocess", "recipe": {"derivation": {"parent": "words"}}},
        "base": {
            **sizes,
            "family": "bert",
            "layers": 2,
            "activation": "gelu",
            "parameters": 9000,
            "description": "of a server",
            "aliases": ["old-base"],
            "licence": "Apache-2.0",
            "history": [{"url": "https://host/base.tar.gz", "size_mib": 7}],
            "recipe": {"heads": []},
            "sources": [{"kind": "url", "url": f"{server.url}/models/base.zip"}],
        },
        "base_1": {
            **sizes,
            "family": "bert",
            "layers": 1,
            "activation": "gelu",
            "parameters": 6000,
            "licence": "Apache-2.0",
            "recipe": {"derivation": {"parent": "base", "layers": 1}},
        },
        "small": {
            **sizes,
            "family": "electra",
            "layers": 1,
            "parameters": 7000,
            "recipe": {"pooler": "first_token", "heads": []},
            "sources": [{"kind": "url", "url": f"{server.url}/gone/small.zip"}, repository],
        },
        "tiny": {
            **sizes,
            "family": "albert",
            "layers": 2,
            "activation": "gelu_tanh",
            "parameters": 5000,
            "recipe": {"heads": ["mlm"]},
            "sources": [{"kind": "note", "text": "tiny.zip lies on a drive that asks for a password"}],
        },
    }


@dataclass(frozen=True)
class Upstream:
    """Where the rows' checkpoints lie: a registry file, a folder that a person filled, a server."""

    registry: Path
    sources: Path
    server: LocalServer

    def write_registry(self, path: Path, **changes: dict[str, Any] | None) -> Path:
        """Write the registry with some rows changed, added, or, given None, left out."""
        models = rows(self.server)
        for name, change in changes.items():
            if change is None:
                del models[name]
            else:
                models[name] = {**models.get(name, {}), **change}
        path.write_text(registry_text(Registry.model_validate({"models": models})), encoding="utf-8")
        return path


def make_upstream(directory: Path, server: LocalServer) -> Upstream:
    """Write checkpoints and registry, and script the server."""
    directory.mkdir(parents=True, exist_ok=True)
    content = zipped(write_checkpoint("base", directory / "base"))
    server.serve("/models/base.zip", Reply(content, ranges=True, headers={"ETag": '"1"'}))
    serve_repository(server)
    write_checkpoint("tiny", directory / "sources" / "tiny")
    upstream = Upstream(directory / "registry.json", directory / "sources", server)
    upstream.write_registry(upstream.registry)
    return upstream


def answer_or_die(connection: Any, job: Job) -> None:
    """Do what a process of a build does, without TensorFlow; one that is told to build `tiny` or `base_1` dies."""
    while True:
        try:
            step = connection.recv()
        except EOFError:
            return
        if step.name in ("tiny", "base_1"):
            os._exit(3)
        connection.send([Row(name=name, outcome="built") for name in step.rows])
