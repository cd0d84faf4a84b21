"""What a SavedModel may do when it is loaded or called: compute. Everything else is refused before, by its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import zoo
from export.saved_model.inlining import inline_called_once
from tests.zoo.small import make_tokenizer_card
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.card import read_card, write_card
from zoo.archive.digests import file_digests
from zoo.archive.pack import pack
from zoo.errors import BadArchive
from zoo.loading.verify import verify
from zoo.safety import ALLOWED_OPS, SAVER_OPS, check_ops, used_ops

TEXTS = tf.TensorSpec([None], tf.string)


def finish(directory: Path, **changes: Any) -> Path:
    """Give a SavedModel a card that is right in all it says, `changes` excepted."""
    (directory / "fingerprint.pb").unlink(missing_ok=True)
    (directory / "assets.extra" / "card.json").unlink(missing_ok=True)
    write_card(make_tokenizer_card(directory, **{"ops": used_ops(directory), **changes}), directory)
    return directory


def saved(directory: Path, call: Callable[[tf.Tensor], Any], **attributes: Any) -> Path:
    """Save a function of texts as the root of a SavedModel."""
    root = tf.Module()
    root.__call__ = tf.function(call, input_signature=[TEXTS], autograph=False)
    for name, value in attributes.items():
        setattr(root, name, value)
    tf.saved_model.save(root, str(directory))
    return finish(directory)


def edited(directory: Path, change: Callable[[Any], object]) -> Path:
    """Change a SavedModel's message by hand."""
    path = directory / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(model)
    path.write_bytes(model.SerializeToString())
    return finish(directory)


def lengths(text: tf.Tensor) -> tf.Tensor:
    return tf.strings.length(text)


@pytest.fixture(scope="session")
def harmless_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("harmless") / "model"
    return saved(place, lengths, weight=tf.Variable(1.0))


@pytest.fixture
def harmless(harmless_directory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(harmless_directory, tmp_path / "harmless"))


@pytest.fixture
def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it was loaded")

    monkeypatch.setattr("tensorflow.saved_model.load", refuse)


def refusal(directory: Path) -> str:
    """Return the one message of every way in."""
    messages = []
    for way in (zoo.load, zoo.load_model, verify):
        with pytest.raises(BadArchive) as caught:
            way(directory)
        messages.append(str(caught.value))
    assert len(set(messages)) == 1 and "is not loaded" in messages[0]
    return messages[0]


# -- what is allowed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["toy", "toy_tokenizer", "toy_tokenizer_preprocess"])
def test_our_own_archives_only_compute(name: str, toy_zoo: ToyZoo) -> None:
    directory = toy_zoo.unpacked(name)
    card = read_card(directory)
    assert check_ops(directory, card) == used_ops(directory) == card.ops
    assert len(card.ops) > 60 and set(card.ops) > SAVER_OPS


def test_a_harmless_one_passes(harmless: Path) -> None:
    ops = check_ops(harmless, read_card(harmless))
    assert {"StringLength", "SaveV2", "RestoreV2", "StatefulPartitionedCall"} < set(ops)
    np.testing.assert_array_equal(zoo.load(harmless)(tf.constant(["abc"])), [3])


def test_the_list_holds_real_operations_and_none_of_the_known_dangers() -> None:
    import tensorflow_text  # noqa: F401
    from tensorflow.python.framework import op_def_registry

    assert not [op for op in ALLOWED_OPS if op_def_registry.get(op) is None]
    words = ("Py", "File", "Dataset", "Queue", "Reader", "Summary", "Print", "Debug", "Rpc", "Remote", "Send", "Recv")
    words += ("Custom", "Xla", "Library", "Checkpoint", "Save", "Restore", "Write", "Host", "Directory", "Serialize")
    assert not [op for op in ALLOWED_OPS - SAVER_OPS for word in words if word in op]


# -- what is refused ----------------------------------------------------------------------------------------------


def write_file(text: tf.Tensor) -> tf.Tensor:
    tf.io.write_file("owned.txt", text[0])
    return text


def save_elsewhere(text: tf.Tensor) -> tf.Tensor:
    tf.raw_ops.SaveV2(prefix="owned.txt", tensor_names=["x"], shape_and_slices=[""], tensors=[text])
    return text


def restore_elsewhere(text: tf.Tensor) -> Any:
    return tf.raw_ops.RestoreV2(prefix="owned", tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.int32])


def print_to_a_file(text: tf.Tensor) -> tf.Tensor:
    tf.raw_ops.PrintV2(input=text[0], output_stream="file://owned.txt")
    return text


def run_python(text: tf.Tensor) -> Any:
    return tf.py_function(lambda value: value, [text], tf.string)


