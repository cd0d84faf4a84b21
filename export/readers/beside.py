"""Names the files in a checkpoint's directory that no reader reads, and says why some could change the model's numbers.

An export says nothing of a file without meaning for the numbers, such as README.md; `zoo inspect` names the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

# Files that other programs obey when they load the same directory -> the meaning. Names are compared in lower case.
_COULD_CHANGE: Mapping[str, str] = {
    "adapter_config.json": "a PEFT adapter, which transformers adds to the weights",
    "adapter_model.*": "a PEFT adapter, which transformers adds to the weights",
    "modeling_*.py": "code of the repository's own model",
    "quantize_config.json": "the weights may be quantised",
    "quantization_config.json": "the weights may be quantised",
    "colbert_linear.*": "a layer behind the encoder, which is not exported",
    "sparse_linear.*": "a layer behind the encoder, which is not exported",
}
# Files that readers read, formats of the same weights, and files that training and people leave.
_HARMLESS = (
    *("*.index", "*.data-*-of-*", "*.meta", "*.safetensors", "*.bin", "*.h5", "*.pt", "*.pth", "*.ckpt", "*.msgpack"),
    *("*.onnx", "*.ot", "*.index.json", "checkpoint", "graph.pbtxt", "events.out.tfevents.*"),
    *("vocab*", "*.vocab", "tokenizer*", "added_tokens.json", "special_tokens_map.json", "merges.txt", "*.model"),
    *("modules.json", "sentence_*_config.json", "config_sentence_transformers.json", "*config.json"),
    *("*.md", "license*", "notice*", "readme*", "changelog*", ".*", "*.png", "*.jpg", "*.pdf", "*.csv", "*.py"),
    *("trainer_state.json", "*results*.json", "*metrics*.json", "*args.json", "rng_state*", "*.log", "latest"),
)


@dataclass(frozen=True)
class Beside:
    """The files that were not read: those that could change the numbers, with the reason; and unknown ones."""

    could_change: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = [f"not read: {name} ({reason})" for name, reason in self.could_change.items()]
        shown = ", ".join(self.unknown[:8]) + (", …" if len(self.unknown) > 8 else "")
        return "\n".join([*named, *([f"not read, unknown: {shown}"] if shown else [])])


def files_beside(folder: Path) -> Beside:
    """Return the files in a checkpoint's directory that no reader reads and that are not known to be harmless.

    files_beside(Path("bge-m3")).could_change  # {"colbert_linear.pt": "a layer behind the encoder, …"}
    """
    names = sorted(file.name for file in folder.iterdir() if file.is_file())
    found = {name: _match(name, _COULD_CHANGE) for name in names}
    could_change = {name: _COULD_CHANGE[pattern] for name, pattern in found.items() if pattern}
    return Beside(could_change, tuple(n for n in names if n not in could_change and not _match(n, _HARMLESS)))


def beside_notes(folder: Path) -> list[str]:
    """Return the sentences that a card states about the files that could change the numbers."""
    return [f"{name} beside the weights was not read: {why}" for name, why in files_beside(folder).could_change.items()]


def _match(name: str, patterns: Mapping[str, str] | tuple[str, ...]) -> str | None:
    return next((pattern for pattern in patterns if fnmatch(name.lower(), pattern)), None)
