"""Constants and bytes: what tensorflow-text follows without looking, and what TensorFlow would fill its memory with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.hostile.cases import graph_case
from tests.hostile.graphs import FLOAT, INT32, RESOURCE, UINT8, first, function_with, node, number, text

BYTES, VALUES, SIZES = "the WordPiece model", "constants", "time and memory"
WORDPIECE = "FastWordpieceTokenizeWithOffsets"


def _model(graph: Any) -> Any:
    """Return the constant of the model, which functions capture."""
    return next(each for each in graph.graph_def.node if each.op == "Const" and each.attr["dtype"].type == UINT8)


def _damage(constant: Any) -> None:
    tensor = constant.attr["value"].tensor
    content = bytearray(tensor.tensor_content)
    content[len(content) // 2] ^= 0x40
    tensor.tensor_content = bytes(content)


def _vocabulary(graph: Any) -> Any:
    """Return the texts of the vocabulary."""
    texts = (each.attr["value"].tensor.string_val for each in graph.graph_def.node if each.op == "Const")
    return next(each for each in texts if len(each) == 99)


@graph_case(BYTES, "its WordPiece model is not the one of its vocabulary", "toy_tokenizer")
def offsets_beside_the_model(graph: Any, owned: Path) -> None:
    """An offset in the model leads beside it, into the memory of the process."""
    _damage(_model(graph))


@graph_case(BYTES, "its WordPiece model is not the one of its vocabulary", "toy_tokenizer")
def no_model_at_all(graph: Any, owned: Path) -> None:
    """The model is one byte long."""
    tensor = _model(graph).attr["value"].tensor
    tensor.tensor_content, tensor.tensor_shape.dim[0].size = b"\0", 1


@graph_case(BYTES, "Cast in __inference_", "toy_tokenizer")
def model_that_is_computed(graph: Any, owned: Path) -> None:
    """The model is made of numbers while the model is called."""
    nodes = function_with(graph, WORDPIECE).node_def
    wordpiece = first(nodes, WORDPIECE)
    number(nodes, "numbers", 7, INT32)
    node(nodes, "bytes", "Cast", "numbers:output:0", SrcT=INT32, DstT=UINT8)
    wordpiece.input[1] = "bytes:y:0"


@graph_case(BYTES, "IdentityN in __inference_", "toy_tokenizer")
def model_through_a_list(graph: Any, owned: Path) -> None:
    """The model comes out of an operation whose types stand in a list."""
    nodes = function_with(graph, WORDPIECE).node_def
    node(nodes, "bytes", "IdentityN", first(nodes, WORDPIECE).input[1], T=[UINT8])


@graph_case(BYTES, "but not the vocabulary", "toy_tokenizer")
def model_of_another_vocabulary(graph: Any, owned: Path) -> None:
    """The archive's vocabulary is not the one that its card names."""
    _vocabulary(graph)[7] = b"evil"


@graph_case(BYTES, "the constant Const_1 in its main graph is of two types", "toy_tokenizer")
def model_under_another_type(graph: Any, owned: Path) -> None:
    """The constant of a damaged model has the type of numbers, its values that of bytes: Python believes those."""
    constant = _model(graph)
    _damage(constant)
    constant.attr["dtype"].type = INT32


@graph_case(VALUES, "of which the exporter writes no constants")
def handle_of_another_table(graph: Any, owned: Path) -> None:
    """A constant is the handle of a table of another model."""
    from tensorflow.core.framework.resource_handle_pb2 import ResourceHandleProto

    handle = ResourceHandleProto(container="localhost", name="another").SerializeToString()
    constant = number(function_with(graph, "LookupTableFindV2").node_def, "handle", 1, INT32)
    constant.attr["dtype"].type = constant.attr["value"].tensor.dtype = RESOURCE
    constant.attr["value"].tensor.ClearField("int_val")
    constant.attr["value"].tensor.tensor_content = bytes([len(handle)]) + handle


@graph_case(VALUES, "TensorProto.resource_handle_val, which the exporter never writes")
def handle_by_its_field(graph: Any, owned: Path) -> None:
    """The same, in the field that is meant for it."""
    constant = number(function_with(graph, "LookupTableFindV2").node_def, "handle", 1, INT32)
    constant.attr["value"].tensor.resource_handle_val.add().name = "another"


@graph_case(VALUES, "TensorProto.variant_val, which the exporter never writes")
def variant(graph: Any, owned: Path) -> None:
    """A constant is an object of a registered C++ type."""
    constant = number(graph.graph_def.node, "variant", 1, INT32)
    constant.attr["value"].tensor.variant_val.add().type_name = "tensorflow::Evil"


@graph_case(VALUES, "has 3 bytes for 2 elements")
def odd_content(graph: Any, owned: Path) -> None:
    """Three bytes stand for two numbers."""
    tensor = number(graph.graph_def.node, "odd", 1.0).attr["value"].tensor
    tensor.ClearField("float_val")
    tensor.tensor_content = b"abc"
    tensor.tensor_shape.dim.add(size=2)