def run_numpy(text: tf.Tensor) -> Any:
    return tf.numpy_function(lambda value: value, [text], tf.string)


def inside_a_branch(text: tf.Tensor) -> Any:
    return tf.cond(tf.size(text) > 99, lambda: tf.io.read_file(text[0]), lambda: text[0])


def lines_of_a_file(text: tf.Tensor) -> Any:
    return tf.data.TextLineDataset(text).reduce(np.int64(0), lambda count, _: count + 1)


def debug(text: tf.Tensor) -> Any:
    return tf.raw_ops.DebugIdentityV2(input=text, debug_urls=["grpc://host:1"])


@pytest.mark.parametrize(
    ("call", "op"),
    [
        (write_file, "WriteFile"),
        (save_elsewhere, "SaveV2"),
        (run_python, "EagerPyFunc"),
        (run_numpy, "PyFunc"),
        (lambda text: tf.io.read_file(text[0]), "ReadFile"),
        (inside_a_branch, "ReadFile"),
        (lambda text: tf.io.matching_files(text), "MatchingFiles"),
        (restore_elsewhere, "RestoreV2"),
        (lines_of_a_file, "TextLineDataset"),
        (debug, "DebugIdentityV2"),
        (print_to_a_file, "PrintV2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_operations_that_reach_outside_are_refused_by_name(
    call: Any, op: str, tmp_path: Path, nothing_is_loaded: None
) -> None:
    message = refusal(saved(tmp_path / "model", call))
    assert f"{op} in " in message and "is not allowed" in message


class _Opening(tf.saved_model.experimental.TrackableResource):
    """Writes a file as soon as it is loaded, before anything is called."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = str(path)
        self._resource_handle = self._create_resource()

    def _create_resource(self) -> tf.Tensor:
        return tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.string)

    def _initialize(self) -> None:
        tf.io.write_file(self._path, "owned")


def test_a_file_that_loading_alone_would_write_is_not_written(tmp_path: Path) -> None:
    written = tmp_path / "owned.txt"
    directory = saved(tmp_path / "model", lambda text: text, opening=_Opening(written))
    written.unlink(missing_ok=True)
    tf.saved_model.load(str(directory))
    assert written.read_text() == "owned", "otherwise this test proves nothing"
    written.unlink()
    assert "WriteFile in __inference_" in refusal(directory)
    pack(directory, tmp_path / "model.tar.gz")
    with pytest.raises(BadArchive, match="WriteFile"):
        zoo.load(tmp_path / "model.tar.gz")
    assert not written.exists()


def test_tables_of_asset_files_are_refused(tmp_path: Path, nothing_is_loaded: None) -> None:
    (tmp_path / "words.txt").write_text("a\nb\n")
    lines = tf.lookup.TextFileInitializer(
        str(tmp_path / "words.txt"), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, -1
    )
    table = tf.lookup.StaticHashTable(lines, -1)
    message = refusal(saved(tmp_path / "model", table.lookup, table=table))
    assert "it reads asset files" in message and "InitializeTableFromTextFileV2 in " in message
    assert "assets/words.txt is not part of a model of this zoo" in message


def test_operations_of_a_foreign_library_are_refused(harmless: Path, nothing_is_loaded: None) -> None:
    def rename(model: Any) -> None:
        for function in model.meta_graphs[0].graph_def.library.function:
            for node in function.node_def:
                node.op = "EvilCustomOp" if node.op == "StringLength" else node.op

    assert "EvilCustomOp in __inference_" in refusal(edited(harmless, rename))


def _saver(graph: Any, kind: str) -> str:
    return next(f.signature.name for f in graph.graph_def.library.function if kind in f.signature.name)


def _as_attribute(model: Any) -> None:
    """`.anything()` of the loaded object would save."""
    graph = model.meta_graphs[0]
    graph.object_graph_def.concrete_functions[_saver(graph, "traced_save")].SetInParent()


def _by_name(model: Any) -> None:
    """A text of a callable function names the saver's."""
    graph = model.meta_graphs[0]
    restore = _saver(graph, "traced_restore")
    for function in graph.graph_def.library.function:
        if function.signature.name != restore:
            function.attr["backward_function_name"].s = restore.encode()


def _through_a_call(model: Any) -> None:
    """A function is handed the saver's as an argument."""
    graph = model.meta_graphs[0]
    save = _saver(graph, "traced_save")
    for function in graph.graph_def.library.function:
        for node in function.node_def:
            if node.op == "StringLength":
                node.attr["f"].func.name = function.signature.name
                node.attr["f"].func.attr["g"].func.name = save


def _as_signature(model: Any) -> None:
    """A server would save for whoever asks."""
    graph = model.meta_graphs[0]
    graph.signature_def["save"].outputs["path"].name = graph.saver_def.save_tensor_name


def _as_input(model: Any) -> None:
    """Another node of the main graph leads to the saver's."""
    graph = model.meta_graphs[0]
    graph.graph_def.node.add(name="more", op="Identity", input=[graph.saver_def.save_tensor_name])


def _as_gradient(model: Any) -> None:
    """Training would save."""
    graph = model.meta_graphs[0]
    graph.graph_def.library.gradient.add(function_name="any", gradient_func=_saver(graph, "traced_save"))


@pytest.mark.parametrize("change", [_as_attribute, _by_name, _through_a_call, _as_signature, _as_input, _as_gradient])
def test_the_saver_s_functions_are_for_saving_only(change: Any, harmless: Path, nothing_is_loaded: None) -> None:
    assert "V2 in __inference__traced_" in refusal(edited(harmless, change))


def _from_within(model: Any) -> None:
    """A server would read whatever file it is told to."""
    graph = model.meta_graphs[0]
    restoring = next(node.name for node in graph.graph_def.node if node.op == "RestoreV2")
    graph.signature_def["read"].outputs["file"].name = f"{restoring}:0"


@pytest.mark.parametrize("change", [_as_signature, _as_input, _from_within])
def test_the_saver_s_nodes_are_for_saving_only(change: Any, harmless: Path, nothing_is_loaded: None) -> None:
    """What saves and restores stands in the main graph, as in every archive of ours."""

    def inline(model: Any) -> None:
        inline_called_once(model.meta_graphs[0])
        assert {"RestoreV2", "SaveV2"} <= {node.op for node in model.meta_graphs[0].graph_def.node}

    check_ops(edited(harmless, inline), read_card(harmless))
    assert "V2 in its main graph is not allowed" in refusal(edited(harmless, change))


def test_functions_that_are_not_there_are_told(harmless: Path, nothing_is_loaded: None) -> None:
    def change(model: Any) -> None:
        model.meta_graphs[0].graph_def.node.add(name="more", op="PartitionedCall").attr["f"].func.name = "SymbolicEvil"

    assert "its main graph calls SymbolicEvil, which is not there" in refusal(edited(harmless, change))


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.meta_graphs[0].ClearField("object_graph_def"),
        lambda model: model.meta_graphs.add().CopyFrom(model.meta_graphs[0]),
        lambda model: model.ClearField("meta_graphs"),
    ],
    ids=["no objects", "two graphs", "none"],
)
def test_the_old_form_is_refused(change: Any, harmless: Path, nothing_is_loaded: None) -> None:
    assert "it was not saved by TensorFlow 2" in refusal(edited(harmless, change))


