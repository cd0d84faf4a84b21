"""Vectors of texts without TensorFlow: the ONNX form of a text archive, run by onnxruntime.

    from zoo.lite import TextEncoder
    vectors = TextEncoder("bge_small_zh")(["你好"])  # or the directory of `zoo convert bge_small_zh --to onnx`

`help(zoo.lite.TextEncoder)` says more. docs/lite.md has the environment, of less than 200 MiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.basics.extras import imported

if TYPE_CHECKING:
    from zoo.lite.encoder import TextEncoder as TextEncoder

PACKAGES = "onnxruntime tokenizers numpy tqdm"  # not the extra itself, with which pip would install TensorFlow too


def __getattr__(name: str) -> Any:
    if name != "TextEncoder":
        raise AttributeError(f"module 'zoo.lite' has no attribute {name!r}")
    value = globals()[name] = imported("zoo.lite.encoder", "zoo.lite", "lite", PACKAGES).TextEncoder
    return value
