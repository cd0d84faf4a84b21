"""English -> Chinese for the titles and texts of the notebooks. Change a key when its text changes."""

from __future__ import annotations

from collections.abc import Mapping

CHINESE: Mapping[str, str] = {
    "Made from the example of the same name by `python -m scripts.notebooks`; changes made here will be lost.": (
        "由 `python -m scripts.notebooks` 从同名示例生成；这里的改动不会保留。"
    ),
    "Chinese text classification on a model of the zoo: its weights frozen first, then fine-tuned.": (
        "用模型库中的模型做中文文本分类：先冻结权重，再微调。"
    ),
    "Run `pip install '.[hf,fast,recipes]'` in a checkout. A model is built when its name is first used: for "
    "albert_tiny that fetches 16 MiB, with its tokenizer; after that no network is needed. ZOO_REGISTRY names another "
    "registry.": (
        "先在源码目录里运行 `pip install '.[hf,fast,recipes]'`。模型在第一次用到它的名称时构建：albert_tiny 要下载 "
        "16 MiB，连同它的分词器；以后不再需要网络。ZOO_REGISTRY 指定别的注册表。"
    ),
    '`task` is "pairs" or "single"; `keras` is 3, or 2 with tf_keras; `jsonl` may be two files, to train and to test '
    "with.": '`task` 是 "pairs" 或 "single"；`keras` 是 3，或 2（用 tf_keras）；`jsonl` 可以是训练和测试用的两个文件。',
    "Texts that are made up": "自动生成的文本",
    "Pairs of questions: are both about one subject? Reviews: are they praise? No word alone decides: for the first a "
    "model has to compare, for the second to see that 不 turns 好 and 坏 around. No text of the test is one to train "
    "with.": (
        "问句对：两句是否在谈同一个主题？评论：是不是称赞？单看一个词都判断不了：前者要把两句作比较，后者要看出“不”会颠倒“好”和“坏”。"
        "测试用的文本都不在训练数据中。"
    ),
    "Texts of a file": "来自文件的文本",
    "One JSON object a line. All that is wrong with a file is said at once, with the numbers of the lines.": (
        "每行一个 JSON 对象。文件中的所有错误连同行号一次报告。"
    ),
    "From texts to ids": "从文本到编号",
    "The tokenizer is a graph, so it is a step of tf.data: texts (B,) or pairs (B, 2) become a dict of three (B, T).": (
        "分词器是一个计算图，因此可以是 tf.data 的一步：文本 (B,) 或文本对 (B, 2) 变成含三个 (B, T) 的字典。"
    ),
    "Frozen or trainable": "冻结或可训练",
    "`trainable` takes effect with the next compile. A head alone bears a larger rate than a trained encoder.": (
        "`trainable` 在下一次 compile 时生效。只训练分类层时，学习率可以比训练编码器时大。"
    ),
    "The learning curve": "学习曲线",
    "Step 1: texts and labels": "第 1 步：文本与标签",
    "The seed fixes the texts, their order in training and the head's first weights: two runs give the same numbers.": (
        "随机种子决定文本、训练的顺序和分类层的初始权重：两次运行得到同样的数字。"
    ),
    "Step 2: an encoder and its tokenizer": "第 2 步：编码器与它的分词器",
    "Found or downloaded, and checked. They have to be of one vocabulary: the ids of another mean other words.": (
        "在本机找到或下载，并经过校验。两者的词表必须相同：在另一个词表里，同样的编号是别的词。"
    ),
    "Step 3: from texts to ids": "第 3 步：从文本到编号",
    "Step 4: the model": "第 4 步：模型",
    "Keras 3 takes zoo.KerasLayer, tf_keras hub.KerasLayer, with the same arguments. All the rest is the same too.": (
        "Keras 3 用 zoo.KerasLayer，tf_keras 用 hub.KerasLayer，参数相同，其余代码也都相同。"
    ),
    "Step 5: frozen, the head alone learns": "第 5 步：冻结，只有分类层在学",
    "Step 6: trainable, everything learns": "第 6 步：可训练，全部权重都在学",
    "Step 7: save, load again, compare": "第 7 步：保存、重新加载、比较",
    "A .keras file of Keras 3 and a SavedModel directory of tf_keras are complete: they need neither archive nor "
    "cache.": ("Keras 3 的 .keras 文件和 tf_keras 的 SavedModel 目录都是完整的：不再需要包和缓存。"),
    "Step 8: an archive of its own": "第 8 步：做成自己的包",
    "Strings in, the label out, for anybody with TensorFlow. `zoo publish dist …` puts the directory online.": (
        "输入字符串，输出标签，有 TensorFlow 就能用。`zoo publish dist …` 把这个目录发布上网。"
    ),
    "Step 9: results": "第 9 步：结果",
    "The majority class is the answer of someone who does not read the texts.": "多数类是不读文本的人会给出的答案。",
}
