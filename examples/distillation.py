"""Distillation: a small model learns to give the vectors of a large one, of texts without any label.

    python examples/distillation.py --plot loss.png --export dist
    python examples/distillation.py --texts mine.txt --epochs 3
    python examples/distillation.py --language en --teacher all_minilm_l6_v2 --student dist/minilm_2.tar.gz

An English student, the first two layers of a directory that sentence-transformers saved:
    zoo export all-MiniLM-L6-v2 --layers 2 --pooler first_token --name minilm_2 --out dist
"""

# %% Before you begin
# Run `pip install '.[hf,fast,recipes]'` in a checkout. A model is built when its name is first used: for bge_base_zh
# that fetches about 390 MiB, for albert_tiny 16 MiB; after that no network is needed.
import itertools
import random
from pathlib import Path

import zoo

zoo.import_tensorflow_quietly()  # so that no log lines hide what follows

import keras
import numpy as np
import tensorflow as tf

# %% Sentences that are made up
# Any texts do, best those that the student will meet later: nobody has to label them, the teacher says what they mean.
WHO = {"zh": "我的邻居|那位医生|一个学生|我们的老师|他的妹妹|面包师|年轻的司机|这位老人|球队的教练|图书管理员"}
WHO["en"] = "My neighbour|The doctor|A student|Our teacher|His sister|The baker|A young driver|The old man|The coach"
DID = {
    "zh": "丢了银行卡|烤了蛋糕|修好了自行车|看了一部电影|种了西红柿|通过了考试|去海边旅行|会弹钢琴了|买了一本书|感冒了"
}
DID["en"] = "lost a card|baked a cake|mended a bicycle|watched a film|passed the exam|went to the sea|bought a novel"
HOW = {"zh": "，很高兴。|，有点累。|，花了些钱。|，是昨天。|，谁也没想到。|，大家都知道。|，第一次这样做。|，又一次。"}
HOW["en"] = (
    ", happily.|, which was tiring.|, at a high price.|, only yesterday.|, as everyone knows.|, for once.|, again."
)


def made_up(language: str, seed: int) -> list[str]:
    """Return all sentences, in an order that the seed gives."""
    space = " " if language == "en" else ""
    parts = (words[language].split("|") for words in (WHO, DID, HOW))
    texts = [f"{who}{space}{did}{how}" for who, did, how in itertools.product(*parts)]
    random.Random(seed).shuffle(texts)
    return texts


def agreement(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the correlation of the cosines of all pairs of texts: do both find the same texts alike?"""
    pairs = np.triu_indices(len(ours), 1)
    return float(np.corrcoef((ours @ ours.T)[pairs], (theirs @ theirs.T)[pairs])[0, 1])


# %% script
def run(
    teacher: str,
    student: str,
    language: str = "zh",
    texts: str | None = None,
    epochs: int = 8,
    learning_rate: float = 3e-4,
    seed: int = 1,
    export: str | None = None,
    plot: str | None = None,
) -> dict[str, object]:
    """Do it all. The steps are the cells of the notebook."""
    # %% Settings
    # For texts of your own, one a line, take texts "mine.txt".

    # %% notebook
    # teacher, student, language, texts = "bge_base_zh", "albert_tiny", "zh", None
    # epochs, learning_rate, seed, export, plot = 8, 3e-4, 1, "dist", "loss.png"

    # %% Step 1: what the teacher says
    # The vectors of all texts, once. A tenth of the texts is kept for the test.
    sentences = Path(texts).read_text(encoding="utf-8").splitlines() if texts else made_up(language, seed)
    vectors = zoo.TextEncoder(teacher)(sentences, normalize=True)  # (N, H)
    half = len(sentences) // 10
    test, train = tf.constant(sentences[:half]), tf.constant(sentences[half:])

    # %% Step 2: the student
    # Its own vectors, the mean of the tokens, go through a dense layer to as many numbers as the teacher's have.
    keras.utils.set_random_seed(seed)
    small = zoo.TextEncoder(student).keras_model(trainable=True)
    outputs = keras.layers.Dense(vectors.shape[1], name="as_teacher")(small.output)
    model = keras.Model(small.input, keras.layers.UnitNormalization()(outputs))
    before = agreement(model.predict(test, verbose=0), vectors[:half])

    # %% Step 3: learn
    model.compile(keras.optimizers.Adam(learning_rate), loss="cosine_similarity")  # -1 is the same direction
    fitted = model.fit(train, vectors[half:], validation_data=(test, vectors[:half]), epochs=epochs, verbose=2)
    loss = {name: [1 + value for value in values] for name, values in fitted.history.items()}

    # %% Step 4: how alike they are now
    after = agreement(model.predict(test, verbose=0), vectors[:half])
    print(f"1 - cosine to the teacher, test texts: {loss['val_loss'][0]:.3f} -> {loss['val_loss'][-1]:.3f}")
    print(f"agreement on which texts are alike: {before:.2f} -> {after:.2f}")

    # %% Step 5: an archive of its own
    # Strings in, vectors out, with TensorFlow alone; `zoo.TextEncoder(archive)` takes it, `zoo publish` puts it online.
    archive = zoo.export(model, "my_student", export, task="vector") if export else None

    # %% Step 6: the loss
    if plot:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots()
        for name, label in (("loss", "training texts"), ("val_loss", "test texts")):
            axes.plot(range(1, epochs + 1), loss[name], marker="o", label=label)
        axes.set(xlabel="epoch", ylabel="1 - cosine to the teacher", ylim=(0, None))
        axes.legend()
        figure.savefig(plot, format="png")
    # %% script
    return {"before": before, "after": after, "loss": loss, "archive": archive}


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", default="bge_base_zh", help="a name, hub id, .tar.gz or directory")
    parser.add_argument("--student", default="albert_tiny", help="the same")
    parser.add_argument("--language", choices=["zh", "en"], default="zh", help="of the made-up sentences")
    parser.add_argument("--texts", metavar="FILE", help="texts of your own, one a line")
    parser.add_argument("--epochs", type=int, default=8, help="rounds over the texts; default %(default)s")
    parser.add_argument("--learning-rate", type=float, default=3e-4, help="of the student; default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of the texts' order, the dense layer and the training")
    parser.add_argument("--export", metavar="DIR", help="make my_student.tar.gz there")
    parser.add_argument("--plot", metavar="PNG", help="draw the loss; needs matplotlib")
    run(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
