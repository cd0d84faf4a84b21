"""English -> Chinese for the titles and texts of the recipes' notebooks. Change a key when its text changes."""

from __future__ import annotations

from collections.abc import Mapping

RECIPES: Mapping[str, str] = {
    # several
    "Before you begin": "开始之前",
    "Settings": "设置",
    "Sentences that are made up": "自动生成的句子",
    'For Chinese take model "bge_small_zh" and language "zh".': '中文请用 model = "bge_small_zh"，language = "zh"。',
    # entities
    "Sequence labelling: an encoder learns to find names, places and dates, and answers texts as an archive.": (
        "序列标注：编码器学会找出人名、地名和日期，再做成直接回答文本的包。"
    ),
    "Run `pip install '.[hf,fast]'` in a checkout. A model is built when its name is first used: for albert_tiny that "
    "fetches 16 MiB, with its tokenizer, whose vocabulary has English too; after that no network is needed.": (
        "先在源码目录里运行 `pip install '.[hf,fast]'`。模型在第一次用到它的名称时构建：albert_tiny 要下载 16 MiB，"
        "连同它的分词器（词表里也有英文）；以后不再需要网络。"
    ),
    "Texts that are made up, with their entities": "自动生成的文本和其中的实体",
    "A text is put together from a frame and names, names from syllables. An entity is a part of it: (start, limit, "
    "kind) in characters.": "文本由句式和名字拼成，名字由音节拼成。实体是文本的一段：（起点、终点、类别），以字符计。",
    "From entities to a label for each token": "从实体到每个词元的标签",
    "The tokenizer says where in the text a piece lies. B- begins an entity, I- goes on, O is none; [CLS], [SEP] and "
    "padding count for nothing, which -1 says to the loss.": (
        "分词器给出每个词元在文本中的位置。B- 是实体的开头，I- 是后续，O 不是实体；[CLS]、[SEP] 和填充不算，"
        "用 -1 告诉损失函数。"
    ),
    "The tokenizer is that of the encoder's vocabulary; `zoo info NAME` names it. 3e-5 suits 12 layers.": (
        "分词器要用编码器词表的那一个，`zoo info NAME` 会说明。12 层的模型适合 3e-5。"
    ),
    "Step 1: texts and their labels": "第 1 步：文本和标签",
    "Step 2: the model": "第 2 步：模型",
    "Strings in, for each token the chances of the labels out: (B, T, labels).": (
        "输入字符串，输出每个词元属于各标签的概率：(B, T, 标签)。"
    ),
    "Step 4: an archive of its own": "第 4 步：做成自己的包",
    "It needs TensorFlow alone, and joins tokens to entities by itself. `zoo publish` puts the directory online.": (
        "它只需要 TensorFlow，自己把词元连成实体。`zoo publish` 把这个目录发布上网。"
    ),
    "Step 5: entities out": "第 5 步：得到实体",
    "`start` and `limit` are bytes of UTF-8; `zoo.character_offsets` makes places in Python's strings of them.": (
        "`start` 和 `limit` 以 UTF-8 的字节计；`zoo.character_offsets` 把它们换成 Python 字符串里的位置。"
    ),
    "Step 6: how many are right": "第 6 步：有多少是对的",
    # semantic_search
    "Semantic search: of a few thousand sentences, those that mean what a question asks, in other words.": (
        "语义检索：在几千个句子里，找出意思与问题相符、用词却不同的句子。"
    ),
    "Run `pip install '.[hf,fast]'` in a checkout. A model is built when its name is first used: for all_minilm_l6_v2 "
    "that fetches 86 MiB, for bge_small_zh, which reads Chinese, about 90 MiB; after that no network is needed. The "
    'indexes "faiss" and "hnswlib" need a package each: `pip install faiss-cpu` or `pip install hnswlib`.': (
        "先在源码目录里运行 `pip install '.[hf,fast]'`。模型在第一次用到它的名称时构建：all_minilm_l6_v2 要下载 "
        "86 MiB，中文的 bge_small_zh 约 90 MiB；以后不再需要网络。索引 faiss 和 hnswlib 各需一个包："
        "`pip install faiss-cpu` 或 `pip install hnswlib`。"
    ),
    "Every sentence says one of the matters below, somebody's, at some time. The questions ask for a matter in other "
    "words.": "每个句子说的是某人在某时的下列某件事。问题用别的词来问这件事。",
    "An index": "索引",
    "numpy compares a query with every vector, which is exact and takes milliseconds for thousands of sentences. "
    "Millions are a matter for an index that looks at few of them. Vectors have the length 1, so an inner product is "
    "a cosine.": (
        "numpy 把查询与每个向量比较：结果精确，几千个句子只要几毫秒。上百万个句子就该用只看其中一小部分的索引。"
        "向量长度为 1，所以内积就是余弦。"
    ),
    "Step 1: vectors of all sentences": "第 1 步：所有句子的向量",
    "`passage` and `query` put the model's prompts before texts, if it has any.": (
        "模型若有提示语，`passage` 和 `query` 会把它们加在文本前面。"
    ),
    "Step 2: the nearest sentences for each question": "第 2 步：每个问题最近的句子",
    "Step 3: how many of them are right": "第 3 步：其中有多少是对的",
    "An index that is not exact is compared with numpy, too.": "不精确的索引还会与 numpy 的结果比较。",
    # pair_similarity
    "Pair similarity: do two sentences mean the same? A cosine for each pair, and the best border of yes and no.": (
        "句对相似度：两个句子意思相同吗？每对一个余弦，并求出“是”与“否”之间最好的界限。"
    ),
    "Run `pip install '.[hf,fast,recipes]'` in a checkout. A model is built when its name is first used: for "
    "all_minilm_l6_v2 that fetches 86 MiB, for bge_small_zh, which reads Chinese, about 90 MiB; after that no network "
    "is needed.": (
        "先在源码目录里运行 `pip install '.[hf,fast,recipes]'`。模型在第一次用到它的名称时构建：all_minilm_l6_v2 "
        "要下载 86 MiB，中文的 bge_small_zh 约 90 MiB；以后不再需要网络。"
    ),
    "Sentences": "句子",
    "Those of one line mean the same. Pairs of one line are alike, pairs of two lines are not.": (
        "同一行的句子意思相同。同一行的两句是相似的一对，不同行的两句不是。"
    ),
    "Step 1: a cosine for each pair": "第 1 步：每对一个余弦",
    "Of vectors of the length 1 it is the sum of the products. `encode.similarity(a, b)` gives those of all pairs.": (
        "向量长度为 1 时，余弦就是乘积之和。`encode.similarity(a, b)` 给出两两之间的余弦。"
    ),
    "Step 2: a border": "第 2 步：界限",
    "The first half of the pairs says which border separates best, the second half how good it is. Each model needs a "
    "border of its own: what one calls 0.6 another calls 0.9.": (
        "用前一半句对求最好的界限，用后一半检验。每个模型的界限都不同：一个模型的 0.6，在另一个模型里可能是 0.9。"
    ),
    "Step 3: a picture": "第 3 步：画图",
    # topic_clusters
    "Topic clusters: sentences that nobody has labelled, sorted into topics by their meaning, with a map of them.": (
        "主题聚类：把没有标注的句子按意思分成主题，并画成一张图。"
    ),
    "Beginnings and ends of each topic. No topic's name is in its sentences.": (
        "每个主题的句首和句尾。句子里没有主题的名称。"
    ),
    'For Chinese take model "bge_small_zh" and language "zh"; for a file of yours, one text a line, texts '
    '"mine.txt".': ('中文请用 model = "bge_small_zh"，language = "zh"；自己的文件每行一条文本，texts = "mine.txt"。'),
    "Step 1: vectors": "第 1 步：向量",
    "Step 2: clusters": "第 2 步：聚类",
    "Vectors of the length 1 lie near each other if their sentences are about the same. The sentences in the middle of "
    "a cluster say what it is about.": "说同一件事的句子，向量相距很近。位于一类中央的句子说明这一类讲的是什么。",
    "Step 3: how many are right": "第 3 步：有多少是对的",
    "The made-up sentences have topics, which the clusters did not see: 1 is all of them found, 0 is chance.": (
        "自动生成的句子有主题，聚类时并没有看到：1 表示全部分对，0 表示与随机一样。"
    ),
    "Step 4: a map": "第 4 步：画成图",
    "Two of many directions, those in which the vectors differ most. Topics that overlap here may not in others.": (
        "只画向量差别最大的两个方向。在图上重叠的主题，在别的方向上可能是分开的。"
    ),
    # fill_mask
    "Fill-mask: the tokens that a model proposes in the place of [MASK].": "完形填空：模型为 [MASK] 处推荐的词元。",
    "Run `pip install '.[hf,fast]'` in a checkout. A model is built when its name is first used: for bert_fill_mask, "
    "which reads Chinese, that fetches about 400 MB; after that no network is needed. An English one is made of a "
    "directory of transformers that has a masked-LM head: `zoo export bert-base-uncased --task fill_mask --name "
    "english --out dist`.": (
        "先在源码目录里运行 `pip install '.[hf,fast]'`。模型在第一次用到它的名称时构建：中文的 bert_fill_mask "
        "约下载 400 MB；以后不再需要网络。英文模型可由带 masked-LM 头的 transformers 目录导出："
        "`zoo export bert-base-uncased --task fill_mask --name english --out dist`。"
    ),
    "A name, hub id, .tar.gz or directory of a text archive for fill_mask; `zoo list --task fill_mask` shows names.": (
        "任务为 fill_mask 的文本包：名称、hub 编号、.tar.gz 或目录；`zoo list --task fill_mask` 列出名称。"
    ),
    "Step 1: ask": "第 1 步：提问",
    "A text has any number of [MASK], and each gets the five likeliest tokens: ragged [B, (masks), 5].": (
        "一条文本可以有任意多个 [MASK]，每个得到五个最可能的词元：不规则张量 [B, (masks), 5]。"
    ),
    "Step 2: the likeliest first": "第 2 步：最可能的在前",
    "Step 3: the text with its best tokens": "第 3 步：填好的文本",
    # question_answering
    "Question answering: the part of a text that answers a question, or the answer that there is none.": (
        "阅读理解问答：文本中回答问题的那一段，或者“没有答案”。"
    ),
    "Run `pip install '.[hf,fast]'` in a checkout. A model is built when its name is first used: for "
    "mrc_roberta_wwm_large, which reads Chinese, that fetches about 1.3 GB; after that no network is needed. An "
    "English one is made of any directory of transformers with the class BertForQuestionAnswering: `zoo export DIR "
    "--name english --out dist`.": (
        "先在源码目录里运行 `pip install '.[hf,fast]'`。模型在第一次用到它的名称时构建：中文的 mrc_roberta_wwm_large "
        "约下载 1.3 GB；以后不再需要网络。英文模型可由类为 BertForQuestionAnswering 的 transformers 目录导出："
        "`zoo export DIR --name english --out dist`。"
    ),
    "A name, hub id, .tar.gz or directory of a text archive for span; `zoo list --task span` shows names.": (
        "任务为 span 的文本包：名称、hub 编号、.tar.gz 或目录；`zoo list --task span` 列出名称。"
    ),
    "Pairs of a question and its context. A context that is too long is cut at its end: give long ones in parts.": (
        "输入是（问题，文段）对。文段太长时末尾会被截掉：长文请分段输入。"
    ),
    "Step 2: the answers": "第 2 步：答案",
    "`score` says how sure the model is of the answer, `null_score` how sure it is that there is none.": (
        "`score` 是模型对答案的把握，`null_score` 是对“没有答案”的把握。"
    ),
    "Step 3: where they stand": "第 3 步：答案的位置",
    "`start` and `limit` count bytes of UTF-8: slice the encoded context, not the str.": (
        "`start` 和 `limit` 以 UTF-8 的字节计：请在编码后的字节上切片，不要在 str 上切。"
    ),
    # domain_fine_tuning
    "Domain fine-tuning: a model learns the words of one workshop, its last layers faster than those below them.": (
        "领域微调：模型学会一个车间的行话，靠后的层学得比前面的层快。"
    ),
    "Notes that are made up": "自动生成的记录",
    "What a machine does says how it is, by words that mean something else outside of this workshop. The training "
    "texts and the test texts are about different machines.": (
        "记录用车间行话说明机器的状态，这些词在别处是别的意思。训练文本和测试文本说的是不同的机器。"
    ),
    "A rate for each layer": "每一层一个学习率",
    "What lies next to the texts is general and changes little; what lies next to the answer changes most. Each step "
    "away from the answer multiplies the learning rate by the decay. Weights that are in no group, as the new dense "
    "layer's, have the full rate.": (
        "靠近文本的层是通用的，变化要小；靠近答案的层变化最大。每离答案远一步，学习率就乘一次衰减系数。"
        "不在任何一组里的权重（如新加的全连接层）用完整的学习率。"
    ),
    '`trainable` is "last:3" for the last three layers, or "all". For Chinese take model "bge_small_zh" and language '
    '"zh". 2e-5 suits 12 layers.': (
        '`trainable` 取 "last:3" 表示最后三层，或 "all"。中文请用 model = "bge_small_zh"，language = "zh"。'
        "12 层的模型适合 2e-5。"
    ),
    "Step 1: texts and a model": "第 1 步：文本和模型",
    "Step 2: frozen": "第 2 步：冻结",
    "The dense layer alone learns, from vectors as they are.": "只有全连接层在学，向量保持原样。",
    "Step 3: a rate for each group of weights": "第 3 步：每组权重的学习率",
    "`trainable` counts with the next compile. Frozen weights get no rate at all.": (
        "`trainable` 在下一次 compile 时生效。冻结的权重没有学习率。"
    ),
    "Step 4: fine-tuned": "第 4 步：微调",
    "Step 5: the curve": "第 5 步：曲线",
    # distillation
    "Distillation: a small model learns to give the vectors of a large one, of texts without any label.": (
        "蒸馏：小模型学着给出大模型的向量，文本不需要任何标注。"
    ),
    "Run `pip install '.[hf,fast,recipes]'` in a checkout. A model is built when its name is first used: for "
    "bge_base_zh that fetches about 390 MiB, for albert_tiny 16 MiB; after that no network is needed.": (
        "先在源码目录里运行 `pip install '.[hf,fast,recipes]'`。模型在第一次用到它的名称时构建：bge_base_zh "
        "约下载 390 MiB，albert_tiny 为 16 MiB；以后不再需要网络。"
    ),
    "Any texts do, best those that the student will meet later: nobody has to label them, the teacher says what they "
    "mean.": "什么文本都可以，最好是学生模型以后会遇到的那种：不用人标注，由教师模型说出它们的意思。",
    'For texts of your own, one a line, take texts "mine.txt".': '自己的文件每行一条文本：texts = "mine.txt"。',
    "Step 1: what the teacher says": "第 1 步：教师模型的向量",
    "The vectors of all texts, once. A tenth of the texts is kept for the test.": (
        "所有文本的向量，只算一次。十分之一的文本留作测试。"
    ),
    "Step 2: the student": "第 2 步：学生模型",
    "Its own vectors, the mean of the tokens, go through a dense layer to as many numbers as the teacher's have.": (
        "它自己的向量是各词元的平均，再经过一个全连接层，变成与教师向量一样长。"
    ),
    "Step 3: learn": "第 3 步：学习",
    "Step 4: how alike they are now": "第 4 步：现在有多像",
    "Step 5: an archive of its own": "第 5 步：做成自己的包",
    "Strings in, vectors out, with TensorFlow alone; `zoo.TextEncoder(archive)` takes it, `zoo publish` puts it "
    "online.": (
        "输入字符串，输出向量，有 TensorFlow 就能用；`zoo.TextEncoder(archive)` 可以加载，`zoo publish` 把它发布上网。"
    ),
    "Step 6: the loss": "第 6 步：损失",
}
