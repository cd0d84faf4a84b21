"""The operations that an archive may hold, and which of them only saving or restoring may run.

The list names allowed operations, not forbidden ones: TensorFlow has some 1,500 operations and adds more, and any new
one may touch files, run Python or open a connection. The list holds the operations of our encoders and tokenizers (a
test compares) and close relatives. None of them reaches outside of the graph, except for those of the saver.
"""

from __future__ import annotations

from types import MappingProxyType

# Operation of the saver -> the part of the saver that may run it.
SAVER_ROLES = MappingProxyType(
    {
        "MergeV2Checkpoints": "saving",
        "SaveV2": "saving",
        "ShardedFilename": "saving",
        "RestoreV2": "restoring",
        "AssignVariableOp": "restoring",  # reaches no file, but elsewhere it could change weights unnoticed
    }
)
SAVER_OPS = frozenset({"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"})  # those that reach files
# VarHandleOp finds a variable by name. In a function it could reach the variables of another model in the session.
MAIN_GRAPH_ONLY = frozenset({"VarHandleOp"})
LOOP_OP = "StatelessWhile"
# The constant that this operation reads is compared by zoo.safety.wordpiece: tensorflow-text trusts its bytes.
WORDPIECE_OP = "FastWordpieceTokenizeWithOffsets"
# zoo.safety.sentencepiece reads the model in the first one, and the constants that the others take.
SENTENCEPIECE_OP = "SentencepieceOp"
SENTENCEPIECE_TOKENIZERS = frozenset({"SentencepieceTokenizeOp", "SentencepieceTokenizeWithOffsetsOp"})

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
        RaggedTensorToTensor ReduceJoin RegexFullMatch RegexReplace RegexSplitWithOffsets SentencepieceOp
        SentencepieceTokenizeOp SentencepieceTokenizeWithOffsetsOp StaticRegexFullMatch StaticRegexReplace StringJoin
        StringLength StringLower StringSplitV2 StringStrip StringUpper Substr
        UnicodeDecode UnicodeDecodeWithOffsets UnicodeEncode UnicodeScript UnicodeTranscode UnsortedSegmentJoin
    """,
    "variables and tables of the loaded object": """
        DisableCopyOnRead HashTableV2 LookupTableFindV2 LookupTableImportV2 LookupTableSizeV2 ReadVariableOp
        ResourceGather ResourceGatherNd VarHandleOp VarIsInitializedOp
    """,
    "backward passes that an archive brings along": """
        BiasAddGrad BroadcastGradientArgs ConcatOffset DynamicStitch EluGrad LeakyReluGrad PreventGradient
        ReciprocalGrad Relu6Grad ReluGrad RsqrtGrad SeluGrad SigmoidGrad SoftplusGrad SqrtGrad StridedSliceGrad TanhGrad
    """,
    "chance, for dropout": """
        RandomUniform RandomUniformInt StatelessRandomGetAlg StatelessRandomGetKeyCounter StatelessRandomUniform
        StatelessRandomUniformFullInt StatelessRandomUniformV2
    """,
    # How long a call takes is bounded by the size of its inputs: zoo.safety.loops lets a loop take 2,048 steps at most.
    "control": """
        Assert If NoOp PartitionedCall Placeholder PlaceholderWithDefault StatefulPartitionedCall StatelessIf
        StatelessWhile
    """,
}
ALLOWED_OPS = frozenset(SAVER_ROLES).union(*map(str.split, _COMPUTING.values()))
