"""Whatever else the format could hold, and files beside the model, that some loader would act on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.hostile.cases import file_case, graph_case
from tests.hostile.graphs import edit, node

FORM, FILES = "further parts of the format", "further files"


@graph_case(FORM, "WriteFile in its main graph is not allowed")
def operation_that_writes(graph: Any, owned: Path) -> None:
    """A node writes a file."""
    node(graph.graph_def.node, "evil", "WriteFile")


@graph_case(FORM, "PyFunc in its main graph is not allowed")
def operation_that_runs_python(graph: Any, owned: Path) -> None:
    """A node runs a function of Python."""
    node(graph.graph_def.node, "evil", "PyFunc")


@graph_case(FORM, "While in its main graph is not allowed")
def loop(graph: Any, owned: Path) -> None:
    """A node never comes to an end."""
    node(graph.graph_def.node, "evil", "While")


@file_case(FORM, "it was not saved by TensorFlow 2")
def second_meta_graph(directory: Path) -> None:
    """A second MetaGraph makes loaders take the old way, which runs the main graph."""
    edit(directory, lambda model: model.meta_graphs.add().meta_info_def.tags.append("train"))


@file_case(FORM, "it was not saved by TensorFlow 2")
def without_objects(directory: Path) -> None:
    """Without objects they take it too."""
    edit(directory, lambda model: model.meta_graphs[0].ClearField("object_graph_def"))


@graph_case(FORM, "it has the tags 'serve', 'tpu', not 'serve'")
def further_tag(graph: Any, owned: Path) -> None:
    """A tag asks for another runtime."""
    graph.meta_info_def.tags.append("tpu")


@graph_case(FORM, "it reads asset files")
def asset_outside(graph: Any, owned: Path) -> None:
    """An asset is a file outside of the directory."""
    asset = graph.asset_file_def.add(filename="../../../../etc/passwd")
    asset.tensor_info.name = "path:0"


@graph_case(FORM, "it describes the operation 'Evil'")
def description_of_an_operation(graph: Any, owned: Path) -> None:
    """The list of operations describes one that is not there."""
    graph.meta_info_def.stripped_op_list.op.add(name="Evil")


@graph_case(FORM, "MetaInfoDef.any_info, which the exporter never writes")
def any_message(graph: Any, owned: Path) -> None:
    """A field may hold a message of any type."""
    graph.meta_info_def.any_info.type_url = "type.googleapis.com/evil"


@graph_case(FORM, "is placed on '/job:worker/task:1'")
def device_elsewhere(graph: Any, owned: Path) -> None:
    """A node runs on another machine."""
    graph.graph_def.node[0].device = "/job:worker/task:1"


@graph_case(FORM, "has the attribute '_xla_compile_id', which the exporter never writes")
def compiled_elsewhere(graph: Any, owned: Path) -> None:
    """An attribute has a part of the graph compiled."""
    graph.graph_def.node[0].attr["_xla_compile_id"].s = b"1"


@graph_case(FORM, "has the attribute 'container', which the exporter never writes")
def container_of_another_model(graph: Any, owned: Path) -> None:
    """A table lies in a container that another model uses."""
    body = next(each for each in graph.graph_def.library.function if any(x.op == "HashTableV2" for x in each.node_def))
    next(each for each in body.node_def if each.op == "HashTableV2").attr["container"].s = b"another"


@graph_case(FORM, "has the attribute 'executor_type', which the exporter never writes")
def another_executor(graph: Any, owned: Path) -> None:
    """A call runs in another executor."""
    next(each for each in graph.graph_def.node if each.op == "StatefulPartitionedCall").attr[
        "executor_type"
    ].s = b"evil"


@graph_case(FORM, "ConfigProto.graph_options, which the exporter never writes")
def another_optimizer(graph: Any, owned: Path) -> None:
    """A call's config names an optimizer of Grappler."""
    from tensorflow.core.protobuf import config_pb2

    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.custom_optimizers.add().name = "evil"
    call = next(each for each in graph.graph_def.node if each.op == "StatefulPartitionedCall")
    call.attr["config_proto"].s = config.SerializeToString()


