"""Operations that reach files, and nodes that loaders of TensorFlow 1 run by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.hostile.cases import graph_case
from tests.hostile.graphs import FLOAT, RESOURCE, STRING, first, function, node, number, text, writing_function

GROUP = "the saver and start-up"


@graph_case(GROUP, "SaveV2 in its main graph uses a file name that its caller did not give")
def saves_to_a_constant(graph: Any, owned: Path) -> None:
    """Saving writes where the archive says, not where the person says."""
    nodes = graph.graph_def.node
    text(nodes, "elsewhere", str(owned), scalar=True)
    first(nodes, "SaveV2").input[0] = "elsewhere"


@graph_case(GROUP, "RestoreV2 in its main graph uses a file name that its caller did not give")
def restores_from_a_constant(graph: Any, owned: Path) -> None:
    """Restoring reads another file than the archive's."""
    nodes = graph.graph_def.node
    text(nodes, "elsewhere", "/etc/passwd", scalar=True)
    first(nodes, "RestoreV2").input[0] = "elsewhere"


@graph_case(GROUP, "SaveV2 in its main graph uses a file name that its caller did not give")
def another_ending(graph: Any, owned: Path) -> None:
    """The ending that is joined to the name leads elsewhere."""
    nodes = graph.graph_def.node
    for each in nodes:
        values = each.attr["value"].tensor.string_val if each.op == "Const" else []
        if values and values[0].endswith(b"part"):
            values[0] = b"/../../owned"


@graph_case(GROUP, "SaveV2 in its main graph uses a file name that its caller did not give")
def another_separator(graph: Any, owned: Path) -> None:
    """What stands between name and ending leads elsewhere."""
    nodes = graph.graph_def.node
    first(nodes, "StringJoin").attr["separator"].s = b"/../../owned"


@graph_case(GROUP, "MergeV2Checkpoints in its main graph uses a file name that its caller did not give")
def lists_of_lists_of_names(graph: Any, owned: Path) -> None:
    """Names in lists in lists, 30 ** 19 of them: the check would follow each."""
    nodes = graph.graph_def.node
    source = first(nodes, "Pack").input[0]
    for depth in range(19):
        node(nodes, f"deep{depth}", "Pack", *[source] * 30, T=STRING).attr["N"].i = 30
        source = f"deep{depth}"
    first(nodes, "MergeV2Checkpoints").input[0] = source


@graph_case(GROUP, "SaveV2 in its main graph is not allowed")
def restoring_saves(graph: Any, owned: Path) -> None:
    """What is run to restore is what saves."""
    graph.saver_def.restore_op_name = graph.saver_def.save_tensor_name.partition(":")[0]


@graph_case(GROUP, "SaveV2 in evil is not allowed")
def saver_is_the_model(graph: Any, owned: Path) -> None:
    """`saver_def` names a call that signatures give out too."""
    writing_function(graph, "evil", owned)
    call = node(graph.graph_def.node, "evil_call", "StatefulPartitionedCall", Tin=[], Tout=[FLOAT])
    call.attr["f"].func.name = "evil"
    graph.saver_def.save_tensor_name = "evil_call:0"
    signature = graph.signature_def["serving_default"]
    next(iter(signature.outputs.values())).name = "evil_call:0"


@graph_case(GROUP, "SaveV2 in its main graph is not allowed")
def start_up_saves(graph: Any, owned: Path) -> None:
    """The node that loaders of TensorFlow 1 run first waits for one that saves."""
    nodes = graph.graph_def.node
    text(nodes, "evil_path", str(owned), scalar=True)
    text(nodes, "evil_names", "x")
    text(nodes, "evil_slices", "")
    number(nodes, "evil_value", 1.0)
    node(nodes, "evil", "SaveV2", "evil_path", "evil_names", "evil_slices", "evil_value", dtypes=[FLOAT])
    node(nodes, "evil_start", "NoOp", "^evil")
    graph.collection_def["saved_model_main_op"].node_list.value[:] = ["evil_start"]


@graph_case(GROUP, "SaveV2 in its main graph is not allowed")
def start_up_inside_of_saving(graph: Any, owned: Path) -> None:
    """The node that they run first is one that saving leads to, and waits for what saves."""
    graph.signature_def.pop("__saved_model_init_op", None)
    nodes, save = graph.graph_def.node, graph.saver_def.save_tensor_name.partition(":")[0]
    node(nodes, "evil_start", "NoOp", f"^{save}")
    node(nodes, "evil_save", "Identity", graph.saver_def.save_tensor_name, "^evil_start", T=STRING)
    graph.saver_def.save_tensor_name = "evil_save:0"
    graph.collection_def["saved_model_main_op"].node_list.value[:] = ["evil_start"]


@graph_case(GROUP, "when it is loaded")
def start_up_is_another_node(graph: Any, owned: Path) -> None:
    """The node that they run first is a call."""
    call = next(each.name for each in graph.graph_def.node if each.op == "StatefulPartitionedCall")
    graph.collection_def["saved_model_main_op"].node_list.value[:] = [call]


@graph_case(GROUP, "it holds the collection 'legacy_init_op'")
def old_start_up(graph: Any, owned: Path) -> None:
    """An older collection names a node to run first."""
    graph.collection_def["legacy_init_op"].node_list.value.append("NoOp")


@graph_case(GROUP, "it holds the collection 'saved_model_assets'")
def assets_of_old(graph: Any, owned: Path) -> None:
    """A collection names files to read."""
    graph.collection_def["saved_model_assets"].any_list.value.add()


@graph_case(GROUP, "it holds the signature 'read'")
def further_signature(graph: Any, owned: Path) -> None:
    """A server would read whatever file it is told to."""
    graph.signature_def["read"].outputs["file"].name = f"{graph.saver_def.restore_op_name}:0"


@graph_case(GROUP, "V2 in its main graph is not allowed")
def known_signature_restores(graph: Any, owned: Path) -> None:
    """A signature of a known name gives out what restoring gives."""
    signature = graph.signature_def["serving_default"]
    next(iter(signature.outputs.values())).name = f"{graph.saver_def.restore_op_name}:0"


@graph_case(GROUP, "AssignVariableOp in __inference_encode_0 is not allowed")
def call_changes_weights(graph: Any, owned: Path) -> None:
    """A call of the model changes its variables."""
    body = function(graph, "__inference_encode_0")
    number(body.node_def, "zero", 0.0)
    handle = next(each.name for each in body.signature.input_arg if each.type == RESOURCE)
    node(body.node_def, "evil", "AssignVariableOp", handle, "zero:output:0", dtype=FLOAT)


@graph_case(GROUP, "VarHandleOp in __inference_encode_0 is not allowed")
def variable_of_another_model(graph: Any, owned: Path) -> None:
    """A function reaches a variable by its name."""
    body = function(graph, "__inference_encode_0")
    node(body.node_def, "evil", "VarHandleOp", dtype=FLOAT, shared_name=b"other/weights")
