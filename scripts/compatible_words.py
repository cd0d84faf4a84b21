"""The words of docs/compatible.md, in English and Chinese. Messages of the code stay as the code has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """The words of the page in one language."""

    about: str  # title and first part; {done} of {all} rows convert
    sections: Mapping[str, str]  # kind of a section -> its title and text
    columns: tuple[str, ...]  # of a checkpoint that converts
    reasons: tuple[str, ...]  # columns of one that does not
    not_known: str
    counted_with: str
    tasks: Mapping[str, str]
    steps: Mapping[str, str]  # of sentence-transformers
    tokenizers: Mapping[str, str]


ENGLISH = Words(
    about="""\
# Published checkpoints

[简体中文](compatible.zh-CN.md)

Can this checkpoint come in? {done} of these {all} published ones convert. `python -m scripts.compatible` writes this
page: it gives the exporter the names, shapes and config of each published file at true size, without the numbers, and
notes what the exporter says. A test compares the page with the code. For a checkpoint of your own: `zoo inspect PATH`.

- *Parameters* are those of encoder and pooler. *=* stands where the published weights are known to have as
  many, to the last digit.
- *E* is the size of embeddings that are projected. *Positions* are those that the encoder has after folding.
- *Besides* says what an encoder does not use, and what was changed or filled in. Pre-training heads are exported where
  their numbers show that they are trained; there are no numbers here, so all heads count as left out.
- *Tokenizer* is the publisher's. WordPiece and SentencePiece become archives of their own; others do not.
- *Not known*: neither the publisher nor anything else we read says so.""",
    sections={
        "pre-trained": "Pre-trained",
        "embedding": "Sentence embeddings\n\nPooling, Dense and L2 are those of the publisher's directory.",
        "fine-tuned": "Rerankers, classifiers, taggers, question answering",
        "refused": "Refused\n\nThe first sentence of the error. The next ones say what can be done.",
        "not tried": "Not tried\n\nWe do not know enough of these files to rebuild them. `zoo inspect PATH` tells.",
    },
    columns=(
        "id",
        "task",
        "format",
        "family",
        "layers / hidden / heads / intermediate",
        "vocabulary / positions / types",
        "activation",
        "parameters",
        "tokenizer",
        "licence",
        "besides",
    ),
    reasons=("id", "task", "why"),
    not_known="not known",
    counted_with="with {part} {count:,}",
    tasks={
        "pre-trained": "pre-trained",
        "embedding": "embedding",
        "reranker": "reranker",
        "classifier": "classifier",
        "word segmentation": "word segmentation",
        "question answering": "question answering",
    },
    steps={"mean": "mean", "first": "first token", "Dense": "Dense to {dense:,}", "L2": "L2"},
    tokenizers={
        "WordPiece": "WordPiece",
        "SentencePiece": "SentencePiece",
        "byte-pair": "byte pair",
        "words": "words",
    },
)

CHINESE = Words(
    about="""\
# 已发布的检查点

[English](compatible.md)

我的检查点能转换吗？下面 {all} 个已发布的检查点里，{done} 个能转换。本页由 `python -m scripts.compatible`
生成：它把每个已发布文件的变量名、形状和配置按真实大小交给导出器（不含数值），记下导出器的回答。
有测试比较本页与代码。自己的检查点：`zoo inspect PATH`。

- *参数量*只算编码器和 pooler。*=* 表示与已知的发布权重的数目一位不差。
- *E* 是需要投影的嵌入宽度。*位置*按折叠之后编码器里的数目。
- *此外*说明编码器不用什么，改了或补了什么。预训练的头，若数值表明训练过，会一并导出；
  这里没有数值，所以所有的头都算作不用。
- *分词器*是发布者的。WordPiece 和 SentencePiece 会在编码器之外另做成包，其他的不会。
- *未知*：发布者和我们读到的资料都没有说明。""",
    sections={
        "pre-trained": "预训练",
        "embedding": "句向量\n\n池化、Dense 和 L2 以发布者的目录为准。",
        "fine-tuned": "重排、分类、标注、问答",
        "refused": "拒绝\n\n报错的第一句，后几句说明可以怎么做。",
        "not tried": "未试\n\n我们对这些文件所知不够，无法重建。`zoo inspect PATH` 会说明。",
    },
    columns=(
        "id",
        "任务",
        "格式",
        "家族",
        "层数 / 隐层 / 头数 / 中间层",
        "词表 / 位置 / 类型",
        "激活函数",
        "参数量",
        "分词器",
        "许可",
        "此外",
    ),
    reasons=("id", "任务", "原因"),
    not_known="未知",
    counted_with="含 {part} 为 {count:,}",
    tasks={
        "pre-trained": "预训练",
        "embedding": "句向量",
        "reranker": "重排",
        "classifier": "分类",
        "word segmentation": "分词",
        "question answering": "问答",
    },
    steps={"mean": "平均", "first": "首个 token", "Dense": "Dense 到 {dense:,}", "L2": "L2"},
    tokenizers={"WordPiece": "WordPiece", "SentencePiece": "SentencePiece", "byte-pair": "字节对", "words": "按词"},
)
