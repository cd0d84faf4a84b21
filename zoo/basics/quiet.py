"""Imports TensorFlow, and what imports it, without messages, so that they hide no result of a command or notebook."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def import_tensorflow_quietly() -> None:
    """Import tensorflow without the lines that it logs about missing GPUs and old dependencies; return nothing.

        import zoo

        zoo.import_tensorflow_quietly()

        import keras
        import tensorflow as tf  # logs nothing, because it was imported before

    Afterwards TensorFlow logs fatal errors alone, unless TF_CPP_MIN_LOG_LEVEL is set; exceptions are raised as ever.
    `zoo.load` and all else that needs TensorFlow import it like this too. Raises ImportError where it is missing.
    """
    with quiet_imports():
        import tensorflow  # noqa: F401


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Drop what imports in the block write to stderr, and their warnings: TensorFlow's, absl's, pkg_resources'.

    C++ code writes some of these messages before it reads any log level, so the file descriptor of stderr is
    redirected. Without a GPU it logs an error, so the level leaves out these, too, unless TF_CPP_MIN_LOG_LEVEL is set.
    Errors are not lost: they are Python exceptions.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
