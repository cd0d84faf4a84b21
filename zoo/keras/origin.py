"""Where the SavedModel of a Keras layer came from, and how it is had again: from its config, the cache, a path."""

from __future__ import annotations

import base64
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

from zoo.archive.card import Card, EncoderCard, EncoderSizes, read_card
from zoo.archive.digests import check_files, sha256_of
from zoo.archive.pack import pack
from zoo.archive.unpack import unpack
from zoo.basics.urls import local_path, offline, shown
from zoo.contract import CARD_FILE
from zoo.errors import BadArchive, CannotLoad, DownloadFailed, ZooError, first_line
from zoo.fetching.cache import cache_directory
from zoo.fetching.resolve import resolve
from zoo.keras.config import origin_config
from zoo.loading.load import Loaded, load_checked, load_found, prepare
from zoo.safety import GRAPH_FILE

_GRAPH_LIMIT = 1 << 28  # bytes unpacked: a hundred times what ours have


@dataclass(frozen=True)
class Origin:
    """Where a SavedModel is to be had, and all of it but its weights: what the config of a layer holds.

    `graph` is a tar.gz of saved_model.pb and the card, some 300 KB. With it a model that Keras saved, which brings the
    weights, needs neither archive nor cache. (The assets of Keras' saving protocol would not do: a layer is given them
    after its model was rebuilt from the config, and for that the graph has to be there.)

    A config alone, of `to_json`, `get_config` or a copied layer, has no weights. They are taken, when they are needed
    and Keras has not loaded any, from the cache, where the archive's digest names the directory; from the directory
    that is the handle, if its card is the very one; or from the local archive that is the handle, if it has the digest.
    Nothing is downloaded for a config, which anybody may have written: `zoo fetch NAME` first.
    """

    handle: str
    name: str
    digest: str | None  # sha256 of the archive; None when the handle is a directory outside of the cache
    graph: bytes = field(repr=False)

    @classmethod
    def of(cls, directory: Path, handle: str) -> Origin:
        """Return what is kept of the unpacked archive that `handle` means."""
        digest = directory.name if directory.parent == cache_directory() else None
        with tempfile.TemporaryDirectory() as work:
            kept, packed = Path(work, "kept"), Path(work, "graph.tar.gz")
            for name in (GRAPH_FILE, CARD_FILE):
                (kept / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(directory / name, kept / name)
            pack(kept, packed)
            handle = handle if local_path(handle) else shown(handle)
            return cls(handle, read_card(directory).name, digest, packed.read_bytes())

    def get_config(self) -> dict[str, Any]:
        """Return what JSON can hold; Keras asks for it."""
        return asdict(self) | {"graph": base64.b64encode(self.graph).decode("ascii")}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Origin:
        """Return the origin that a file records. Raises BadConfig, which lists all that is wrong with it."""
        found = origin_config(config)
        return cls(found.handle, found.name, found.digest, found.graph)

    @contextmanager
    def unpacked(self) -> Iterator[Path]:
        """Yield a directory with the graph and the card, for as long as the block runs."""
        with tempfile.TemporaryDirectory() as work:
            packed = Path(work, "graph.tar.gz")
            packed.write_bytes(self.graph)
            with _named(packed):
                unpack(packed, Path(work, "graph"), limit=_GRAPH_LIMIT)
            yield Path(work, "graph")

    def local(self) -> Path | None:
        """Return the path, there or not, that the handle means on this machine; None for a URL or a network share."""
        try:
            path = None if self.handle.startswith("zoo://") else local_path(self.handle)
        except ValueError:  # a URL that is none
            return None
        return None if path is None or PureWindowsPath(str(path)).drive.startswith("\\\\") else path.absolute()

    def place(self) -> Path | None:
        """Return the directory with the weights that is there already: in the cache, or the handle itself."""
        place = cache_directory() / self.digest if self.digest else self.local()
        return place if place and self.is_at(place) else None

    def is_at(self, directory: Path) -> bool:
        """True when a directory has the very card, which states the digest of every file."""
        card = directory / CARD_FILE
        with self.unpacked() as graph:
            own = (graph / CARD_FILE).read_bytes() if (graph / CARD_FILE).is_file() else None
        try:
            return own is not None and card.is_file() and card.stat().st_size == len(own) and card.read_bytes() == own
        except OSError:
            return False


@dataclass(frozen=True)
class Opened:
    """A loaded SavedModel. Without `has_values` its variables are there and nothing is in them."""

    object: Any
    origin: Origin | None = None
    card: Card | None = None
    has_values: bool = True

    @property
    def name(self) -> str:
        return self.card.name if self.card else "the loaded object"

    @property
    def sizes(self) -> EncoderSizes | None:
        return self.card.sizes if isinstance(self.card, EncoderCard) else None


def opened(handle: Any, **how: Any) -> Opened:
    """Return the model that a handle means: name, URL, archive, directory, a config's origin, or a loaded object.

    `how` are `registry`, `sha256` and `allow_unverified` of `zoo.load`, whose errors are raised.
    """
    if isinstance(handle, str | Path):
        with _no_scope():
            directory, card, loaded = load_found(handle, **how)
        return Opened(loaded, Origin.of(directory, str(handle)), card)
    if isinstance(handle, Loaded):
        known = Origin.of(handle.path, str(handle.path)) if handle.path.is_dir() else None
        return Opened(handle.loaded, known, handle.card)
    if isinstance(handle, Origin):
        with _checked_graph(handle) as (graph, card):  # also where a whole model is there: a changed config is refused
            return _from_place(handle) or _without_values(handle, graph, card)
    return Opened(handle)


def variables_of(loaded: Any) -> dict[str, Any]:
    """Return name -> variable of all that a loaded object holds, '.' for '/', in the same order at each loading."""
    import tensorflow as tf

    found: dict[str, Any] = {}
    for value in tf.train.TrackableView(loaded).descendants():
        if isinstance(value, tf.Variable):
            name = value.name.partition(":")[0].replace("/", ".")
            count = sum(other.partition("#")[0] == name for other in found)
            found[f"{name}#{count}" if count else name] = value
    return found


def fill_variables(variables: Mapping[str, Any], origin: Origin) -> None:
    """Give every variable without a value the one that it has in the archive, if that is on this machine.

    Raises BadArchive when it is no longer where it was, DownloadFailed when it would have to be downloaded.
    """
    with _no_scope():
        empty = {name: variable for name, variable in variables.items() if not variable.is_initialized()}
        if not empty:
            return
        try:
            values = variables_of((_from_place(origin) or _from_archive(origin)).object)
        except ZooError as error:
            raise type(error)(f"a config of {origin.name} has its graph and not its weights. {error}") from error
        for name, variable in empty.items():
            variable.assign(values[name])


def _from_place(origin: Origin) -> Opened | None:
    try:
        return _checked(place, origin) if (place := origin.place()) else None
    except (ZooError, OSError):  # damaged
        return None


def _from_archive(origin: Origin) -> Opened:
    path = origin.local()
    if path and path.is_file() and sha256_of(path) == origin.digest:
        with offline():
            return _checked(resolve(path), origin)  # a trusted key wants its signature, whatever the config says
    if path and path.exists():
        raise BadArchive(f"{origin.handle} was {origin.name} once; {path} is another model, or is damaged.")
    if path and (path.suffix or len(Path(origin.handle).parts) > 1):
        raise BadArchive(f"{origin.handle} is not there any more: put it back, or load the weights that Keras saved.")
    raise DownloadFailed(
        f"Nothing is downloaded for a config: `zoo fetch {shlex.quote(origin.handle)}` first, if it is sha256 "
        f"{str(origin.digest)[:12]}… still, or load the weights that Keras saved."
    )


def _checked(directory: Path, origin: Origin) -> Opened:
    """Return the model of a directory, every file of it compared with its card. Opens no socket."""
    if not origin.is_at(directory):
        raise BadArchive(f"{directory} is not the {origin.name} that its config is of.")
    card = read_card(directory)
    with _no_scope():
        return Opened(load_checked(directory, card), origin, card)


@contextmanager
def _checked_graph(origin: Origin) -> Iterator[tuple[Path, Card]]:
    """Yield the unpacked graph of a config, which only computes and is the one that its card is of."""
    with origin.unpacked() as graph:
        with _named(graph):
            card = read_card(graph)
            prepare(graph, card)
            files = {name: digest for name, digest in card.files.items() if name == GRAPH_FILE}
            check_files(graph, card.model_copy(update={"files": files}))
            if card.name != origin.name:
                raise BadArchive(f"the config is of {origin.name}, the graph in it of {card.name}.")
        yield graph, card


def _without_values(origin: Origin, graph: Path, card: Card) -> Opened:
    import tensorflow as tf

    options = tf.saved_model.LoadOptions(experimental_skip_checkpoint=True)
    try:
        with _no_scope():
            return Opened(tf.saved_model.load(str(graph), options=options), origin, card, has_values=False)
    except Exception as error:  # whatever TensorFlow raises about a SavedModel
        raise CannotLoad(f"{card.name} does not load from its config: {first_line(error)}") from error


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let errors about a file that is there for a moment say where its bytes came from."""
    try:
        yield
    except BadArchive as error:
        raise BadArchive(str(error).replace(str(path), "the config's graph")) from None


@contextmanager
def _no_scope() -> Iterator[None]:
    """Out of any function that is being traced, and of name scopes, which would become part of variables' names."""
    import tensorflow as tf

    with tf.init_scope(), tf.name_scope(""):
        yield
