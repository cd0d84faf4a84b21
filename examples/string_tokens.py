"""Text to vectors in three lines: the tokenizer gives string tokens, the encoder takes them.

python examples/string_tokens.py ENCODER_URL TOKENIZER_URL
"""

import sys

import tensorflow_hub as hub
import tensorflow_text  # noqa: F401  (registers the operations of the tokenizer)

encoder_url, tokenizer_url = sys.argv[1:]

albert = hub.load(encoder_url)
tokenizer = hub.load(tokenizer_url)
out = albert(tokenizer(["你好"]))
assert out["sequence_output"].shape == (1, 2, 312)
assert out["pooled_output"].shape == (1, 312)

print("tokens         ", [token.decode() for token in tokenizer(["你好"]).numpy()[0]])
print("sequence_output", tuple(out["sequence_output"].shape))
print("pooled_output  ", tuple(out["pooled_output"].shape))
