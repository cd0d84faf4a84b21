"""Chinese text classification on a model of the zoo: its weights frozen first, then fine-tuned.

    python examples/text_classification.py --task pairs
    python examples/text_classification.py --task single --keras 2 --jsonl train.jsonl dev.jsonl --plot curve.png

Lines of the files are {"sentence1": "…", "sentence2": "…", "label": "1"} (pairs, as in LCQMC) or {"sentence": "…",
"label": "1"}. Without files the texts are made up. Without trained models, on the random weights of the quick start:

    scripts/quickstart
    python examples/text_classification.py --registry dist/quickstart/registry.json --epochs 8
"""

# %% Before you begin
# Run `pip install '.[hf,fast,recipes]'` in a checkout. A model is built when its name is first used: for albert_tiny
# that fetches 16 MiB, with its tokenizer; after that no network is needed. ZOO_REGISTRY names another registry.
import importlib.util
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import zoo

zoo.import_tensorflow_quietly()  # so that no log lines hide what follows

import numpy as np
import tensorflow as tf
from pydantic import ValidationError, create_model

# %% Settings
# `task` is "pairs" or "single"; `keras` is 3, or 2 with tf_keras; `jsonl` may be two files, to train and to test with.

# %% notebook
# from types import SimpleNamespace
#
# settings = SimpleNamespace(
#     encoder="albert_tiny",
#     tokenizer="bert_tokenizer_chinese",
#     registry=None,
#     task="pairs",
#     jsonl=None,
#     keras=3,
#     epochs=5,
#     batch_size=64,
#     max_length=64,
#     learning_rate=1e-4,
#     seed=1,
#     save=None,
#     export="dist",
#     verbose=1,
# )


# %% script
def options() -> Any:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="albert_tiny", help="a name, URL, .tar.gz or unpacked directory")
    parser.add_argument("--tokenizer", default="bert_tokenizer_chinese", help="the same, of the encoder's vocabulary")
    parser.add_argument("--registry", metavar="PATH_OR_URL", help="another one than ZOO_REGISTRY or the packaged one")
    parser.add_argument("--task", choices=["pairs", "single"], default="pairs", help="two texts a row, or one")
    parser.add_argument("--jsonl", type=Path, nargs=2, metavar=("TRAIN", "TEST"), help="else the texts are made up")
    parser.add_argument("--keras", type=int, choices=[2, 3], default=3, help="2 is tf_keras with hub.KerasLayer")
    parser.add_argument("--epochs", type=int, default=5, help="frozen, and as many trainable")
    parser.add_argument("--batch-size", type=int, default=64, help="texts of one step; default %(default)s")
    parser.add_argument("--max-length", type=int, default=64, help="in tokens; longer texts are cut")
    parser.add_argument("--learning-rate", type=float, default=1e-4, help="3e-5 suits 12 layers")
    parser.add_argument("--seed", type=int, default=1, help="of the made up texts, the head and the order of training")
    parser.add_argument("--save", type=Path, metavar="DIR", help="keep the fine-tuned model there")
    parser.add_argument("--export", type=Path, metavar="DIR", help="make my_classifier.tar.gz there; Keras 3 alone")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the learning curve; needs matplotlib")
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    parser.set_defaults(verbose=1)
    return parser


# %% Texts that are made up
# Pairs of questions: are both about one subject? Reviews: are they praise? No word alone decides: for the first a model
# has to compare, for the second to see that 不 turns 好 and 坏 around. No text of the test is one to train with.
Row = tuple[tuple[str, ...], str]  # a text or a pair, and its label

WEATHER = ["下雨", "下雪", "大风", "太阳", "气温", "多云"]
FOOD = ["米饭", "面条", "水果", "牛肉", "鱼汤", "青菜"]
QUESTIONS = ["{}和{}呢？", "{}还是{}？", "说说{}和{}。", "有{}有{}吗？"]
THINGS = "这家店 这本书 这条路 这张画 那部电影 那件事 那首歌 这里的菜 他的手机 新来的老师 我们的房间 这次的服务"
PLAIN, NEGATED = ["很", "真", "非常", "特别"], ["不", "不算", "并不", "一点也不"]
GOOD, BAD = ["好", "棒", "美", "强"], ["坏", "差", "丑", "烂"]
ENDS = ["。", "！", "，真的。", "，你说呢？"]


def question_pair(rng: random.Random) -> Row:
    """Half of the pairs are about one subject, more of them about the weather than about food."""
    same = rng.random() < 0.5
    subjects = rng.choices([WEATHER, FOOD], [7, 3]) * 2 if same else rng.sample([WEATHER, FOOD], 2)
    return tuple(rng.choice(QUESTIONS).format(*rng.sample(words, 2)) for words in subjects), str(int(same))


