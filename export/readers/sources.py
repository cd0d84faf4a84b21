"""Finds the main file of a checkpoint, chooses one of several, and knows the reader for each kind of file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from export.readers.config_file import listing
from export.readers.h5_file import H5File
from export.readers.keras_names import with_pytorch_names
from export.readers.protocol import Container, Format
from export.readers.safetensors_file import SafetensorsFile
from export.readers.sharded import Sharded
from export.readers.tf_bundle import TensorBundle
from export.readers.torch_file import TorchFile
from zoo.errors import BadCheckpoint

Open = Callable[[Path], Container]


def _open_h5(file: Path) -> Container:
    return with_pytorch_names(H5File(file))


# Ending of a main file -> the code base whose names it has, and the reader. The first ending that fits counts.
_ENDINGS: Mapping[str, tuple[Format, Open]] = {
    ".safetensors.index.json": ("huggingface", partial(Sharded, open_shard=SafetensorsFile)),
    ".bin.index.json": ("huggingface", partial(Sharded, open_shard=TorchFile)),
    ".safetensors": ("huggingface", SafetensorsFile),
    ".bin": ("huggingface", TorchFile),
    ".h5": ("huggingface", _open_h5),
    ".index": ("tf1", TensorBundle),
}
# Repositories on the Hugging Face hub often hold the same weights in several formats: the first of these is read.
_PREFERRED = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
)
_NO_WEIGHTS = {"training_args.bin", "optimizer.bin", "scheduler.bin"}  # files that a trainer writes beside weights
_LOOKED_FOR = f"*.index, {', '.join(_PREFERRED)} and one other *.bin"
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class MainFile:
    """The file by which a checkpoint is opened, such as bert_model.ckpt.index or model.safetensors."""

    file: Path
    format: Format
    opener: Open
    facts: tuple[str, ...] = ()

    def open(self) -> Container:
        """Return the variables of the checkpoint. Raises BadCheckpoint."""
        try:
            with self.file.open("rb") as file:
                is_pointer = file.read(len(_LFS_POINTER)) == _LFS_POINTER
        except OSError as error:
            raise BadCheckpoint(f"{self.file} cannot be read: {error.strerror or error}.") from None
        if is_pointer:
            raise BadCheckpoint(f"{self.file} is a git-lfs pointer, not the weights. Run `git lfs pull` there.")
        return self.opener(self.file)


def find_main_file(path: Path) -> MainFile:
    """Return the main file of a checkpoint. `path` is a directory, the main file itself or a TF prefix.

    Raises BadCheckpoint when there is none, or when there are several that are not one model in several formats.
    """
    try:
        if path.is_dir():
            return _choose(path)
        file = path if path.is_file() or not path.name else path.with_name(f"{path.name}.index")
        found = file.is_file()
    except (OSError, ValueError) as error:  # for example a name that is too long for the file system
        raise BadCheckpoint(f"no checkpoint at {str(path)[:200]!r}: {error}.") from None
    if not found:
        raise BadCheckpoint(
            f"no checkpoint at {path}: it is neither a directory, nor a file, nor the prefix of an .index file."
        )
    main = _main(file)
    if main is None:
        raise BadCheckpoint(f"{path} is not the main file of a checkpoint: those end in {', '.join(_ENDINGS)}.")
    return main


def folders_with_a_checkpoint(folder: Path) -> list[Path]:
    """Return the directories in and below `folder` that hold a main file."""
    folders = sorted({folder, *(path for path in folder.rglob("*") if path.is_dir())})
    return [each for each in folders if _candidates(each)]


def _choose(folder: Path) -> MainFile:
    found = _candidates(folder)
    if not found:
        raise BadCheckpoint(f"no checkpoint in {folder}: looked for {_LOOKED_FOR}, found {listing(folder)}.")
    chosen, *others = found
    if others and not all(file.name in _PREFERRED for file in found):
        last = max(found, key=lambda file: [int(number) for number in re.findall(r"\d+", file.name)])
        raise BadCheckpoint(
            f"several checkpoints in {folder}: {', '.join(file.name for file in found)}. Give the path of one instead "
            f"of the directory, such as `{shlex.quote(str(last))}`."
        )
    beside = " and ".join(file.name for file in others)
    main = _main(chosen, (f"{chosen.name} was read, not {beside} beside it",) if beside else ())
    assert main is not None  # every candidate ends in one of _ENDINGS
    return main


def _candidates(folder: Path) -> list[Path]:
    """Return every file in a directory that may be a main file, the preferred ones first."""
    preferred = [folder / name for name in _PREFERRED if (folder / name).is_file()]
    other = [] if preferred else [file for file in _files(folder, "*.bin") if file.name not in _NO_WEIGHTS]
    return [*_files(folder, "*.index"), *preferred, *other]


def _files(folder: Path, pattern: str) -> list[Path]:
    return [file for file in sorted(folder.glob(pattern)) if file.is_file()]  # a pipe would block for ever on opening


def _main(file: Path, facts: tuple[str, ...] = ()) -> MainFile | None:
    """Return the main file with its reader, or None if its ending is not one of _ENDINGS."""
    for ending, (format, opener) in _ENDINGS.items():
        if file.name.endswith(ending):
            return MainFile(file, format, opener, facts)
    return None
