"""ONNX Runtime, on what PyTorch exports, with all of the session's own optimisations; in int8 by its own quantisation.

onnxruntime.transformers.optimizer and the older exporter were tried as well: neither made a difference on a CPU.
"""

from __future__ import annotations

import serve

# isort: split
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

NAMES = ("input_ids", "attention_mask", "token_type_ids")
OUTPUTS = ("sequence", "pooled")


class OnnxRuntime(serve.Model):
    distributions = ("onnxruntime", "torch", "transformers")

    def __init__(self, int8: bool = False) -> None:
        self._int8 = int8

    def prepare(self, source: Path, target: Path) -> None:
        _export(source / "transformers", target / "model.onnx")
        if self._int8:
            _quantize(target / "model.onnx")

    def load(self, directory: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = serve.THREADS
        file = str(directory / "model.onnx")
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def inputs(self, batch: np.ndarray) -> Any:
        return {name: array.astype(np.int64) for name, array in zip(NAMES, batch, strict=True)}

    def call(self, inputs: Any) -> Any:
        return self._session.run(None, inputs)

    def outputs(self, result: Any) -> dict[str, np.ndarray]:
        return dict(zip(OUTPUTS, result, strict=True))


def _export(source: Path, file: Path) -> None:
    import torch
    import transformers

    class Outputs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = transformers.AutoModel.from_pretrained(source).eval()

        def forward(self, ids: Any, mask: Any, types: Any) -> Any:
            result = self.model(input_ids=ids, attention_mask=mask, token_type_ids=types)
            return result.last_hidden_state, result.pooler_output

    example = torch.ones((2, 8), dtype=torch.int64)
    mask = torch.ones_like(example)
    mask[1, 4:] = 0  # of a mask without zeros the exporter concludes that there is none
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=512)}
    torch.onnx.export(
        Outputs(),
        (example, mask, torch.zeros_like(example)),
        file,
        input_names=NAMES,
        output_names=OUTPUTS,
        dynamic_shapes=(shape, shape, shape),
        dynamo=True,
        external_data=False,
    )


def _quantize(file: Path) -> None:
    """Replace the model by its dynamically quantised form, made as ONNX Runtime's documentation does."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    whole = file.with_name("whole.onnx")
    quant_pre_process(file, whole, skip_symbolic_shape=True)  # which it cannot infer of the new exporter
    quantize_dynamic(whole, file, weight_type=QuantType.QInt8, per_channel=True)
    whole.unlink()


if __name__ == "__main__":
    serve.serve(OnnxRuntime(**serve.SETTINGS))
