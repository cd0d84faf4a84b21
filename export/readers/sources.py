"""Finds the main file of a checkpoint, chooses one of several, and knows the reader for each kind of file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from export.readers.config_file import listing
from export.readers.h5_file import H5File
from export.readers.keras_names import NO_NUMBERED, with_pytorch_names, with_pytorch_names_of_shards
from export.readers.not_read import found_instead, paths_to_give
from export.readers.protocol import Container, Format
from export.readers.safetensors_file import SafetensorsFile
from export.readers.sharded import Sharded
from export.readers.tf_bundle import TensorBundle
from export.readers.torch_file import TorchFile
from zoo.errors import BadCheckpoint, Unsupported

SAVED_MODEL = "saved_model.pb"
Open = Callable[[Path], Container]


def _open_h5(file: Path) -> Container:
    return with_pytorch_names(H5File(file))


def _open_sharded_h5(index: Path) -> Container:
    # The index names a variable tf_bert_model/bert/…, the shard bert/….
    return with_pytorch_names_of_shards(Sharded(index, H5File, lambda name: name.partition("/")[2]))


def _open_saved_model(graph: Path) -> Container:
    """Return the variables of a SavedModel, or of a module of TF-Hub for TensorFlow 1. The graph itself is not read."""
    return TensorBundle(graph.parent / "variables" / "variables.index")


def _refuse_keras(file: Path) -> Container:
    raise Unsupported(f"{file} is a model of Keras 3. {NO_NUMBERED}")


# Ending of a main file -> the code base whose names it has, and the reader. The first ending that fits counts.
_ENDINGS: Mapping[str, tuple[Format, Open]] = {
    ".safetensors.index.json": ("huggingface", partial(Sharded, open_shard=SafetensorsFile)),
    ".bin.index.json": ("huggingface", partial(Sharded, open_shard=TorchFile)),
    ".h5.index.json": ("huggingface", _open_sharded_h5),
    ".safetensors": ("huggingface", SafetensorsFile),
    ".bin": ("huggingface", TorchFile),
    ".pt": ("huggingface", TorchFile),
    ".pth": ("huggingface", TorchFile),
    ".ckpt": ("huggingface", TorchFile),  # TensorFlow's have no file of this name, but NAME.ckpt.index
    ".h5": ("huggingface", _open_h5),
    ".keras": ("huggingface", _refuse_keras),
    ".index": ("tf1", TensorBundle),
    SAVED_MODEL: ("tf1", _open_saved_model),
}
# Repositories on the Hugging Face hub often hold the same weights in several formats: the first of these is read.
_PREFERRED = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
    "tf_model.h5.index.json",
)
# Files that end as weights do and hold something else: files of a trainer, graphs of other runtimes.
_NO_WEIGHTS = (
    "training_args.bin",
    "optimizer*.*",
    "scheduler*.*",
    "scaler*.*",
    "sampler*.*",
    "rng_state*.*",
    "*_optim_states.pt",
    "openvino_*.bin",
    "adapter_*.*",
)
_SHARD = "*-[0-9]*-of-[0-9]*.*"  # model-00001-of-00002.safetensors, which its index names
_OTHERS = ", ".join(f"*{ending}" if ending.startswith(".") else ending for ending in _ENDINGS)
_LOOKED_FOR = f"*.index, {', '.join(_PREFERRED)} and one other {_OTHERS}"
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class MainFile:
    """The file by which a checkpoint is opened, such as bert_model.ckpt.index or model.safetensors."""

    file: Path
    format: Format
    opener: Open
    facts: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The directory with config and vocabulary: that of the file, or the one where SavedModels have them.

        TF-Hub has the vocabulary in assets/. transformers writes NAME/config.json and NAME/saved_model/1.
        """
        own = self.file.parent
        if self.file.name == SAVED_MODEL:
            beside = [own / "assets", *(own.parents[1:2] if own.parent.name == "saved_model" else ())]
            return next((each for each in (own, *beside) if _has_vocabulary(each)), own)
        return own

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
    """Return the directories in and below `folder` that hold a main file, without those below another one of them.

    A directory of sentence-transformers holds the weights of a dense layer in a directory of its own, 2_Dense.
    """
    found: list[Path] = []
    for each in sorted({folder, *(path for path in folder.rglob("*") if path.is_dir())}):
        if _candidates(each) and not any(other in each.parents for other in found):
            found.append(each)
    return found


def _choose(folder: Path) -> MainFile:
    found = _candidates(folder)
    if not found:
        raise BadCheckpoint(f"no checkpoint in {folder}: {_next_move(folder)}")
    chosen, *others = found
    if others and not all(file.name in _PREFERRED for file in found):
        raise BadCheckpoint(
            f"several checkpoints in {folder}: {', '.join(file.name for file in found)}. Give the path of one instead "
            f"of the directory: {paths_to_give(found)}."
        )
    beside = " and ".join(file.name for file in others)
    main = _main(chosen, (f"{chosen.name} was read, not {beside} beside it",) if beside else ())
    assert main is not None  # every candidate ends in one of _ENDINGS
    return main


def _next_move(folder: Path) -> str:
    """Return what to do with a directory without a checkpoint: take one below it, or what its files need."""
    # A folder of checkpoint-500 and the like, or of the Hugging Face cache: snapshots/0123abcd. No deeper: it may be /.
    below = [each for depth in ("*", "*/*") for each in sorted(folder.glob(depth))]
    if held := [each for each in below if _is_folder_with_a_checkpoint(each)]:
        return f"one lies in a directory below. Give its path instead: {paths_to_give(held)}."
    if instead := found_instead(folder):
        return instead
    return f"looked for {_LOOKED_FOR}, found {listing(folder)}."


def _is_folder_with_a_checkpoint(path: Path) -> bool:
    try:
        return path.is_dir() and bool(_candidates(path))
    except OSError:  # it belongs to somebody else
        return False


def _candidates(folder: Path) -> list[Path]:
    """Return every file in a directory that may be a main file, the preferred ones first."""
    preferred = [folder / name for name in _PREFERRED if (folder / name).is_file()]
    other = [] if preferred else [file for file in _files(folder, "*") if _may_hold_weights(file)]
    return [*_files(folder, "*.index"), *preferred, *other]


def _may_hold_weights(file: Path) -> bool:
    """Return whether a file that has no name of its own may hold weights: "best.pt" may, "optimizer.pt" does not."""
    is_other = any(fnmatchcase(file.name, pattern) for pattern in (*_NO_WEIGHTS, _SHARD, "*.index"))
    return file.name.endswith(tuple(_ENDINGS)) and not is_other


def _has_vocabulary(folder: Path) -> bool:
    return any(_files(folder, pattern) for pattern in ("vocab*.txt", "*.model", "tokenizer.json", "config.json"))


def _files(folder: Path, pattern: str) -> list[Path]:
    return [file for file in sorted(folder.glob(pattern)) if file.is_file()]  # a pipe would block for ever on opening


def _main(file: Path, facts: tuple[str, ...] = ()) -> MainFile | None:
    """Return the main file with its reader, or None if its ending is not one of _ENDINGS."""
    for ending, (format, opener) in _ENDINGS.items():
        if file.name.endswith(ending):
            return MainFile(file, format, opener, facts)
    return None
