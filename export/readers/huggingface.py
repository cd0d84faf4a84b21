"""Hugging Face directories: config.json and model.safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from export.readers.protocol import Format, Shape
from zoo.errors import BadCheckpoint, ZooError


class SafetensorsCheckpoint:
    """One model.safetensors; names are transformers', kernels are stored [out, in]."""

    format: Format = "huggingface"

    def __init__(self, weights: Path, config: Mapping[str, Any], config_file: Path) -> None:
        try:
            import safetensors
        except ImportError:
            raise ZooError("reading model.safetensors needs the extra 'hf': pip install 'bert-zoo[hf]'.") from None
        self.path, self.config = weights.parent, config
        self.files = (config_file, weights)
        try:
            self._file = safetensors.safe_open(weights, framework="numpy")
        except (safetensors.SafetensorError, OSError) as error:
            raise BadCheckpoint(f"{weights} cannot be read: {error}. Fetch it again.") from None
        self.shapes: Mapping[str, Shape] = {
            name: tuple(self._file.get_slice(name).get_shape()) for name in sorted(self._file.keys())
        }

    def read(self, name: str) -> np.ndarray:
        value: np.ndarray = self._file.get_tensor(name)
        return value
