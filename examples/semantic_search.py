"""Semantic search: of a few thousand sentences, those that mean what a question asks, in other words.

python examples/semantic_search.py
python examples/semantic_search.py --index faiss
python examples/semantic_search.py --model bge_small_zh --language zh
"""

# %% Before you begin
# Run `pip install '.[hf,fast]'` in a checkout. A model is built when its name is first used: for all_minilm_l6_v2 that
# fetches 86 MiB, for bge_small_zh, which reads Chinese, about 90 MiB; after that no network is needed. The indexes
# "faiss" and "hnswlib" need a package each: `pip install faiss-cpu` or `pip install hnswlib`.
import random
import time

import numpy as np

import zoo

# %% Sentences that are made up
# Every sentence says one of the matters below, somebody's, at some time. The questions ask for a matter in other words.
MATTERS = {
    "en": {
        "lost a bank card": "Somebody's debit card has vanished",
        "flew to the sea": "Who took a plane to the beach?",
        "baked a cake": "a person making dessert in the oven",
        "repaired a bicycle": "Whose two wheels were broken and are fine now?",
        "visited a doctor": "Who felt ill and went to see a physician?",
        "sold the old car": "getting money for a used vehicle",
        "learned the piano": "Who plays a musical instrument now?",
        "planted tomatoes": "growing vegetables in the garden",
        "watched a film": "an evening at the cinema",
        "adopted a puppy": "Who has a young dog at home?",
        "passed the exam": "success in a difficult test",
        "moved to a new flat": "Who lives in another apartment now?",
    },
    "zh": {
        "弄丢了银行卡": "谁的储蓄卡不见了？",
        "坐飞机去了海边": "乘航班到沙滩度假",
        "烤了一个蛋糕": "谁用烤箱做了甜点？",
        "修好了自行车": "单车坏了又能骑了",
        "去看了医生": "谁身体不舒服去了医院？",
        "卖掉了旧汽车": "二手车换成了钱",
        "学会了弹钢琴": "谁会演奏一种乐器？",
        "种了西红柿": "在园子里栽蔬菜",
        "看了一部电影": "谁晚上去了影院？",
        "领养了一只小狗": "家里多了一只宠物",
        "通过了考试": "谁的测验成绩合格？",
        "搬进了新公寓": "谁换了住处？",
    },
}
WHO = {"en": "My aunt|Our teacher|The neighbour|A colleague|His brother|The student|Her friend|The baker|Your cousin"}
WHO["zh"] = "我的姑姑|我们的老师|邻居|一位同事|他的哥哥|那个学生|她的朋友|面包师|你的表弟"
WHEN = {"en": "on Monday|in May|last week|two days ago|this morning|in winter|before lunch|on holiday|at last|again"}
WHEN["zh"] = "星期一|五月|上周|两天前|今天早上|冬天|午饭前|假期里|终于|又"
FRAME = {"en": "{who} {matter} {when}{end}", "zh": "{who}{when}{matter}{end}"}
ENDS = {"en": [".", ", I heard.", ", they say."], "zh": ["。", "，我听说的。", "，大家都这么说。"]}


def made_up(language: str, seed: int) -> list[tuple[str, str]]:
    """Return sentences and the matter of each, 3,240 all told, in an order that the seed gives."""
    parts = MATTERS[language], WHO[language].split("|"), WHEN[language].split("|"), ENDS[language]
    rows = [
        (FRAME[language].format(matter=matter, who=who, when=when, end=end), matter)
        for matter in parts[0]
        for who in parts[1]
        for when in parts[2]
        for end in parts[3]
    ]
    random.Random(seed).shuffle(rows)
    return rows


# %% An index
# numpy compares a query with every vector, which is exact and takes milliseconds for thousands of sentences. Millions
# are a matter for an index that looks at few of them. Vectors have the length 1, so an inner product is a cosine.
def nearest(index: str, vectors: np.ndarray, queries: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Return the places of the k nearest vectors for each query, (Q, k)."""
    size = vectors.shape[1]
    if index == "faiss":
        import faiss

        graph = faiss.IndexHNSWFlat(size, 32, faiss.METRIC_INNER_PRODUCT)
        graph.add(vectors)
        return graph.search(queries, k)[1]
    if index == "hnswlib":
        import hnswlib

        graph = hnswlib.Index(space="ip", dim=size)
        graph.init_index(max_elements=len(vectors), random_seed=seed)
        graph.add_items(vectors, num_threads=1)  # several threads would build another graph each time
        return graph.knn_query(queries, k)[0]
    return np.argsort(-queries @ vectors.T, axis=1, kind="stable")[:, :k]


# %% script
def run(model: str, language: str = "en", index: str = "numpy", seed: int = 1, k: int = 3) -> dict[str, object]:
    """Do it all. The steps are the cells of the notebook."""
    # %% Settings
    # For Chinese take model "bge_small_zh" and language "zh".

    # %% notebook
    # model, language, index, seed, k = "all_minilm_l6_v2", "en", "numpy", 1, 3

    # %% Step 1: vectors of all sentences
    # `passage` and `query` put the model's prompts before texts, if it has any.
    sentences, matters = zip(*made_up(language, seed), strict=True)
    encode = zoo.TextEncoder(model)
    start = time.perf_counter()
    vectors = encode.passage(sentences, normalize=True)  # (N, H)
    print(f"{len(sentences):,} sentences to vectors {vectors.shape}: {time.perf_counter() - start:.1f} s")

    # %% Step 2: the nearest sentences for each question
    questions = list(MATTERS[language].values())
    queries = encode.query(questions, normalize=True)  # (Q, H)
    places = nearest(index, vectors, queries, k, seed)  # (Q, k)
    for question, query, row in zip(questions, queries, places, strict=True):
        print(question, *(f"{query @ vectors[place]:7.2f}  {sentences[place]}" for place in row), sep="\n")

    # %% Step 3: how many of them are right
    # An index that is not exact is compared with numpy, too.
    wanted = np.array([*MATTERS[language]])[:, np.newaxis]
    right = float(np.mean(np.array(matters)[places] == wanted))
    exact = nearest("numpy", vectors, queries, k, seed)
    found = float(np.mean([len({*ours} & {*theirs}) / k for ours, theirs in zip(places, exact, strict=True)]))
    print(f"right: {right:.0%} of the {k} nearest; {index} found {found:.0%} of what an exact search finds")
    # %% script
    return {"right": right, "found": found, "places": places.tolist()}


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="all_minilm_l6_v2", help="a name, hub id, .tar.gz or directory")
    parser.add_argument("--language", choices=["en", "zh"], default="en", help="of the made-up sentences")
    parser.add_argument(
        "--index",
        choices=["numpy", "faiss", "hnswlib"],
        default="numpy",
        help="default %(default)s; the others need a package each",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the order of the sentences, and of hnswlib")
    run(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
