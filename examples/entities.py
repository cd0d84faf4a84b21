"""Sequence labelling: an encoder learns to find names, places and dates, and answers texts as an archive.

python examples/entities.py --out dist
python examples/entities.py --encoder bert --epochs 3 --learning-rate 3e-5
"""

# %% Before you begin
# Run `pip install '.[hf,fast]'` in a checkout. A model is built when its name is first used: for albert_tiny that
# fetches 16 MiB, with its tokenizer, whose vocabulary has English too; after that no network is needed.
import random

import zoo

zoo.import_tensorflow_quietly()  # so that no log lines hide what follows

import keras
import numpy as np
import tensorflow as tf

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-DATE", "I-DATE"]

# %% Texts that are made up, with their entities
# A text is put together from a frame and names, names from syllables. An entity is a part of it: (start, limit, kind)
# in characters.
FRAMES = [
    "{PER}在{LOC}工作。|{DATE}，{PER}到了{LOC}。|我{DATE}见过{PER}。|{LOC}很大，{PER}住在那里。|听说{PER}和{PER}去了{LOC}。",
    "{PER} works in {LOC}.|On {DATE} {PER} came to {LOC}.|I met {PER} on {DATE}.|{LOC} is big, and {PER} lives there.",
]
MONTHS = ["may", "june", "july", "march"]
PARTS = {
    "PER": ["王李张刘陈赵 明华丽强芳伟", "ann tom ben lea kim sam la ri no mo"],
    "LOC": ["南东新长平安 山江海州城湾", "north west port lake hill ville ton field"],
}


def made_up(count: int, seed: int) -> list[tuple[str, list[tuple[int, int, str]]]]:
    """Return different texts, half of each language, each with its entities: (start, limit, kind) in characters."""
    rng, found = random.Random(seed), {}
    while len(found) < count:
        language = rng.randrange(2)
        text, places, frame = "", [], rng.choice(FRAMES[language].split("|"))
        for piece in frame.replace("{", "}").split("}"):
            if piece == "DATE":
                day, month = rng.randint(1, 28), rng.randint(1, 12)
                word = f"{month}月{day}日" if language == 0 else f"{day} {MONTHS[month % 4]}"
            elif piece in PARTS:
                words = PARTS[piece][language].split()
                word = "".join(map(rng.choice, [*words, words[-1]])) if language == 0 else "".join(rng.sample(words, 2))
            else:
                text += piece
                continue
            places.append((len(text), len(text) + len(word), piece))
            text += word
        found.setdefault(text, places)
    return list(found.items())


# %% From entities to a label for each token
# The tokenizer says where in the text a piece lies. B- begins an entity, I- goes on, O is none; [CLS], [SEP] and
# padding count for nothing, which -1 says to the loss.
def labels_of(tokenizer, rows, length: int) -> np.ndarray:
    """Return the numbers of the labels, (N, length) int32."""
    labels = np.full((len(rows), length), -1, np.int32)
    pieces = zoo.pieces_of(tokenizer, [text for text, _ in rows])
    for row, (_, places), of_text in zip(labels, rows, pieces, strict=True):
        for number, piece in enumerate(of_text[: length - 2], 1):  # number 0 is [CLS]
            row[number] = 0
            for start, limit, kind in places:
                if start <= piece.start < limit:
                    row[number] = LABELS.index(f"{'B' if piece.start == start else 'I'}-{kind}")
    return labels


# %% script
def run(
    encoder: str = "albert_tiny",
    tokenizer: str = "bert_tokenizer_chinese",
    count: int = 1000,
    epochs: int = 5,
    learning_rate: float = 2e-4,
    seed: int = 1,
    out: str = "dist",
) -> dict[str, object]:
    """Do it all. The steps are the cells of the notebook."""
    # %% Settings
    # The tokenizer is that of the encoder's vocabulary; `zoo info NAME` names it. 3e-5 suits 12 layers.

    # %% notebook
    # encoder, tokenizer, out = "albert_tiny", "bert_tokenizer_chinese", "dist"
    # count, epochs, learning_rate, seed = 1000, 5, 2e-4, 1

    # %% Step 1: texts and their labels
    length = 64  # tokens, [CLS] and [SEP] too
    rows = made_up(count, seed)
    train, test = rows[count // 5 :], rows[: count // 5]
    texts, labels = tf.constant([text for text, _ in train]), labels_of(zoo.load(tokenizer), train, length)

    # %% Step 2: the model
    # Strings in, for each token the chances of the labels out: (B, T, labels).
    keras.utils.set_random_seed(seed)
    text = keras.Input([], dtype="string")
    tokens = zoo.KerasLayer(tokenizer, endpoint="preprocess", arguments={"seq_length": length})(text)
    states = zoo.KerasLayer(encoder, trainable=True)(tokens)["sequence_output"]  # (B, T, H)
    chances = keras.layers.Dense(len(LABELS), activation="softmax")(keras.layers.Dropout(0.1)(states))
    model = keras.Model(text, chances)

    # %% Step 3: learn
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
    model.compile(keras.optimizers.Adam(learning_rate), loss)
    history = model.fit(texts, labels, epochs=epochs, verbose=2).history["loss"]

    # %% Step 4: an archive of its own
    # It needs TensorFlow alone, and joins tokens to entities by itself. `zoo publish` puts the directory online.
    archive = zoo.export(model, "my_entities", out, labels=LABELS)

    # %% Step 5: entities out
    # `start` and `limit` are bytes of UTF-8; `zoo.character_offsets` makes places in Python's strings of them.
    unseen = [text for text, _ in test]
    answer = zoo.load(archive)(unseen)
    kinds = answer["label"].to_list()
    starts, limits = (zoo.character_offsets(unseen, answer[name]) for name in ("start", "limit"))
    found = []
    for text, *entities in zip(unseen, kinds, starts, limits, strict=True):
        found.append({(kind.decode(), text[start:limit]) for kind, start, limit in zip(*entities, strict=True)})
    for (text, _), entities in list(zip(test, found, strict=True))[:6]:
        print(text, *sorted(entities))

    # %% Step 6: how many are right
    wanted = [{(kind, text[start:limit]) for start, limit, kind in places} for text, places in test]
    right = sum(len(ours & theirs) for ours, theirs in zip(found, wanted, strict=True))
    f1 = 2 * right / sum(map(len, found + wanted))
    print(f"F1 of {sum(map(len, wanted))} entities in {len(test)} other texts: {f1:.1%}")
    # %% script
    return {"f1": f1, "loss": history, "archive": archive, "found": found}


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="albert_tiny", help="a name, hub id, .tar.gz or directory")
    parser.add_argument("--tokenizer", help="the same, of the encoder's vocabulary; of a name the registry knows it")
    parser.add_argument("--count", type=int, default=1000, help="how many texts; a fifth is for the test")
    parser.add_argument("--epochs", type=int, default=5, help="rounds over the texts; default %(default)s")
    parser.add_argument("--learning-rate", type=float, default=2e-4, help="default %(default)s; 3e-5 suits 12 layers")
    parser.add_argument("--seed", type=int, default=1, help="of texts, the last layer and the order of training")
    parser.add_argument("--out", default="dist", metavar="DIR", help="where my_entities.tar.gz is made")
    given = parser.parse_args()
    try:
        given.tokenizer = given.tokenizer or zoo.info(given.encoder).tokenizer
    except zoo.UnknownModel as error:
        parser.error(f"{error} For what is no name, give --tokenizer too.")
    run(**vars(given))


if __name__ == "__main__":
    main()