def review(rng: random.Random) -> Row:
    """Half of the words are good ones; three in ten are negated."""
    good, negated = rng.random() < 0.5, rng.random() < 0.3
    parts = THINGS.split(), NEGATED if negated else PLAIN, GOOD if good else BAD, ENDS
    return ("".join(map(rng.choice, parts)),), str(int(good != negated))


def made_up(task: str, seed: int) -> list[Row]:
    rng, make = random.Random(seed), {"pairs": question_pair, "single": review}[task]
    return list(dict.fromkeys(make(rng) for _ in range(4000)))[:2000]  # all different


# %% Texts of a file
# One JSON object a line. All that is wrong with a file is said at once, with the numbers of the lines.
def read_jsonl(file: Path, task: str) -> list[Row]:
    texts = {"pairs": ("sentence1", "sentence2"), "single": ("sentence",)}[task]
    form = create_model("Line", **dict.fromkeys(texts, (str, ...)), label=(str | int, ...))
    try:
        lines = file.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")  # splitlines() also splits at U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise zoo.ZooError(f"{file} cannot be read: {error}.") from None
    rows: list[Row] = []
    problems = []
    for number, line in enumerate(lines, 1):
        try:
            record = form.model_validate_json(line).model_dump()
            rows.append((tuple(record[text] for text in texts), str(record["label"])))
        except ValidationError as error:
            first = error.errors()[0]
            where, what = "".join(map(str, first["loc"][:1])), first["msg"].partition(" at line 1 ")[0]
            problems.append(f"line {number}: {where} {what}".replace("  ", " "))
    if problems:
        some = "; ".join(problems[:8]) + "; …" * (len(problems) > 8)
        raise zoo.ZooError(f"{file}: {len(problems)} of {len(lines)} lines are not for --task {task}. {some}")
    return rows


# %% From texts to ids
# The tokenizer is a graph, so it is a step of tf.data: texts (B,) or pairs (B, 2) become a dict of three (B, T).
def dataset(
    rows: list[Row], classes: list[str], tokenizer: Any, max_length: int, batch_size: int, seed: int | None = None
) -> tf.data.Dataset:
    def ids(texts: tf.Tensor, label: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        return tokenizer.preprocess(texts, seq_length=max_length), label

    texts = tf.constant([texts if len(texts) == 2 else texts[0] for texts, _ in rows])
    data = tf.data.Dataset.from_tensor_slices((texts, [classes.index(label) for _, label in rows]))
    if seed is not None:
        data = data.shuffle(len(rows), seed=seed)
    return data.batch(batch_size).map(ids).prefetch(tf.data.AUTOTUNE)


# %% Frozen or trainable
# `trainable` takes effect with the next compile. A head alone bears a larger rate than a trained encoder.
def fit(
    keras: Any, model: Any, trainable: bool, train: tf.data.Dataset, test: tf.data.Dataset, settings: Any
) -> dict[str, list[float]]:
    model.get_layer("encoder").trainable = trainable
    optimizer = keras.optimizers.Adam(settings.learning_rate if trainable else 1e-3)
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    fitted = model.fit(
        train,
        validation_data=test,
        epochs=settings.epochs,
        verbose=settings.verbose,
        shuffle=False,  # the dataset does it
    )
    return dict(fitted.history)


# %% The learning curve
def plot(frozen: dict[str, list[float]], trainable: dict[str, list[float]], file: Path) -> Any:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    for key, style, label in (("accuracy", "--", "training data"), ("val_accuracy", "-", "test data")):
        curve = frozen[key] + trainable[key]
        axes.plot(range(1, len(curve) + 1), curve, style, marker="o", label=label)
    axes.axvline(len(frozen["accuracy"]) + 0.5, color="grey")
    axes.set(xlabel="epoch (frozen | trainable)", ylabel="accuracy", ylim=(0, 1.05))
    axes.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, format="png")
    plt.close(figure)
    return figure