@graph_case(VALUES, "has 8 bytes for 2 elements")
def texts_as_content(graph: Any, owned: Path) -> None:
    """Texts are written as bytes, with lengths that lead beside them."""
    tensor = text(graph.graph_def.node, "odd", "a", "b").attr["value"].tensor
    tensor.ClearField("string_val")
    tensor.tensor_content = b"\xff\xff\xff\x7f\x01abc"


@graph_case(VALUES, "has two sets of values")
def two_sets_of_values(graph: Any, owned: Path) -> None:
    """A constant has values twice: who reads it chooses."""
    tensor = number(graph.graph_def.node, "odd", 1.0).attr["value"].tensor
    tensor.int_val.append(1)


@graph_case(VALUES, "has no shape")
def negative_shape(graph: Any, owned: Path) -> None:
    """A constant has -5 elements."""
    number(graph.graph_def.node, "odd", 1.0).attr["value"].tensor.tensor_shape.dim.add(size=-5)


@graph_case(VALUES, "it holds the type 104, which the exporter never writes")
def reference_to_bytes(graph: Any, owned: Path) -> None:
    """An operation gives a reference to bytes, which another may take for bytes."""
    node(graph.graph_def.node, "reference", "Identity", "NoOp", T=100 + UINT8)


@graph_case(SIZES, "its constants repeat values")
def endless_constant(graph: Any, owned: Path) -> None:
    """One value stands for 2 ** 62 of them."""
    tensor = number(graph.graph_def.node, "odd", 1.0).attr["value"].tensor
    tensor.tensor_shape.dim.add(size=1 << 62)


@graph_case(SIZES, "has 10,000,000,000 outputs")
def very_many_outputs(graph: Any, owned: Path) -> None:
    """TensorFlow counts the outputs of a node one by one while it loads."""
    body = function_with(graph, "Tanh")
    added = node(body.node_def, "many", "Unpack", body.node_def[0].name + ":output:0", T=FLOAT)
    added.attr["num"].i, added.attr["axis"].i = 10**10, 0


@graph_case(SIZES, "runs more than 500,000 nodes")
def calls_of_calls(graph: Any, owned: Path) -> None:
    """Forty functions, each of which calls the one before twice: 2 ** 40 calls."""
    for depth in range(25):
        body = graph.graph_def.library.function.add()
        body.signature.name = f"laugh{depth}"
        for twice in range(2):
            call = node(body.node_def, f"call{twice}", "PartitionedCall" if depth else "NoOp", Tin=[], Tout=[])
            if depth:
                call.attr["f"].func.name = f"laugh{depth - 1}"
    graph.graph_def.node.add(name="more", op="PartitionedCall").attr["f"].func.name = "laugh24"


@graph_case(SIZES, "calls functions that call functions, more than 32 deep")
def calls_too_deep(graph: Any, owned: Path) -> None:
    """A chain of calls that is deeper than a stack."""
    for depth in range(1000):
        body = graph.graph_def.library.function.add()
        body.signature.name = f"deep{depth}"
        if depth:
            call = node(body.node_def, "call", "PartitionedCall", Tin=[], Tout=[])
            call.attr["f"].func.name = f"deep{depth - 1}"


@graph_case(SIZES, "calls itself")
def calls_itself(graph: Any, owned: Path) -> None:
    """A function that calls itself never comes back."""
    body = graph.graph_def.library.function.add()
    body.signature.name = "again"
    node(body.node_def, "call", "PartitionedCall", Tin=[], Tout=[]).attr["f"].func.name = "again"


@graph_case(SIZES, "it holds 61,")
def very_many_nodes(graph: Any, owned: Path) -> None:
    """Sixty thousand nodes."""
    for _ in range(60_000):
        graph.graph_def.node.add()


@graph_case(SIZES, "holds more fields than any model of this zoo")
def very_many_messages(graph: Any, owned: Path) -> None:
    """Two million empty shapes, of two bytes each in the file and of twenty in memory."""
    node(graph.graph_def.node, "many", "NoOp").attr["_output_shapes"].list.MergeFromString(b"\x3a\x00" * 2_100_000)


@graph_case(SIZES, "it holds a name of 1,000,000 characters")
def very_long_name(graph: Any, owned: Path) -> None:
    """A long name, which every message about its nodes would repeat."""
    graph.graph_def.library.function.add().signature.name = "f" * 1_000_000


@graph_case(SIZES, "but not the vocabulary", "toy_tokenizer")
def vocabulary_of_a_long_entry(graph: Any, owned: Path) -> None:
    """An entry of a million letters would be given to the builder of the model, in C++."""
    _vocabulary(graph)[7] = b"x" * 1_000_000
