"""Ours: an archive that `zoo export` wrote, loaded with tensorflow_hub; trained in a Keras 3 or a Keras 2 layer."""

from __future__ import annotations

import serve

# isort: split
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
from tf_common import TensorFlowModel, TensorFlowTrainer

import zoo
from zoo.archive.digests import sha256_of
from zoo.archive.unpack import unpack
from zoo.fetching.resolve import resolve
from zoo.loading.verify import verify

NAME = "model"


class Ours(TensorFlowModel):
    distributions = ("tensorflow", "tensorflow-hub")

    def __init__(self, export: Sequence[str] = (), layer: str = "zoo.KerasLayer", trainable: bool | str = True) -> None:
        self._export = export
        self._layer = layer
        self._trainable = trainable

    def prepare(self, source: Path, target: Path) -> None:
        self.export(str(source), str(target))
        unpack(target / f"{NAME}.tar.gz", target / "saved_model")

    def load(self, directory: Path) -> None:
        self._encode = hub.load(str(directory / "saved_model"))

    def trainer(self, source: Path, directory: Path, head: np.ndarray) -> serve.Trainer:
        path = str(directory / "saved_model")
        if self._layer == "zoo.KerasLayer":
            import keras

            if not hasattr(zoo, "KerasLayer"):
                raise NotImplementedError("zoo has no KerasLayer")
            layer = zoo.KerasLayer(path, trainable=self._trainable)
        else:
            import tf_keras as keras

            layer = hub.KerasLayer(path, trainable=self._trainable)
        pooled = lambda inputs, training: layer(inputs, training=training)["pooled_output"]  # noqa: E731
        return TensorFlowTrainer(pooled, layer.trainable_variables, head, keras)

    # -- what no other worker is asked --------------------------------------------------------------------------------

    def export(self, source: str, target: str) -> dict[str, Any]:
        """Return the seconds of `zoo export`, size and digest of what it wrote."""
        command = [sys.executable, "-m", "zoo", "export", f"{source}/checkpoint", "--name", NAME, "--out", target]
        started = time.perf_counter()
        done = subprocess.run([*command, "--heads", "none", *self._export], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        seconds = time.perf_counter() - started
        archive = Path(target) / f"{NAME}.tar.gz"
        return {"seconds": seconds, "bytes": archive.stat().st_size, "sha256": sha256_of(archive)}

    def check_in(self, archive: str, sha256: str, scratch: str) -> dict[str, float]:
        """Return the seconds of digests and unpacking, which every archive goes through once, and of `zoo verify`."""
        os.environ["ZOO_CACHE"] = f"{scratch}/cache"
        started = time.perf_counter()
        directory = resolve(archive, sha256=sha256)
        unpacked = time.perf_counter()
        verify(directory)
        verified = time.perf_counter()
        shutil.rmtree(os.environ.pop("ZOO_CACHE"))
        return {"unpack": unpacked - started, "verify": verified - unpacked}

    def gemm(self, rows: int, inner: int, columns: int, dtype: str) -> dict[str, float]:
        """Return the rate of one matrix product, in GFLOP/s."""
        a, b = (tf.cast(tf.random.normal(shape), dtype) for shape in ((rows, inner), (inner, columns)))
        product = tf.function(lambda: tf.matmul(a, b))
        return {"gflops": serve.gemm_rate(product, rows * inner * columns)}


serve.serve(Ours(**serve.SETTINGS))