@pytest.mark.parametrize("name", ["saved_model.pbtxt", "keras_metadata.pb", "tfhub_module.pb", "assets.extra/a/b.py"])
def test_files_that_another_loader_would_act_on_are_refused(name: str, harmless: Path, nothing_is_loaded: None) -> None:
    (harmless / name).parent.mkdir(parents=True, exist_ok=True)
    (harmless / name).write_text("x")
    assert f"{name} is not part of a model of this zoo" in refusal(finish(harmless))


def test_the_card_has_to_list_what_is_found(harmless: Path, nothing_is_loaded: None) -> None:
    ops = [op for op in used_ops(harmless) if op not in ("StringLength", "SaveV2")] + ["Erf"]
    message = refusal(finish(harmless, ops=ops))
    assert "its card does not list SaveV2, StringLength" in message
    assert "its card lists Erf, which the archive does not hold" in message


def test_everything_wrong_is_told_at_once(harmless: Path, nothing_is_loaded: None) -> None:
    def change(model: Any) -> None:
        graph = model.meta_graphs[0].graph_def
        graph.node.add(name="a", op="ReadFile")
        graph.node.add(name="b", op="WriteFile")

    (harmless / "keras_metadata.pb").touch()
    message = refusal(edited(harmless, change))
    for words in ("keras_metadata.pb is not part", "ReadFile in its main graph", "WriteFile in its main graph"):
        assert words in message


def test_no_message_at_all(harmless: Path, nothing_is_loaded: None) -> None:
    (harmless / "saved_model.pb").write_bytes(b"\xff\xff")
    write_card(read_card(harmless).model_copy(update={"files": _digests(harmless)}), harmless)
    with pytest.raises(BadArchive, match=r"saved_model\.pb cannot be read: "):
        zoo.load(harmless)


def _digests(directory: Path) -> Any:
    digests = file_digests(directory)
    del digests["assets.extra/card.json"]
    return digests
