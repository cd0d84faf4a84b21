"""Topic clusters: sentences that nobody has labelled, sorted into topics by their meaning, with a map of them.

python examples/topic_clusters.py --plot topics.png
python examples/topic_clusters.py --model bge_small_zh --language zh
python examples/topic_clusters.py --texts mine.txt --topics 8 --plot mine.png
"""

# %% Before you begin
# Run `pip install '.[hf,fast,recipes]'` in a checkout. A model is built when its name is first used:
# for all_minilm_l6_v2 that fetches 86 MiB, for bge_small_zh, which reads Chinese, about 90 MiB; after that no network
# is needed.
import random
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

import zoo

# %% Sentences that are made up
# Beginnings and ends of each topic. No topic's name is in its sentences.
TOPICS = {
    "en": {
        "weather": "The storm|Heavy rain|Thick fog|The cold wind / is coming from the north|will last until Sunday|"
        "kept us at home|is gone this morning",
        "food": "The soup|Her apple pie|This curry|The fresh bread / smells wonderful|needs a little more salt|"
        "was served with vegetables|tastes like my grandmother's",
        "sport": "The goalkeeper|Our team|The young runner|The tennis player / won the final|"
        "trains every morning|was injured in the match|broke the record",
        "money": "The bank|My savings account|The share price|The interest rate / went up by two per cent|"
        "lost a lot last year|worries the investors|was in the business news",
        "health": "The doctor|A new medicine|The nurse|The vaccine / helps against the fever|calmed the patient|"
        "is needed at the hospital|takes the pain away",
    },
    "zh": {
        "天气": "暴风雨|大雨|浓雾|冷空气 / 从北方来了|要持续到周末|让我们出不了门|今早已经过去",
        "美食": "这碗汤|她做的苹果派|这盘咖喱|新鲜的面包 / 闻起来很香|还要加点盐|配着青菜吃|像奶奶做的味道",
        "体育": "守门员|我们队|年轻的跑步选手|网球运动员 / 赢了决赛|每天早上训练|在比赛中受伤了|打破了纪录",
        "金融": "银行|我的存款账户|股价|利率 / 上涨了百分之二|去年亏了很多|让投资者担心|上了财经新闻",
        "健康": "医生|一种新药|护士|疫苗 / 能治发烧|让病人平静下来|医院里很需要|减轻了疼痛",
    },
}


def made_up(language: str, seed: int) -> tuple[list[str], list[str]]:
    """Return 80 sentences, 16 of each topic, in an order that the seed gives, and the topic of each."""
    space, stop = (" ", ".") if language == "en" else ("", "。")
    rows = [
        (f"{first.strip()}{space}{rest.strip()}{stop}", topic)
        for topic, parts in TOPICS[language].items()
        for first in parts.split("/")[0].split("|")
        for rest in parts.split("/")[1].split("|")
    ]
    random.Random(seed).shuffle(rows)
    return [text for text, _ in rows], [topic for _, topic in rows]


# %% script
def run(
    model: str, language: str = "en", texts: str | None = None, topics: int = 5, seed: int = 1, plot: str | None = None
) -> dict[str, object]:
    """Do it all. The steps are the cells of the notebook."""
    # %% Settings
    # For Chinese take model "bge_small_zh" and language "zh"; for a file of yours, one text a line, texts "mine.txt".

    # %% notebook
    # model, language, texts, topics, seed, plot = "all_minilm_l6_v2", "en", None, 5, 1, "topics.png"

    # %% Step 1: vectors
    sentences, known = made_up(language, seed)
    if texts:
        sentences, known = Path(texts).read_text(encoding="utf-8").splitlines(), []
    vectors = zoo.TextEncoder(model)(sentences, normalize=True)  # (N, H)

    # %% Step 2: clusters
    # Vectors of the length 1 lie near each other if their sentences are about the same. The sentences in the middle of
    # a cluster say what it is about.
    means = KMeans(topics, n_init=10, random_state=seed).fit(vectors)
    near = vectors @ means.cluster_centers_.T  # (N, topics)
    for topic in range(topics):
        print(f"topic {topic}: {np.sum(means.labels_ == topic)} sentences")
        print(*(f"    {sentences[place]}" for place in np.argsort(-near[:, topic])[:3]), sep="\n")

    # %% Step 3: how many are right
    # The made-up sentences have topics, which the clusters did not see: 1 is all of them found, 0 is chance.
    agreement = float(adjusted_rand_score(known, means.labels_)) if known else None
    if agreement is not None:
        print(f"agreement with the {len({*known})} topics that the sentences were made of: {agreement:.2f}")

    # %% Step 4: a map
    # Two of many directions, those in which the vectors differ most. Topics that overlap here may not in others.
    if plot:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots()
        axes.scatter(*PCA(2, random_state=seed).fit_transform(vectors).T, c=means.labels_, cmap="tab10")
        axes.set(title=f"{len(sentences)} sentences, {topics} topics", xticks=[], yticks=[])
        figure.savefig(plot, format="png")
    # %% script
    return {"agreement": agreement, "labels": means.labels_.tolist()}


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="all_minilm_l6_v2", help="a name, hub id, .tar.gz or directory")
    parser.add_argument("--language", choices=["en", "zh"], default="en", help="of the made-up sentences")
    parser.add_argument("--texts", metavar="FILE", help="texts of your own, one a line")
    parser.add_argument("--topics", type=int, default=5, help="how many clusters")
    parser.add_argument("--seed", type=int, default=1, help="of the sentences' order and the clusters' beginnings")
    parser.add_argument("--plot", metavar="PNG", help="draw a map; needs matplotlib")
    run(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
