"""From a path to a Checkpoint. Every other file of this folder knows one format, or one step of finding the files."""

from __future__ import annotations

import re
import shutil
import weakref
from pathlib import Path

from export.readers.archive import is_archive, unpack_checkpoint
from export.readers.config_file import find_config, read_json
from export.readers.keras_layers import understood_as_bert4keras
from export.readers.model_garden import understood_as_model_garden
from export.readers.object_names import understood_as_keras_objects
from export.readers.own_archive import is_own_archive, open_own_archive
from export.readers.protocol import MOST_VARIABLES, Checkpoint, Container, OpenedCheckpoint
from export.readers.renamed import RenamedVariables
from export.readers.sentence_transformers import module_folders, transformer_folder
from export.readers.sources import MainFile, find_main_file, folders_with_a_checkpoint
from export.readers.uer import understood_as_uer
from zoo.errors import BadCheckpoint

# Code bases whose names are shown as others: each function changes the checkpoints of its own and returns all others.
_CODE_BASES = (understood_as_bert4keras, understood_as_keras_objects, understood_as_model_garden, understood_as_uer)
_LONGEST_NAME = 500
_PRINTABLE = re.compile(r"[^\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def open_checkpoint(path: Path, config: Path | None = None, work: Path | None = None) -> Checkpoint:
    """Return the checkpoint of a directory, an archive, a main file or a TF prefix. Only names and shapes are read yet.

        checkpoint = open_checkpoint(Path("chinese_L-12_H-768_A-12.zip"))
        checkpoint.shapes["bert/pooler/dense/kernel"]  # (768, 768)

    A .zip or .tar.gz is unpacked to a temporary directory (inside `work`, if given), which is removed when the
    checkpoint object is. The `checkpoint` file that TensorFlow writes is never read: archives ship one with the paths
    of another machine.
    Raises BadCheckpoint (no checkpoint, several, or a damaged one), BadConfig or Unsupported.
    """
    if is_archive(path):
        return _open_archive(path, config, work)
    return _open(find_main_file(transformer_folder(path)), config, work)


def _open(
    main: MainFile, config: Path | None, work: Path | None = None, archive: Path | None = None
) -> OpenedCheckpoint:
    container = main.open()
    _check_names(main, container)
    if is_own_archive(main.file.parent):
        return open_own_archive(main.file.parent, container, work, archive)
    config_file = config or find_config(main.folder, above=archive is None)
    checkpoint = OpenedCheckpoint(
        format=main.format,
        path=main.folder,
        config=read_json(config_file),
        files=(*((archive,) if archive else ()), config_file, *container.files),
        container=container,
        stored=container.stored if isinstance(container, RenamedVariables) else container,
        facts=(*main.facts, *container.facts),
    )
    for understood in _CODE_BASES:
        checkpoint = understood(checkpoint)
    return checkpoint


def _check_names(main: MainFile, container: Container) -> None:
    """Refuse too many names, long names and names with control characters.

    Names are printed, written into cards and matched with patterns, so a stranger's names must be harmless text.
    """
    if (count := len(container.shapes)) > MOST_VARIABLES:
        raise BadCheckpoint(f"{main.file} holds {count:,} variables; at most {MOST_VARIABLES:,} are read.")
    odd = [name for name in container.shapes if len(name) > _LONGEST_NAME or not _PRINTABLE.fullmatch(name)]
    if odd:
        shown = ", ".join(ascii(name[:80]) for name in odd[:5])
        raise BadCheckpoint(
            f"{main.file} holds {len(odd):,} names with control characters or of more than {_LONGEST_NAME} characters: "
            f"{shown}."
        )


def _open_archive(archive: Path, config: Path | None, work: Path | None) -> Checkpoint:
    unpacked = unpack_checkpoint(archive, work)
    try:
        folders = _without_modules(folders_with_a_checkpoint(unpacked))
        if len(folders) > 1:
            names = ", ".join(str(folder.relative_to(unpacked)) for folder in folders)
            raise BadCheckpoint(f"several checkpoints in {archive}: {names}. Unpack it and give the path of one.")
        main = find_main_file(transformer_folder(folders[0] if folders else unpacked))
        checkpoint = _open(main, config, work, archive)
    except BaseException:
        shutil.rmtree(unpacked.parent, ignore_errors=True)
        raise
    weakref.finalize(checkpoint, shutil.rmtree, unpacked.parent, ignore_errors=True)
    return checkpoint


def _without_modules(folders: list[Path]) -> list[Path]:
    """Return folders without those of the modules of sentence-transformers: 2_Dense holds weights, but no checkpoint.

    The folder of the Transformer stays, since that is the checkpoint.
    """
    roots = {*folders, *(folder.parent for folder in folders)}
    modules = {module for root in roots for module in module_folders(root) if module != transformer_folder(root)}
    return [folder for folder in folders if folder not in modules]