# %% script
def run(settings: Any) -> dict[str, Any]:
    """Do it all, and return the accuracies. The steps are the cells of the notebook."""
    if settings.export and settings.keras == 2:
        raise zoo.ZooError("--export is of Keras 3: leave --keras 2 or --export away.")
    if settings.plot and not importlib.util.find_spec("matplotlib"):
        raise zoo.ZooError("--plot needs matplotlib: `pip install matplotlib`, or leave --plot away.")

    # %% Step 1: texts and labels
    # The seed fixes the texts, their order in training and the head's first weights: two runs give the same numbers.
    keras = importlib.import_module("keras" if settings.keras == 3 else "tf_keras")
    keras.utils.set_random_seed(settings.seed)
    rows = made_up(settings.task, settings.seed)
    train_rows, test_rows = rows[:1600], rows[1600:]
    if settings.jsonl:
        train_rows, test_rows = (read_jsonl(file, settings.task) for file in settings.jsonl)
    classes = sorted({label for _, label in train_rows + test_rows})

    # %% notebook
    # train_rows[:5]

    # %% Step 2: an encoder and its tokenizer
    # Found or downloaded, and checked. They have to be of one vocabulary: the ids of another mean other words.
    places = (zoo.path(name, registry=settings.registry) for name in (settings.encoder, settings.tokenizer))
    encoder_directory, tokenizer_directory = places
    both = zoo.TextEncoder(encoder_directory, tokenizer_directory)  # which compares them

    # %% Step 3: from texts to ids
    tokenizer = zoo.load(tokenizer_directory)
    length = min(settings.max_length, both.card.sizes.position_limit)
    train = dataset(train_rows, classes, tokenizer, length, settings.batch_size, settings.seed)
    test = dataset(test_rows, classes, tokenizer, length, settings.batch_size)

    # %% Step 4: the model
    # Keras 3 takes zoo.KerasLayer, tf_keras hub.KerasLayer, with the same arguments. All the rest is the same too.
    layer = (zoo if settings.keras == 3 else importlib.import_module("tensorflow_hub")).KerasLayer
    encoder = layer(str(encoder_directory), output_key="pooled_output", name="encoder")
    names = ("input_word_ids", "input_mask", "input_type_ids")
    inputs = {name: keras.Input([None], dtype="int32", name=name) for name in names}  # each (B, T)
    vectors = keras.layers.Dropout(0.1)(encoder(inputs))  # (B, H)
    model = keras.Model(inputs, keras.layers.Dense(len(classes), activation="softmax")(vectors))

    # %% Step 5: frozen, the head alone learns
    frozen = fit(keras, model, False, train, test, settings)
    _, frozen_accuracy = model.evaluate(test, verbose=0)

    # %% Step 6: trainable, everything learns
    trainable = fit(keras, model, True, train, test, settings)
    _, trainable_accuracy = model.evaluate(test, verbose=0)

    # %% Step 7: save, load again, compare
    # A .keras file of Keras 3 and a SavedModel directory of tf_keras are complete: they need neither archive nor cache.
    with tempfile.TemporaryDirectory() as work:
        path = Path(settings.save or work, "model.keras" if settings.keras == 3 else "model")
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
        loaded = keras.models.load_model(path)
    difference = float(np.max(np.abs(loaded.predict(test, verbose=0) - model.predict(test, verbose=0))))

    # %% Step 8: an archive of its own
    # Strings in, the label out, for anybody with TensorFlow. `zoo publish dist …` puts the directory online.
    archive = None
    if settings.export and settings.keras == 3:
        how = {"labels": classes, "tokenizer": tokenizer_directory, "max_length": length}
        archive = zoo.export(model, "my_classifier", settings.export, **how)

    # %% notebook
    # archive and zoo.load(archive)([list(texts) if len(texts) == 2 else texts[0] for texts, _ in test_rows[:3]])

    # %% Step 9: results
    # The majority class is the answer of someone who does not read the texts.
    train_labels, test_labels = ([label for _, label in rows] for rows in (train_rows, test_rows))
    majority = max(classes, key=train_labels.count)
    results = {
        "majority_class": test_labels.count(majority) / len(test_labels),
        "frozen": frozen_accuracy,
        "trainable": trainable_accuracy,
        "largest_difference_after_loading": difference,
        "archive": archive and str(archive),
        "history": {"frozen": frozen, "trainable": trainable},
    }

    # %% notebook
    # results

    # %% notebook
    # plot(frozen, trainable, Path("learning_curve.png"))

    # %% script
    if settings.plot:
        plot(frozen, trainable, settings.plot)
    if not difference <= 1e-6:
        raise zoo.ZooError(f"the loaded model's predictions differ by {difference}.")
    return results


def main(argv: list[str] | None = None) -> int:
    settings = options().parse_args(argv)
    settings.verbose = int(sys.stdout.isatty() and not settings.json)  # progress is for people
    try:
        results = run(settings)
    except zoo.ZooError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    if settings.json:
        print(json.dumps(results, indent=2))
        return 0
    print(f"{'ACCURACY':<16} {settings.task}")
    for name in ("trainable", "frozen", "majority_class"):
        print(f"{name.replace('_', ' '):<16} {results[name]:.1%}")
    if results["archive"]:
        print(f"archive          {results['archive']}")
    print(f"saved and loaded: predictions differ by {results['largest_difference_after_loading']:.0e} at most")
    return 0


if __name__ == "__main__":
    sys.exit(main())
