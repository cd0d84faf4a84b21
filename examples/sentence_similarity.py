"""Sentence embeddings with two archives and nothing but TensorFlow: mean pooling over the mask, cosine similarity.

python examples/sentence_similarity.py ENCODER_URL PREPROCESS_URL
"""

import sys

import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401  (registers the operations of the tokenizer)

SENTENCES = [
    "A man is playing a guitar.",
    "Someone is making music on a guitar.",
    "The stock market fell sharply today.",
    "Shares lost a lot of value this afternoon.",
    "Bake the bread for forty minutes.",
]
PARAPHRASES = [(0, 1), (2, 3)]

encoder_url, preprocess_url = sys.argv[1:]
preprocess, encoder = hub.load(preprocess_url), hub.load(encoder_url)

inputs = preprocess(tf.constant(SENTENCES))
outputs = encoder(inputs)
print("sequence_output", tuple(outputs["sequence_output"].shape))
print("pooled_output  ", tuple(outputs["pooled_output"].shape))

# Padded positions of sequence_output are zero, so a plain sum over tokens is a sum over the real ones.
lengths = tf.reduce_sum(tf.cast(inputs["input_mask"], tf.float32), axis=1, keepdims=True)
vectors = tf.math.l2_normalize(tf.reduce_sum(outputs["sequence_output"], axis=1) / lengths, axis=1)
similarity = tf.matmul(vectors, vectors, transpose_b=True).numpy()

print("\ncosine similarity")
for i, sentence in enumerate(SENTENCES):
    print(f"  {i}  " + "  ".join(f"{value:5.2f}" for value in similarity[i]) + f"   {sentence}")

pairs = sorted(((similarity[i, j], i, j) for i in range(len(SENTENCES)) for j in range(i)), reverse=True)
closest = {(j, i) for _, i, j in pairs[: len(PARAPHRASES)]}
print("\nclosest pairs:", ", ".join(f"{j} and {i} ({value:.2f})" for value, i, j in pairs[: len(PARAPHRASES)]))
if closest != set(PARAPHRASES):
    sys.exit(f"the paraphrases {PARAPHRASES} should be the closest pairs, found {sorted(closest)}")
