"""Tampered .keras files, as a table: what each tries, how it is made of a good one, and what is said of it.

    for hostile in KERAS_FILES:
        hostile.tamper(shutil.copyfile(good, place))

The good one is any .keras file with one zoo.KerasLayer in it.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.archive.pack import pack
from zoo.archive.unpack import unpack

Tamper = Callable[[Path], None]
URL = "https://models.example/toy.tar.gz"
CARD = "assets.extra/card.json"


@dataclass(frozen=True)
class KerasFile:
    """One tampered file. `says` is a pattern of the error; it is Keras' ValueError, with ours in it, if `by_keras`."""

    name: str
    tries: str
    tamper: Tamper
    says: str
    by_keras: bool = False


# -- how they are made --------------------------------------------------------------------------------------------


def with_members(file: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Write a .keras file again with other members."""
    with zipfile.ZipFile(file) as before:
        members = {name: before.read(name) for name in before.namelist()}
    change(members)
    with zipfile.ZipFile(file, "w") as after:
        for name, content in members.items():
            after.writestr(name, content)


def with_layer(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the config of the zoo.KerasLayer in a .keras file."""

    def changed(members: dict[str, bytes]) -> None:
        config = json.loads(members["config.json"])
        (layer,) = (each for each in config["config"]["layers"] if each["class_name"] == "KerasLayer")
        change(layer["config"])
        members["config.json"] = json.dumps(config).encode()

    with_members(file, changed)


def layer(without: str = "", **keys: Any) -> Tamper:
    """Add keys to the layer's config, and leave one out."""
    return lambda file: with_layer(file, lambda config: _changed(config, without, keys))


def record(without: str = "", **keys: Any) -> Tamper:
    """Add keys to the record of handle, name, digest and graph, and leave one out."""
    return lambda file: with_layer(file, lambda config: _changed(config["handle"]["config"], without, keys))


def _changed(config: dict[str, Any], without: str, keys: dict[str, Any]) -> None:
    config.pop(without, None)
    config.update(keys)


def graph(change: Callable[[Path], None]) -> Tamper:
    """Change the unpacked graph, a directory of saved_model.pb and the card, and pack it again."""

    def tamper(file: Path) -> None:
        def changed(config: dict[str, Any]) -> None:
            with tempfile.TemporaryDirectory() as work:
                packed, kept = Path(work, "graph.tar.gz"), Path(work, "kept")
                packed.write_bytes(base64.b64decode(config["handle"]["config"]["graph"]))
                unpack(packed, kept)
                change(kept)
                pack(kept, packed)
                config["handle"]["config"]["graph"] = base64.b64encode(packed.read_bytes()).decode()

        with_layer(file, changed)

    return tamper


def tar(*members: tuple[tarfile.TarInfo, bytes | int]) -> Tamper:
    """Put a tar.gz of these members in place of the graph; a number is so many zeros."""

    def tamper(file: Path) -> None:
        packed = io.BytesIO()
        with gzip.open(packed, "wb", 1) as zipped, tarfile.open(fileobj=zipped, mode="w|") as made:  # type: ignore[call-overload]
            for info, content in members:
                info.size = content if isinstance(content, int) else len(content)
                made.addfile(info, _Zeros() if isinstance(content, int) else io.BytesIO(content))
        record(graph=base64.b64encode(packed.getvalue()).decode())(file)

    return tamper


class _Zeros:
    def read(self, size: int) -> bytes:
        return bytes(size)


def member(name: str, type_: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """Return the head of a tar's member."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type_, link
    return info


def card(**keys: Any) -> Tamper:
    """Change the card beside the graph."""

    def change(kept: Path) -> None:
        (kept / CARD).write_text(json.dumps({**json.loads((kept / CARD).read_text()), **keys}))

    return graph(change)


def reads_a_file(kept: Path) -> None:
    """Put a graph that reads a file in place of the good one, listed on the card."""
    import tensorflow as tf

    root = tf.train.Checkpoint()
    root.__call__ = tf.function(tf.io.read_file, input_signature=[tf.TensorSpec([], tf.string, "filename")])
    with tempfile.TemporaryDirectory() as work:
        tf.saved_model.save(root, work)
        shutil.copyfile(Path(work, "saved_model.pb"), kept / "saved_model.pb")


def cut(name: str) -> Callable[[Path], None]:
    """Cut a file of the graph in half."""
    return lambda kept: (kept / name).write_bytes((content := (kept / name).read_bytes())[: len(content) // 2]) and None


def other_graph(kept: Path) -> None:
    """Change a byte of a text in saved_model.pb, which any check of operations lets pass."""
    content = (kept / "saved_model.pb").read_bytes()
    assert b"input_word_ids" in content
    (kept / "saved_model.pb").write_bytes(content.replace(b"input_word_ids", b"input_word_idz", 1))


def weights(change: Callable[[Any], None]) -> Tamper:
    """Change the variables of the layer in model.weights.h5."""

    def tamper(file: Path) -> None:
        import h5py

        def changed(members: dict[str, bytes]) -> None:
            content = io.BytesIO(members["model.weights.h5"])
            with h5py.File(content, "r+") as store:
                change(store["layers/keras_layer/vars"])
            members["model.weights.h5"] = content.getvalue()

        with_members(file, changed)

    return tamper


def stored(name: str, value: Any) -> Callable[[Any], None]:
    """Store another value as a variable; None removes it."""

    def change(variables: Any) -> None:
        if name in variables:
            del variables[name]
        if value is not None:
            variables[name] = value

    return change


def _handle(value: Any) -> Tamper:
    return layer(handle=value)


_LAMBDA = {"module": "keras.layers", "class_name": "Lambda", "config": {}, "registered_name": None}
_BIAS = "bert.pooler.dense.bias"
_NOT_OURS = "zoo.KerasLayer did not write this Keras config"

KERAS_FILES = [
    # the config of the layer
    KerasFile("a URL", "be downloaded from a server of its choice", _handle(URL), f"handle.* is '{URL}'"),
    KerasFile("a name", "load another model that is installed here", _handle("toy"), "\"handle\" is 'toy'"),
    KerasFile("a path", "load another model of this disk", _handle("/srv/models/toy"), "handle.* is '/srv/models/toy'"),
    KerasFile("a number", "end in a TypeError", _handle(7), '"handle" is a int'),
    KerasFile("another class", "make a Lambda of Keras", _handle(_LAMBDA), "handle.* an object of 'None'"),
    KerasFile("no handle", "end in a KeyError", layer(without="handle"), f"{_NOT_OURS}.*'handle' is missing"),
    KerasFile("registry", "name its own registry", layer(registry=URL), "'registry' is an unknown key"),
    KerasFile("unverified", "do without digests", layer(allow_unverified=True), "'allow_unverified' is an unknown key"),
    KerasFile("sha256", "pin other bytes", layer(sha256="0" * 64), "'sha256' is an unknown key"),
    KerasFile("several keys", "hide one among others", layer(registry=URL, x=1), "'registry' is .*'x' is an unknown"),
    KerasFile("arguments", "call with something odd", layer(arguments=["training"]), "'arguments': "),
    KerasFile("trainable", "set what no layer sets", layer(trainable=[1]), "'trainable': "),
    KerasFile("endpoint", "call the class of the loaded object", layer(endpoint="__class__"), "no endpoint '__class"),
    # the record of the model
    KerasFile("record of nothing", "end in a KeyError", _handle({"registered_name": "zoo>Origin"}), _NOT_OURS),
    KerasFile("record with a key", "do without digests", record(allow_unverified=True), "'allow_unverified' is an"),
    KerasFile("no graph", "end in a KeyError", record(without="graph"), "'graph' is missing"),
    KerasFile("no digest", "end in a KeyError", record(without="digest"), "'digest' is missing"),
    KerasFile("a digest upwards", "leave the cache", record(digest="../../x"), "'digest': "),
    KerasFile("a digest that is a number", "end in a TypeError", record(digest=12), "'digest': "),
    KerasFile("a name with an escape", "write to the terminal", record(name="toy\x1b[2J"), "'name': "),
    KerasFile("another name", "be taken for another model", record(name="bert_base"), "bert_base, the graph .* is toy"),
    KerasFile("a null in the handle", "end in a ValueError", record(handle="a\0b"), "'handle': "),
    KerasFile("no base64", "end in a binascii.Error", record(graph="e\u0301?"), "'graph': is not base64"),
    KerasFile("a list as graph", "end in a TypeError", record(graph=["H4sI"]), "'graph': should be a text"),
    # the graph
    KerasFile("no gzip", "end in an error of zlib", record(graph="bm8gZ3ppcA=="), "the config's graph"),
    KerasFile("an empty graph", "end in an EOFError", record(graph=""), "the config's graph"),
    KerasFile("a bomb", "fill the disk", tar((member("saved_model.pb"), 400 << 20)), "more than 268435456 bytes"),
    KerasFile("upwards", "write beside the directory", tar((member("../x"), b"x")), "outside of the directory"),
    KerasFile("absolute", "write anywhere", tar((member("/x"), b"x")), "outside of the directory"),
    KerasFile("a link", "read a file", tar((member("saved_model.pb", tarfile.SYMTYPE, "/etc/passwd"), b"")), "link"),
    KerasFile("no card", "go without a card", tar((member("saved_model.pb"), b"x")), "has no assets.extra/card.json"),
    KerasFile("reading", "read a file when it is called", graph(reads_a_file), "ReadFile in .* is not allowed"),
    KerasFile("half a graph", "crash the parser", graph(cut("saved_model.pb")), "saved_model.pb cannot be read"),
    KerasFile("half a card", "crash the parser", graph(cut(CARD)), "does not follow the card format"),
    KerasFile("an import", "import a module", card(needs=["os"]), "asks for os; only tensorflow_text"),
    KerasFile("operations", "hide an operation", card(ops=["MatMul"]), "its card does not list"),
    KerasFile("a text", "compute something else", graph(other_graph), "saved_model.pb is sha256 .*, but the card says"),
    KerasFile(
        "a file more",
        "have Keras' metadata read",
        graph(lambda kept: (kept / "keras_metadata.pb").write_bytes(b"x") and None),
        "keras_metadata.pb is not part of a model",
    ),
    # the weights
    KerasFile("a weight less", "leave a variable random", weights(stored(_BIAS, None)), f"{_BIAS} is missing", True),
    KerasFile("a weight more", "be read half", weights(stored("x", [1.0])), "x does not belong to toy", True),
    KerasFile("a shape", "be broadcast", weights(stored(_BIAS, [1.0])), r"is \(1,\), should be \(32,\)", True),
    KerasFile("a dtype", "be cast", weights(stored(_BIAS, [1] * 32)), f"{_BIAS} is int64, should be float32", True),
    KerasFile("texts", "crash the cast", weights(stored(_BIAS, ["x"] * 32)), f"{_BIAS} is object, should be", True),
]
