"""TensorFlow without its greeting, for commands whose stderr people read."""

from __future__ import annotations

import os
import sys
import warnings


def import_tensorflow_quietly() -> None:
    """Import TensorFlow and its hub; what they say of missing GPUs and of their own dependencies is dropped.

    Some of it is written by C++ before any log level is read, hence the file descriptor. Errors are Python's and are
    raised as always.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow  # noqa: F401
            import tensorflow_hub  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
