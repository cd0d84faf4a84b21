"""Pair similarity: do two sentences mean the same? A cosine for each pair, and the best border of yes and no.

python examples/pair_similarity.py --plot pairs.png
python examples/pair_similarity.py --model bge_small_zh --language zh
"""

# %% Before you begin
# Run `pip install '.[hf,fast,recipes]'` in a checkout. A model is built when its name is first used: for
# all_minilm_l6_v2 that fetches 86 MiB, for bge_small_zh, which reads Chinese, about 90 MiB; after that no network is
# needed.
import itertools
import random

import numpy as np

import zoo

# %% Sentences
# Those of one line mean the same. Pairs of one line are alike, pairs of two lines are not.
SAME = {
    "en": """
How do I reset my password?|I forgot my password, what now?|What can I do to get a new password?
When does the next train leave?|What time is the next departure by rail?|Tell me when the following train goes.
The film was wonderful.|I loved this movie.|What a great picture to see at the cinema!
The parcel has not arrived.|I am still waiting for my package.|My delivery is missing.
It is going to rain tomorrow.|Expect wet weather tomorrow.|Tomorrow there will be showers.
Where can I park my car?|Is there a parking lot nearby?|I need a place to leave my vehicle.
She plays the guitar very well.|She is a skilled guitarist.|Her guitar playing is excellent.
The shop closes at eight.|The store is open until 8 p.m.|After eight o'clock you cannot buy anything there.
My knee hurts when I run.|Running gives me pain in the knee.|I feel an ache in my knee during jogging.
Please turn off the lights.|Could you switch the lamps off?|Do not leave the lights on.""",
    "zh": """
怎么重置密码？|我忘了密码，怎么办？|要怎样才能拿到新密码？
下一班火车几点开？|下趟列车什么时候出发？|告诉我下一趟火车的发车时间。
这部电影太好看了。|我很喜欢这部片子。|真是一部精彩的影片！
包裹还没有到。|我还在等我的快递。|我的快件不见了。
明天要下雨。|明天会有阵雨。|预计明天天气潮湿多雨。
哪里可以停车？|附近有停车场吗？|我要找个地方放车。
她吉他弹得很好。|她是一位出色的吉他手。|她的吉他演奏非常棒。
商店八点关门。|这家店营业到晚上八点。|八点以后那里就买不到东西了。
我跑步的时候膝盖疼。|一跑步膝盖就痛。|慢跑时我的膝盖会酸痛。
请把灯关掉。|能不能把灯熄了？|别让灯一直亮着。""",
}


def pairs_of(language: str, seed: int) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Return pairs, half of them alike, in an order that the seed gives; and which are alike."""
    lines = [line.split("|") for line in SAME[language].strip().splitlines()]
    rng = random.Random(seed)
    alike = [pair for line in lines for pair in itertools.combinations(line, 2)]
    others = [tuple(map(rng.choice, rng.sample(lines, 2))) for _ in alike]
    rows = [*((pair, True) for pair in alike), *((pair, False) for pair in others)]
    rng.shuffle(rows)
    return [pair for pair, _ in rows], np.array([same for _, same in rows])


# %% script
def run(model: str, language: str = "en", seed: int = 1, plot: str | None = None) -> dict[str, object]:
    """Do it all. The steps are the cells of the notebook."""
    # %% Settings
    # For Chinese take model "bge_small_zh" and language "zh".

    # %% notebook
    # model, language, seed, plot = "all_minilm_l6_v2", "en", 1, "pairs.png"

    # %% Step 1: a cosine for each pair
    # Of vectors of the length 1 it is the sum of the products. `encode.similarity(a, b)` gives those of all pairs.
    pairs, same = pairs_of(language, seed)
    encode = zoo.TextEncoder(model)
    first, second = (encode([pair[side] for pair in pairs], normalize=True) for side in (0, 1))  # (N, H)
    cosines = np.sum(first * second, axis=1)  # (N,)
    for place in np.argsort(-cosines)[[0, 1, 2, -3, -2, -1]]:
        print(f"{cosines[place]:6.2f}  {'alike' if same[place] else 'other'}  {' | '.join(pairs[place])}")

    # %% Step 2: a border
    # The first half of the pairs says which border separates best, the second half how good it is. Each model needs a
    # border of its own: what one calls 0.6 another calls 0.9.
    half = len(pairs) // 2
    borders = np.sort(cosines[:half])
    border = float(borders[np.argmax([np.mean((cosines[:half] >= each) == same[:half]) for each in borders])])
    accuracy = float(np.mean((cosines[half:] >= border) == same[half:]))
    print(f"border {border:.2f}: {accuracy:.0%} of {len(pairs) - half} other pairs are right")

    # %% Step 3: a picture
    if plot:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots()
        axes.hist([cosines[same], cosines[~same]], bins=20, stacked=True, label=["alike", "other"])
        axes.axvline(border, color="black", linestyle="--", label="border")
        axes.set(xlabel="cosine", ylabel="pairs", title=model)
        axes.legend()
        figure.savefig(plot, format="png")
    # %% script
    return {"border": border, "accuracy": accuracy, "cosines": cosines.tolist()}


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="all_minilm_l6_v2", help="a name, hub id, .tar.gz or directory")
    parser.add_argument("--language", choices=["en", "zh"], default="en", help="of the sentences")
    parser.add_argument("--seed", type=int, default=1, help="of the pairs that are not alike, and of their order")
    parser.add_argument("--plot", metavar="PNG", help="draw the cosines; needs matplotlib")
    run(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