@graph_case(FORM, "has the attribute 'T', which the exporter never writes")
def attribute_of_another_kind(graph: Any, owned: Path) -> None:
    """A type is given as a text."""
    node(graph.graph_def.node, "odd", "Identity", "NoOp", T=b"float")


@graph_case(FORM, "node NoOp of its main graph is there twice")
def two_nodes_of_one_name(graph: Any, owned: Path) -> None:
    """Two nodes have one name: the check may look at one, and TensorFlow take the other."""
    node(graph.graph_def.node, "NoOp", "Identity")


@graph_case(FORM, "fields of a later TensorFlow, which the exporter never writes")
def unknown_field(graph: Any, owned: Path) -> None:
    """A field that this version's messages do not have."""
    graph.MergeFromString(b"\xfa\x3f\x04evil")


@file_case(FORM, "cannot be read")
def no_message(directory: Path) -> None:
    """saved_model.pb is no message."""
    (directory / "saved_model.pb").write_bytes(b"\xff" * 99)


@file_case(FORM, "cannot be read")
def messages_in_messages(directory: Path) -> None:
    """Messages in messages, as deep as a parser's stack."""
    content = b""
    for _ in range(200):  # SavedModel > MetaGraphDef > objects > concrete functions > structure > list > …
        content = b"\x9a\x03" + _length(b"\x0a" + _length(content))
    for tag in (b"\x22", b"\x12", b"\x12", b"\x3a", b"\x12"):
        content = tag + _length(content)
    (directory / "saved_model.pb").write_bytes(content)


def _length(content: bytes) -> bytes:
    size, prefix = len(content), bytearray()
    while size > 127:
        prefix.append(size & 127 | 128)
        size >>= 7
    return bytes(prefix) + bytes([size]) + content


# -- files ------------------------------------------------------------------------------------------------------------


def _file(name: str, tries: str) -> None:
    def make(directory: Path) -> None:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")

    make.__name__, make.__doc__ = f"file {name}", tries
    file_case(FILES, f"{name} is not part of a model of this zoo")(make)


_file("saved_model.pbtxt", "The same model as text, which some loaders prefer.")
_file("saved_model.cpb", "The same model in pieces, which TensorFlow's own loader prefers.")
_file("Saved_Model.pb", "On Windows and macOS this is another name of saved_model.pb.")
_file("keras_metadata.pb", "Keras makes layers of it, Lambda too, which hold Python code.")
_file("tfhub_module.pb", "tensorflow_hub takes the directory for a module of TensorFlow 1.")
_file("fingerprint.pb", "TensorFlow reads it while it loads.")
_file("variables/variables.data-00001-of-00002", "A second shard of weights that the index may point to.")
_file("variables/checkpoint", "TensorFlow 1 takes paths of checkpoints from it.")
_file("assets/vocab.txt", "A table would be filled from it.")
_file("assets.extra/tf_serving_warmup_requests", "TensorFlow Serving runs its requests when it starts.")
_file("assets.extra/inside/card.json", "A second card.")
_file("debug/saved_model_debug_info.pb", "TensorFlow reads it while it loads.")


@file_case(FILES, "saved_model.pb, a link, is not part of a model of this zoo")
def link_for_the_model(directory: Path) -> None:
    """saved_model.pb is a link to a file outside, which may change after the check."""
    (directory / "saved_model.pb").rename(directory.parent / "elsewhere.pb")
    (directory / "saved_model.pb").symlink_to(directory.parent / "elsewhere.pb")


@file_case(FILES, "assets, a link, is not part of a model of this zoo")
def link_for_a_folder(directory: Path) -> None:
    """A folder is a link to another one."""
    (directory / "assets").rmdir()
    (directory / "assets").symlink_to("/etc")


@file_case(FILES, "assets/pipe is not part of a model of this zoo")
def pipe(directory: Path) -> None:
    """A pipe, which whoever reads it waits for."""
    os.mkfifo(directory / "assets" / "pipe")
