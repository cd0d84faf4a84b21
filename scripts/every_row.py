"""Asks every row of the packaged registry by name in an empty cache, against a local server, and calls what comes.

    python -m scripts.every_row --out table.md [--vocabulary vocab.txt] [NAME…]

The server plays Hugging Face and the hosts of packed checkpoints, with genuine files and random numbers. A row whose
licence forbids to hand it on has to say so; then the command that it names is run. The second call may open no socket.
It exits with 1 if a row does neither.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import zoo
from scripts.publishers import NEVER_NEEDED, Offer, hub_files, offer_of, packed_release, tokenizer_files
from tests.localserver import LocalServer, Reply, running_server
from zoo.archive.kinds import KINDS
from zoo.basics.locks import delete
from zoo.basics.quiet import import_tensorflow_quietly
from zoo.command import main as zoo_command
from zoo.errors import NotBuilt
from zoo.fetching.building import built_here
from zoo.fetching.registries import read_registry
from zoo.registry.entry import Entry, HuggingFaceSource, NoteSource, UrlSource
from zoo.registry.recipes import origin
from zoo.registry.registry import PACKAGED

TEXTS = ["今天天气很好。", "The weather is good today."]
COMMIT = "c" * 40  # what the hub's main means
_LARGE = (".safetensors", ".bin", ".h5", ".msgpack", ".onnx")


@dataclass(frozen=True)
class Asked:
    """What came of one row: `answer` in words, `problem` if it is none."""

    name: str
    kind: str
    layout: str
    size: str
    moved: int
    first: float
    second: float
    answer: str
    problem: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="these rows, not all")
    parser.add_argument("--vocabulary", type=Path, help="the published Chinese vocabulary; without it, one is made")
    parser.add_argument("--out", type=Path, help="a file for the table")
    options = parser.parse_args()
    began, asked = time.monotonic(), []
    for row in ask(options.names, options.vocabulary):
        asked.append(row)
        said = row.problem or row.answer
        print(f"{row.name}: {row.first:.1f} s, {row.moved / 1e6:.1f} MB; {said}", file=sys.stderr, flush=True)
        if options.out:
            options.out.write_text(table(asked, time.monotonic() - began), encoding="utf-8")
    print(table(asked, time.monotonic() - began))
    sys.exit(any(row.problem for row in asked))


def table(asked: list[Asked], seconds: float) -> str:
    """Return the table of all rows, in Markdown."""
    lines = [
        "| name | kind | upstream | sizes | MB moved | first call s | second call s | answer |",
        "| - | - | - | - | - | - | - | - |",
    ]
    for row in asked:
        said = f"**{row.problem}**" if row.problem else row.answer
        cells = (row.name, row.kind, row.layout, row.size, f"{row.moved / 1e6:.1f}", f"{row.first:.1f}")
        lines.append("| " + " | ".join((*cells, f"{row.second:.2f}", said.replace("|", "\\|"))) + " |")
    bad = sum(bool(row.problem) for row in asked)
    moved = sum(row.moved for row in asked) / 1e6
    lines += ["", f"{len(asked)} rows, {bad} without an answer, {moved:.0f} MB moved, {seconds / 60:.1f} min."]
    return "\n".join(lines) + "\n"


def ask(names: list[str], genuine: Path | None = None) -> Iterator[Asked]:
    """Yield what came of each row, tokenizers first. Weights leave the cache when all rows of their checkpoint came."""
    models = read_registry(PACKAGED).models
    groups: dict[str, list[str]] = {}
    for name in sorted(models, key=lambda name: KINDS[models[name].kind].has_weights):
        groups.setdefault(origin(name, models), []).append(name)
    with running_server() as server, tempfile.TemporaryDirectory(prefix="every-row-") as work:
        offers = {whole: offer_of(models[whole], _truncations(whole, models)) for whole in groups}
        registry = Path(work, "registry.json")
        registry.write_text(json.dumps(_as_offered(server, models, offers, genuine)), encoding="utf-8")
        for whole, rows in groups.items():
            wanted = [name for name in rows if not names or name in names]
            if not wanted:
                continue
            cache = Path(work, "cache")
            set_by = {"ZOO_CACHE": str(cache), "ZOO_REGISTRY": str(registry), "HF_ENDPOINT": server.url}
            with patch.dict(os.environ, {**set_by, "no_proxy": "127.0.0.1", "ZOO_BUILD": "", "ZOO_OFFLINE": ""}):
                _serve(server, whole, models, offers, Path(work, "checkpoint"), genuine)
                for name in wanted:
                    yield _ask(name, models[name], offers[whole], cache, server)
                _forget(models, wanted, cache)
            server.replies.clear()
            gc.collect()


def _forget(models: Mapping[str, Entry], names: list[str], cache: Path) -> None:
    """Remove checkpoints from a cache, and models with weights."""
    delete(cache / "sources")
    for name in names:
        if KINDS[models[name].kind].has_weights and (place := built_here(name, read_registry())):
            delete(place)


def _truncations(whole: str, models: Mapping[str, Entry]) -> tuple[int, ...]:
    made = (row.derivation for row in models.values())
    return tuple(each.layers for each in made if each and each.parent == whole and each.layers)


def _as_offered(
    server: LocalServer, models: Mapping[str, Entry], offers: Mapping[str, Offer], genuine: Path | None
) -> dict[str, Any]:
    """Return the packaged registry with the addresses of packed checkpoints here, and the sizes of what was cut."""
    rows = json.loads(PACKAGED.read_bytes())
    for name, row in rows["models"].items():
        for source in row.get("sources", []):
            if source["kind"] == "url":
                source["url"] = source["url"].replace("https://", f"{server.url}/")
        sizes = offers[origin(name, models)].checkpoint.sizes
        if row.get("hidden_size"):
            row["hidden_size"] = sizes[1]
        if row.get("layers"):
            row["layers"] = min(row["layers"], sizes[0])
        if genuine is None:
            row.pop("vocabulary_sha256", None)
    return dict(rows)


# -- the server -------------------------------------------------------------------------------------------------------


def _serve(
    server: LocalServer,
    whole: str,
    models: Mapping[str, Entry],
    offers: Mapping[str, Offer],
    folder: Path,
    genuine: Path | None,
) -> None:
    """Script the server with the first source of a checkpoint, and with the vocabulary of its tokenizer."""
    offer, entry = offers[whole], models[whole]
    tokenizer = entry.tokenizer
    if tokenizer:
        _serve_hub(server, offers[tokenizer], tokenizer_files(offers[tokenizer], genuine))
    if not KINDS[entry.kind].has_weights:
        _serve_hub(server, offer, tokenizer_files(offer, genuine))
    elif isinstance(offer.source, UrlSource):
        content = packed_release(offer, folder, genuine)
        path = "/" + offer.source.url.removeprefix("https://")
        server.serve(path, Reply(content, ranges=True, headers={"ETag": f'"{hashlib.md5(content).hexdigest()}"'}))
    else:
        _serve_hub(server, offer, hub_files(offer, entry, folder, genuine))
    shutil.rmtree(folder, ignore_errors=True)


def _serve_hub(server: LocalServer, offer: Offer, files: Mapping[str, bytes]) -> None:
    """Serve a repository as the hub does: pinned to a commit, large files from another address, a listing in JSON."""
    source = offer.source
    assert isinstance(source, HuggingFaceSource)
    commit = COMMIT if source.revision == "main" else source.revision
    listing: list[dict[str, Any]] = []
    for path, content in files.items():
        sha256 = hashlib.sha256(content).hexdigest()
        known: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": sha256[:40]}
        reply, place = Reply(content, ranges=True, headers={"ETag": f'"{sha256}"'}), f"/{source.repository}/resolve"
        if path.endswith(_LARGE):
            known["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 134}
            reply = Reply(status=302, headers={"Location": server.serve(f"/lfs/{sha256}", reply)})
        server.serve(f"{place}/{commit}/{path}", reply)
        listing.append(known)
    server.serve(f"/api/models/{source.repository}/revision/main", json.dumps({"sha": COMMIT}).encode())
    server.serve(f"/api/models/{source.repository}/tree/{commit}", json.dumps(listing).encode())


# -- one row ----------------------------------------------------------------------------------------------------------


def _ask(name: str, entry: Entry, offer: Offer, cache: Path, server: LocalServer) -> Asked:
    begun, before, answer = time.monotonic(), _moved(cache), ""
    asked = len(server.asked)
    first, second, problem, said = 0.0, 0.0, "", ""
    try:
        try:
            answer = _answer(name, entry)
        except NotBuilt as error:
            said = _refusal(name, entry, str(error))
            if code := zoo_command(["fetch", name]):
                raise AssertionError(f"`zoo fetch {name}` exited with {code}") from None
            answer = _answer(name, entry)
        first, begun = time.monotonic() - begun, time.monotonic()
        with no_sockets():
            if _answer(name, entry) != answer:
                raise AssertionError("the second call answered something else")
        second = time.monotonic() - begun
        surplus = [path for path in server.asked[asked:] if path.endswith(NEVER_NEEDED)]
        if surplus:
            raise AssertionError(f"asked for {surplus}, which nobody needs")
    except Exception as error:  # every row is asked
        problem = f"{type(error).__name__}: {error}"
    said = f'"{said}" Then `zoo fetch {name}`: ' if said else ""
    moved, layout, note = _moved(cache) - before, offer.layout, offer.note
    if not KINDS[entry.kind].has_weights:
        layout, note = "hub, vocabulary alone", "true size" if offer.is_known else note
    return Asked(name, entry.kind, layout, note, moved, first, second, said + answer, problem)


def _refusal(name: str, entry: Entry, said: str) -> str:
    """Return what a row says that is not built without being asked for. Raises AssertionError if it says too little."""
    by_hand = all(isinstance(source, NoteSource) for source in entry.sources)
    if not (entry.on_request and entry.licence in said and f"`zoo fetch {name}`" in said) and not by_hand:
        raise AssertionError(f"it says neither its licence nor what to fetch by hand: {said}")
    return said


def _moved(cache: Path) -> int:
    """Return the bytes of all checkpoints that have arrived in a cache."""
    return sum(file.stat().st_size for file in (cache / "sources").rglob("*") if file.is_file())


@contextmanager
def no_sockets() -> Iterator[None]:
    """Make everybody fail who opens a socket in the block."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the second call opened a socket")

    with ExitStack() as patched:
        for name in ("socket", "create_connection", "getaddrinfo"):
            patched.enter_context(patch.object(socket, name, refuse))
        yield


