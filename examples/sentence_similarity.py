"""Vectors of sentences with one archive and nothing but TensorFlow: strings in, vectors out, cosine similarity.

python examples/sentence_similarity.py URL
"""

import sys

import tensorflow_hub as hub

SENTENCES = [
    "A man is playing a guitar.",
    "Someone is making music on a guitar.",
    "The stock market fell sharply today.",
    "Shares lost a lot of value this afternoon.",
    "Bake the bread for forty minutes.",
]
PARAPHRASES = [(0, 1), (2, 3)]

embed = hub.load(sys.argv[1])
vectors = embed(SENTENCES).numpy()  # of length 1, so that a product of two is their cosine similarity
print("vectors", vectors.shape)
similarity = vectors @ vectors.T

print("\ncosine similarity")
for i, sentence in enumerate(SENTENCES):
    print(f"  {i}  " + "  ".join(f"{value:5.2f}" for value in similarity[i]) + f"   {sentence}")

pairs = sorted(((similarity[i, j], i, j) for i in range(len(SENTENCES)) for j in range(i)), reverse=True)
closest = {(j, i) for _, i, j in pairs[: len(PARAPHRASES)]}
print("\nclosest pairs:", ", ".join(f"{j} and {i} ({value:.2f})" for value, i, j in pairs[: len(PARAPHRASES)]))
if closest != set(PARAPHRASES):
    sys.exit(f"the paraphrases {PARAPHRASES} should be the closest pairs, found {sorted(closest)}")
