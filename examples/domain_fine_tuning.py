"""Domain fine-tuning: a model learns the words of one workshop, its last layers faster than those below them.

python examples/domain_fine_tuning.py --plot domain.png
python examples/domain_fine_tuning.py --model bge_small_zh --language zh
python examples/domain_fine_tuning.py --trainable all --decay 0.7
"""

# %% Before you begin
# Run `pip install '.[hf,fast,recipes]'` in a checkout. A model is built when its name is first used: for
# all_minilm_l6_v2 that fetches 86 MiB, for bge_small_zh, which reads Chinese, about 90 MiB; after that no network is
# needed.
import itertools
import random

import zoo

zoo.import_tensorflow_quietly()  # so that no log lines hide what follows

import keras
import numpy as np
import tensorflow as tf

# %% Notes that are made up
# What a machine does says how it is, by words that mean something else outside of this workshop. The training texts
# and the test texts are about different machines.
KINDS = ["fine", "watch", "stop"]
SAYS = {
    "en": [
        "sings|purrs|is drinking|walks on toes",
        "hums|is yawning|scratches|counts sheep",
        "coughs|laughs|knits|waves",
    ],
    "zh": ["在唱歌|打呼噜|在喝水|踮着脚走", "哼小曲|打哈欠|挠痒痒|在数羊", "咳嗽了|笑出声|织毛衣|招招手"],
}
MACHINES = {"en": "The mill|The press|The old saw|Our oven|The drill|The pump|The belt|The mixer|The crane|The lathe"}
MACHINES["zh"] = "磨机|冲床|老锯子|我们的烤炉|钻床|水泵|传送带|搅拌机|吊车|车床"
WHEN = {
    "en": "today|since Monday|again|after lunch|at night|in the rain",
    "zh": "今天|从星期一起|又|午饭后|夜里|下雨时",
}


def made_up(language: str, seed: int) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Return notes to train with and notes to test with, in an order that the seed gives, each with its kind."""
    frame = "{machine} {says} {when}." if language == "en" else "{machine}{when}{says}。"
    machines, whens = MACHINES[language].split("|"), WHEN[language].split("|")
    said = [(says, kind) for kind, words in enumerate(SAYS[language]) for says in words.split("|")]
    parts = [], []
    for (number, machine), (says, kind), when in itertools.product(enumerate(machines), said, whens):
        parts[number % 3 == 0].append((frame.format(machine=machine, says=says, when=when), kind))
    for rows in parts:
        random.Random(seed).shuffle(rows)
    return parts


# %% A rate for each layer
# What lies next to the texts is general and changes little; what lies next to the answer changes most. Each step away
# from the answer multiplies the learning rate by the decay. Weights that are in no group, as the new dense layer's,
# have the full rate.
class ByLayer(keras.optimizers.Adam):
    """Adam with a factor of the learning rate for weights; `factors` has them by the ids of their variables."""

    def __init__(self, factors: dict[int, float], learning_rate: float) -> None:
        super().__init__(learning_rate)
        self.factors = factors.get

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate * self.factors(id(variable), 1.0))


# %% script
def run(
    model: str = "all_minilm_l6_v2",
    language: str = "en",
    trainable: str = "last:3",
    epochs: int = 4,
    learning_rate: float = 2e-4,
    decay: float = 0.8,
    seed: int = 1,
    plot: str | None = None,
) -> dict[str, object]:
    """Do it all. The steps are the cells of the notebook."""
    # %% Settings
    # `trainable` is "last:3" for the last three layers, or "all". For Chinese take model "bge_small_zh" and language
    # "zh". 2e-5 suits 12 layers.

    # %% notebook
    # model, language, trainable, plot = "all_minilm_l6_v2", "en", "last:3", "domain.png"
    # epochs, learning_rate, decay, seed = 4, 2e-4, 0.8, 1

    # %% Step 1: texts and a model
    train, test = (
        (tf.constant([text for text, _ in rows]), np.array([kind for _, kind in rows]))
        for rows in made_up(language, seed)
    )
    keras.utils.set_random_seed(seed)
    vectors = zoo.TextEncoder(model).keras_model()
    answers = keras.layers.Dense(len(KINDS), activation="softmax")(vectors.output)
    classifier = keras.Model(vectors.input, answers)
    encoder = [layer for layer in vectors.layers if isinstance(layer, zoo.KerasLayer)][-1]

    # %% Step 2: frozen
    # The dense layer alone learns, from vectors as they are.
    classifier.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])
    frozen = classifier.fit(*train, epochs=epochs, validation_data=test, verbose=2).history["val_accuracy"]

    # %% Step 3: a rate for each group of weights
    # `trainable` counts with the next compile. Frozen weights get no rate at all.
    encoder.trainable = True if trainable == "all" else trainable
    learning = {id(weight) for weight in encoder.trainable_weights}
    by_layer = encoder.weights_by_layer().items()
    groups = {name: learnt for name, all in by_layer if (learnt := [each for each in all if id(each) in learning])}
    factors = {}
    for depth, (name, weights) in enumerate(reversed(groups.items())):
        factors |= {id(weight.value): decay**depth for weight in weights}
        print(f"{name:<12} {len(weights):>3} weights, learning rate {learning_rate * decay**depth:.1e}")

    # %% Step 4: fine-tuned
    classifier.compile(ByLayer(factors, learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    tuned = classifier.fit(*train, epochs=epochs, validation_data=test, verbose=2).history["val_accuracy"]
    print(f"right about other machines: frozen {frozen[-1]:.0%}, fine-tuned {tuned[-1]:.0%}")

    # %% Step 5: the curve
    if plot:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots()
        axes.plot(range(1, 2 * epochs + 1), frozen + tuned, marker="o")
        axes.axvline(epochs + 0.5, color="grey")
        axes.set(xlabel=f"epoch (frozen | {trainable})", ylabel="accuracy, test texts", ylim=(0, 1.05))
        figure.savefig(plot, format="png")
    # %% script
    return {"frozen": frozen, "tuned": tuned, "groups": [*groups], "factors": [*factors.values()]}


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="all_minilm_l6_v2", help="a name, hub id, .tar.gz or directory")
    parser.add_argument("--language", choices=["en", "zh"], default="en", help="of the made-up notes")
    parser.add_argument("--trainable", default="last:3", help="last:N, pooler, or all")
    parser.add_argument("--epochs", type=int, default=4, help="frozen, and as many fine-tuned")
    parser.add_argument("--learning-rate", type=float, default=2e-4, help="of the last group; 2e-5 suits 12 layers")
    parser.add_argument("--decay", type=float, default=0.8, help="of the rate, each group further from the answer")
    parser.add_argument("--seed", type=int, default=1, help="of the notes' order, the dense layer and the training")
    parser.add_argument("--plot", metavar="PNG", help="draw the accuracy; needs matplotlib")
    run(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
