"""Which operations archives are made of, by kind: one more is one more that an old or a small runtime may lack.

All of them, with every attribute that our archives set, are in TensorFlow 2.9.3 and tensorflow-text 2.9.0: what those
two say of each is kept in operations_2_9.json, and `scripts/test-runtimes` compares it with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BOTH = """
    AddV2 All Any Assert AssignVariableOp BroadcastTo Cast ConcatV2 Const Cumsum Equal ExpandDims FloorDiv GatherNd
    GatherV2 Greater GreaterEqual Identity Less LessEqual LogicalAnd LogicalNot LogicalOr Max Maximum
    MergeV2Checkpoints Minimum Mul Neg NoOp NotEqual OnesLike Pack Pad Placeholder Prod Range ReadVariableOp Reshape
    RestoreV2 SaveV2 ScatterNd Select SelectV2 Shape ShardedFilename Size StatefulPartitionedCall StaticRegexFullMatch
    StridedSlice StringJoin Sub Sum TopKV2 Unpack UnsortedSegmentSum VarHandleOp Where ZerosLike
"""
_ENCODER = """
    AddN BatchMatMulV2 BiasAdd BiasAddGrad Bitcast BroadcastGradientArgs Erf Exp FloorMod HashTableV2 IdentityN
    InvertPermutation LookupTableFindV2 LookupTableImportV2 MatMul Mean RandomUniformInt RealDiv Relu
    ResourceGather Rsqrt RsqrtGrad Sigmoid Slice Softmax Softplus SplitV Square StatelessRandomUniformFullInt Tanh
"""
_TOKENIZER = """
    DenseBincount EnsureShape Fill If LowerBound PadV2 PartitionedCall RaggedRange
    RaggedTensorToTensor Rank SegmentMax SegmentMin Squeeze StatelessIf StaticRegexReplace StringLength StringLower
    StringSplitV2 TensorScatterUpdate Tile Transpose UnicodeDecode UnicodeDecodeWithOffsets UnicodeEncode
    UnicodeTranscode UnsortedSegmentJoin
"""
_CORE_TOKENIZER = """
    FloorMod HashTableV2 InvertPermutation LookupTableFindV2 LookupTableImportV2 RaggedGather ReduceJoin
    StatelessWhile Substr
"""
_ANSWERS = """
    ArgMax Log StopGradient
"""
TEXT_OPS = {  # of tensorflow-text -> the library of its wheel that a runtime without Python loads
    "FastWordpieceTokenizeWithOffsets": "_fast_wordpiece_tokenizer.so",
    "NormalizeUTF8": "_normalize_ops.so",
}

ENCODER_OPS = frozenset(f"{_BOTH}{_ENCODER}".split())
TOKENIZER_OPS = frozenset(f"{_BOTH}{_TOKENIZER}".split()).union(TEXT_OPS)
CORE_TOKENIZER_OPS = TOKENIZER_OPS.difference(TEXT_OPS).union(_CORE_TOKENIZER.split())
TEXT_ARCHIVE_OPS = ENCODER_OPS | CORE_TOKENIZER_OPS | frozenset(_ANSWERS.split())
KNOWN_TO_2_9 = Path(__file__).parent / "operations_2_9.json"  # operation -> its attributes

# Set on gradients that `--recompute` saves. Runtimes that do not know them pass over them, and say so in their log.
HINTS = {"MatMul": {"grad_a", "grad_b"}, "BatchMatMulV2": {"grad_x", "grad_y"}}


def attributes(directory: Path) -> Iterator[tuple[str, set[str]]]:
    """Yield, for every node of a SavedModel, its operation and the attributes it sets, private ones left out."""
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    graph: Any = model.meta_graphs[0].graph_def
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        for node in nodes:
            yield node.op, {name for name in node.attr if not name.startswith("_")}
