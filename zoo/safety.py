"""Which operations an archive may hold: those that compute. Looked at in saved_model.pb before anything is loaded.

A list of what is allowed, not of what is forbidden: TensorFlow has some 1,500 operations and adds more, and any of
them may touch files, run Python or open a connection. It holds what our encoders and tokenizers are made of (a test
compares) and close relatives that others might be written with. None of them reaches outside of the graph, but for the
four of the saver, which stand where only saving and restoring runs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.card import EncoderCard, TokenizerCard
from zoo.errors import BadArchive

GRAPH_FILE = "saved_model.pb"
SAVER_OPS = frozenset({"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"})
_COMPUTING = {
    "numbers": """
        Abs Add AddN AddV2 BatchMatMulV2 BiasAdd Cast Ceil ClipByValue Cumsum DivNoNan Einsum Elu Erf Erfc Exp Expm1
        Floor FloorDiv FloorMod IsFinite IsInf IsNan LeakyRelu Log Log1p LogSoftmax MatMul Max Maximum Mean Min
        Minimum Mul MulNoNan Neg Pow Prod RealDiv Reciprocal Relu Relu6 Round Rsqrt Selu Sigmoid Sign Softmax
        Softplus Sqrt Square SquaredDifference Sub Sum Tanh
    """,
    "comparing and choosing": """
        All Any ApproximateEqual ArgMax ArgMin Equal Greater GreaterEqual Less LessEqual LogicalAnd LogicalNot
        LogicalOr NotEqual Select SelectV2 TopKV2 Where
    """,
    "shapes and places": """
        Bitcast BroadcastArgs BroadcastTo Concat ConcatV2 Const DenseBincount EnsureShape ExpandDims Fill Gather
        GatherNd GatherV2 Identity IdentityN InvertPermutation LowerBound OneHot OnesLike Pack Pad PadV2 Range Rank
        Reshape ReverseSequence ReverseV2 ScatterNd SegmentMax SegmentMin SegmentSum Shape ShapeN Size Slice Snapshot
        Split SplitV Squeeze StopGradient StridedSlice TensorScatterAdd TensorScatterUpdate Tile Transpose Unique
        Unpack UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentSum UpperBound ZerosLike
    """,
    "text": """
        AsString FastWordpieceTokenizeWithOffsets NormalizeUTF8 NormalizeUTF8WithOffsetsMap RaggedGather RaggedRange
        RaggedTensorToTensor ReduceJoin RegexFullMatch RegexReplace RegexSplitWithOffsets StaticRegexFullMatch
        StaticRegexReplace StringJoin StringLength StringLower StringSplitV2 StringStrip StringUpper Substr
        UnicodeDecode UnicodeDecodeWithOffsets UnicodeEncode UnicodeScript UnicodeTranscode UnsortedSegmentJoin
        WordpieceTokenizeWithOffsets
    """,
    "variables and tables of the loaded object": """
        AssignVariableOp DisableCopyOnRead HashTableV2 LookupTableFindV2 LookupTableImportV2 LookupTableSizeV2
        ReadVariableOp ResourceGather ResourceGatherNd VarHandleOp VarIsInitializedOp
    """,
    "gradients that a graph carries": """
        BiasAddGrad BroadcastGradientArgs ConcatOffset DynamicStitch EluGrad LeakyReluGrad PreventGradient
        Relu6Grad ReluGrad RsqrtGrad SeluGrad SigmoidGrad SoftplusGrad SqrtGrad StridedSliceGrad TanhGrad
    """,
    "chance, for dropout": """
        RandomUniform RandomUniformInt StatelessRandomGetAlg StatelessRandomGetKeyCounter StatelessRandomUniform
        StatelessRandomUniformFullInt StatelessRandomUniformV2
    """,
    "backward passes that an archive brings along": """
        BiasAddGrad BroadcastGradientArgs ConcatOffset ReciprocalGrad ReluGrad RsqrtGrad SigmoidGrad SqrtGrad TanhGrad
    """,
    "control": """
        Assert Case If NoOp PartitionedCall Placeholder PlaceholderWithDefault StatefulPartitionedCall StatelessCase
        StatelessIf StatelessWhile While
    """,
}
ALLOWED_OPS = SAVER_OPS.union(*map(str.split, _COMPUTING.values()))
# Whatever else a directory may hold, some runtime may act on: saved_model.pbtxt, Keras' metadata with code in it, …
_ALLOWED_FILES = re.compile(r"saved_model\.pb|variables/variables\.(index|data-\d{5}-of-\d{5})|assets\.extra/[^/]+")


def used_ops(directory: Path) -> list[str]:
    """Return the names of all operations in a SavedModel, sorted: its main graph, and every function called or not.

    Imports TensorFlow for its message types. Raises BadArchive when saved_model.pb cannot be read.
    """
    return sorted(_ops(_read(directory)))


def check_ops(directory: Path, card: EncoderCard | TokenizerCard) -> list[str]:
    """Return the operations of an unpacked archive, which may be loaded then: it computes, and does nothing else.

    Raises BadArchive, which lists every operation that is not allowed and where it stands, every file that does not
    belong to a SavedModel of this zoo, and every difference from the card's list.
    """
    model = _read(directory)
    found = _ops(model)
    problems = [*_odd_files(directory), *_odd_form(model)]
    for graph in model.meta_graphs:
        problems += _forbidden(graph)
    if unlisted := sorted(found - set(card.ops)):
        problems.append(f"its card does not list {', '.join(unlisted)}")
    if absent := sorted(set(card.ops) - found):
        problems.append(f"its card lists {', '.join(absent)}, which it does not hold")
    if problems:
        raise BadArchive(
            f"{card.name} in {directory} is not loaded: {'; '.join(problems)}. An archive of this zoo only computes, "
            "and its card says with what: leave this one alone or, where a later bert-zoo made it, load it with that."
        )
    return sorted(found)


def _read(directory: Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    path = directory / GRAPH_FILE
    try:
        return saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise BadArchive(f"{path} cannot be read: {error}. Fetch or build it again.") from error


def _ops(model: Any) -> set[str]:
    return {
        node.op
        for graph in model.meta_graphs
        for nodes in (graph.graph_def.node, *(function.node_def for function in graph.graph_def.library.function))
        for node in nodes
    }


def _odd_files(directory: Path) -> list[str]:
    files = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir())
    return [f"{name} is no part of a model of this zoo" for name in files if not _ALLOWED_FILES.fullmatch(name)]


def _odd_form(model: Any) -> list[str]:
    """Return what would have TensorFlow load it the old way, which runs parts of the main graph."""
    graphs = model.meta_graphs
    if len(graphs) != 1 or not graphs[0].HasField("object_graph_def"):
        return ["it was not saved by TensorFlow 2"]
    return ["it reads asset files"] if graphs[0].asset_file_def or "assets" in graphs[0].collection_def else []


# -- the graph: what it holds, and what can be called -----------------------------------------------------------------


def _forbidden(graph: Any) -> list[str]:
    """Return each forbidden operation with the function that holds it."""
    functions = {function.signature.name for function in graph.graph_def.library.function}
    problems = []
    for place, nodes, only_saves in _bodies(graph):
        allowed = ALLOWED_OPS if only_saves else ALLOWED_OPS - SAVER_OPS
        problems += [f"{op} in {place} is not allowed" for op in sorted({node.op for node in nodes} - allowed)]
        called = {function for node in nodes for function in _called(node.attr)}
        problems += [f"{place} calls {function}, which is not there" for function in sorted(called - functions)]
    return problems


def _bodies(graph: Any) -> Iterator[tuple[str, Sequence[Any], bool]]:
    """Yield every function's name and nodes, the main graph's in two parts, and whether only the saver runs them."""
    savers, library = _saver_nodes(graph), graph.graph_def.library
    for only_saves in (False, True):
        yield (
            "its main graph",
            [node for node in graph.graph_def.node if (node.name in savers) == only_saves],
            only_saves,
        )
    # What a loaded object, a signature, a gradient or the main graph calls; what the saver calls left out.
    roots = {
        *graph.object_graph_def.concrete_functions,
        *(name for node in graph.graph_def.node if node.name not in savers for name in _mentioned(node.attr)),
        *(gradient.gradient_func for gradient in (*library.gradient, *library.registered_gradients)),
    }
    callable_ = _reached(roots, {function.signature.name: _named_in(function) for function in library.function})
    for function in library.function:
        yield function.signature.name, function.node_def, function.signature.name not in callable_


def _saver_nodes(graph: Any) -> set[str]:
    """Return the nodes of the main graph that lead to the two that save and restore, and to nothing else."""
    inputs = {node.name: {_node(name) for name in node.input} for node in graph.graph_def.node}
    saver = {graph.saver_def.save_tensor_name.partition(":")[0], graph.saver_def.restore_op_name}
    saving = _reached(saver, inputs)
    outputs = {
        _node(tensor.name) for signature in graph.signature_def.values() for tensor in signature.outputs.values()
    }
    return saving - _reached(outputs | (inputs.keys() - saving), inputs)


def _node(tensor: str) -> str:
    """Return the node that the name of a tensor or of a control input means: 'call' of 'call:0' and '^call'."""
    return tensor.removeprefix("^").partition(":")[0]


def _reached(roots: Iterable[str], leads_to: Mapping[str, Iterable[str]]) -> set[str]:
    """Return what `roots` lead to, themselves included, as far as it is known."""
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in leads_to and name not in reached:
            reached.add(name)
            waiting += leads_to[name]
    return reached


def _named_in(function: Any) -> list[str]:
    return [name for part in (function, *function.node_def) for name in _mentioned(part.attr)]


def _called(attributes: Mapping[str, Any]) -> Iterator[str]:
    for value in attributes.values():
        kind = value.WhichOneof("value")  # most are numbers and shapes: one question each
        for function in [value.func] if kind == "func" else value.list.func if kind == "list" else ():
            yield function.name
            yield from _called(function.attr)


def _mentioned(attributes: Mapping[str, Any]) -> Iterator[str]:
    """Yield every function that is called, and every text, which may name one too (backward_function_name, …)."""
    yield from _called(attributes)
    for value in attributes.values():
        kind = value.WhichOneof("value")
        texts = [value.s] if kind == "s" else value.list.s if kind == "list" else ()
        yield from (text.decode("utf-8", "replace") for text in texts)