def _answer(name: str, entry: Entry) -> str:
    """Return what a model answers to two texts, or to ids, in words: "vectors (2, 512), 0.0312 first"."""
    import_tensorflow_quietly()
    import tensorflow as tf

    model = zoo.load(name)
    if entry.kind == "encoder":
        pooled = model(tf.constant([[101, 791, 1921, 102, 0], [101, 1921, 102, 0, 0]]))["pooled_output"].numpy()
        return _numbers("pooled_output", pooled)
    if entry.kind == "tokenizer":
        return f"tokens {[token.decode() for token in _flat(model(tf.constant(TEXTS[:1])))]}"
    if entry.kind == "preprocess":
        return f"ids {model(tf.constant(TEXTS[:1]))['input_word_ids'].numpy()[0][:10].tolist()}"
    if entry.task == "span":
        made = model(tf.constant([["天气怎么样？", TEXTS[0]]]))
        return f"answer {made['answer'].numpy()[0].decode()!r}, score {made['score'].numpy()[0]:.4f}"
    if entry.task == "fill_mask":
        made = model(tf.constant(["今天天气很[MASK]。"]))
        return f"tokens {[token.decode() for token in _flat(made['token'])[:3]]}"
    made = model(tf.constant(TEXTS))
    if entry.task == "vector":
        return _numbers("vectors", made.numpy())
    if entry.task == "classification":
        labels = [label.decode() for label in made["label"].numpy()]
        return f"labels {labels}, {_numbers('scores', made['scores'].numpy())}"
    return f"entities {[label.decode() for label in _flat(made['label'])[:3]]}"


def _numbers(what: str, values: np.ndarray) -> str:
    if not np.isfinite(values).all() or not np.ptp(values):
        raise AssertionError(f"{what} {values.shape} are not finite, or all equal")
    return f"{what} {values.shape}, first {values.flat[0]:.6f}"


def _flat(values: Any) -> list[bytes]:
    flat = values.flat_values if hasattr(values, "flat_values") else values
    return list(np.asarray(flat).ravel())


if __name__ == "__main__":
    main()
