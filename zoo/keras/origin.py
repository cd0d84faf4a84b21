"""Remembers where the SavedModel of a Keras layer came from, and loads it again: from a config, the cache or a path."""

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

from zoo.archive.card import Card, EncoderSizes, ModelCard, read_card
from zoo.archive.digests import check_files, sha256_of
from zoo.archive.pack import pack
from zoo.archive.unpack import unpack
from zoo.basics.urls import local_path, offline, shown
from zoo.contract import CARD_FILE
from zoo.errors import BadArchive, CannotLoad, DownloadFailed, ZooError, first_line
from zoo.fetching.places import cache_directory
from zoo.fetching.resolve import resolve
from zoo.keras.config import origin_config
from zoo.loading.load import Loaded, load_checked, load_found, prepare
from zoo.safety import GRAPH_FILE

_GRAPH_LIMIT = 1 << 28  # bytes after unpacking, a hundred times those of this zoo's graphs


@dataclass(frozen=True)
class Origin:
    """The handle of a SavedModel, and its whole content without the weights. The config of a layer holds an Origin.

    `graph` is a tar.gz of saved_model.pb and the card, about 300 KB. Together with the weights that Keras saves it is
    complete, without archive and cache. (Keras can also save "assets" of a layer, but loads them only after it has
    rebuilt the model from its config, and for that the layer needs its graph.)

    A config alone, of `to_json`, `get_config` or a copied layer, has no weights. If Keras loads none, they are read
    from the first of these that exists: the directory of the cache that the archive's sha256 names; the handle, if it
    is a directory with exactly this card; the handle, if it is a local archive with this sha256. Nothing is downloaded
    for a config, because anybody may have written it: run `zoo fetch NAME` first.
    """

    handle: str
    name: str
    digest: str | None  # sha256 of the archive; None when the handle is a directory outside of the cache
    graph: bytes = field(repr=False)

    @classmethod
    def of(cls, directory: Path, handle: str) -> Origin:
        """Return the origin of the unpacked archive that `handle` means."""
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
        """Return the fields as JSON values, for Keras; `graph` is a text in base64."""
        return asdict(self) | {"graph": base64.b64encode(self.graph).decode("ascii")}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Origin:
        """Return the origin that a file records. Raises BadConfig with everything that is wrong in it."""
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
        """Return the path that the handle means, whether it exists or not; None for a URL or a network share."""
        try:
            path = local_path(self.handle)
        except ValueError:  # a malformed URL
            return None
        return None if path is None or PureWindowsPath(str(path)).drive.startswith("\\\\") else path.absolute()

    def place(self) -> Path | None:
        """Return a directory that has the weights, in the cache or the handle itself; None if there is none."""
        place = cache_directory() / self.digest if self.digest else self.local()
        return place if place and self.is_at(place) else None

    def is_at(self, directory: Path) -> bool:
        """Return whether a directory has exactly this card, which states the sha256 of every file."""
        card = directory / CARD_FILE
        with self.unpacked() as graph:
            own = (graph / CARD_FILE).read_bytes() if (graph / CARD_FILE).is_file() else None
        try:
            return own is not None and card.is_file() and card.stat().st_size == len(own) and card.read_bytes() == own
        except OSError:
            return False


@dataclass(frozen=True)
class Opened:
    """A loaded SavedModel. Without `has_values`, its variables exist and are not initialised."""

    object: Any
    origin: Origin | None = None
    card: Card | None = None
    has_values: bool = True

    @property
    def name(self) -> str:
        return self.card.name if self.card else "the loaded object"

    @property
    def sizes(self) -> EncoderSizes | None:
        return self.card.sizes if isinstance(self.card, ModelCard) else None


def opened(handle: Any, **how: Any) -> Opened:
    """Return the model that a handle means: name, URL, archive, directory, a config's origin, or a loaded object.

    `how` are `registry`, `sha256` and `allow_unverified` of `zoo.load`. Raises the errors of `zoo.load`.
    """
    if isinstance(handle, str | Path):
        with _no_scope():
            found = load_found(handle, **how)
        return Opened(found.loaded, Origin.of(found.path, str(handle)), found.card)
    if isinstance(handle, Loaded):
        known = Origin.of(handle.path, str(handle.path)) if handle.path.is_dir() else None
        return Opened(handle.loaded, known, handle.card)
    if isinstance(handle, Origin):
        with _checked_graph(handle) as (graph, card):  # even if the whole model is on disk: a changed graph is refused
            return _from_place(handle) or _without_values(handle, graph, card)
    return Opened(handle)


def variables_of(loaded: Any) -> dict[str, Any]:
    """Return name -> variable of a loaded object, always in the same order: "a.kernel", and "a.kernel#1" if it repeats.

    Names have '.' for '/'.
    """
    import tensorflow as tf

    found: dict[str, Any] = {}
    for value in tf.train.TrackableView(loaded).descendants():
        if isinstance(value, tf.Variable):
            name = value.name.partition(":")[0].replace("/", ".")
            count = sum(other.partition("#")[0] == name for other in found)
            found[f"{name}#{count}" if count else name] = value
    return found


def fill_variables(variables: Mapping[str, Any], origin: Origin) -> None:
    """Assign the archive's value to every variable that has none, if the archive is on this machine.

    Raises BadArchive if the archive was moved or changed, DownloadFailed if it would have to be downloaded.
    """
    with _no_scope():
        empty = {name: variable for name, variable in variables.items() if not variable.is_initialized()}
        if not empty:
            return
        try:
            values = variables_of((_from_place(origin) or _from_archive(origin)).object)
        except ZooError as error:
            raise type(error)(f"the config of {origin.name} holds no weights. {error}") from error
        for name, variable in empty.items():
            variable.assign(values[name])


def _from_place(origin: Origin) -> Opened | None:
    """Load the model from the cache or from the directory that is the handle; None if it is not there or damaged."""
    try:
        return _checked(place, origin) if (place := origin.place()) else None
    except (ZooError, OSError):  # damaged
        return None


def _from_archive(origin: Origin) -> Opened:
    """Load the model from the local archive that is the handle. Raises the error that names the next move."""
    path = origin.local()
    if path and path.is_file() and sha256_of(path) == origin.digest:
        with offline():
            return _checked(resolve(path), origin)  # resolve asks for a signature if a key is trusted
    if path and path.exists():
        raise BadArchive(f"{path} is not {origin.name} any more: it is another model, or damaged.")
    if path and (path.suffix or len(Path(origin.handle).parts) > 1):
        raise BadArchive(f"{origin.handle} is not there any more: put it back, or load the weights that Keras saved.")
    raise DownloadFailed(
        f"Nothing is downloaded for a config. Run `zoo fetch {shlex.quote(origin.handle)}` first (its archive must be "
        f"sha256 {str(origin.digest)[:12]}…), or load the weights that Keras saved."
    )


def _checked(directory: Path, origin: Origin) -> Opened:
    """Load a directory after comparing every file with its card. Opens no socket."""
    if not origin.is_at(directory):
        raise BadArchive(f"{directory} is not the {origin.name} of the config: it has another card.")
    card = read_card(directory)
    with _no_scope():
        return Opened(load_checked(directory, card), origin, card)


@contextmanager
def _checked_graph(origin: Origin) -> Iterator[tuple[Path, Card]]:
    """Yield the unpacked graph and card of a config, after checking that the graph only computes and fits the card."""
    with origin.unpacked() as graph:
        with _named(graph):
            card = read_card(graph)
            prepare(graph, card)
            files = {name: digest for name, digest in card.files.items() if name == GRAPH_FILE}
            check_files(graph, card.model_copy(update={"files": files}))
            if card.name != origin.name:
                raise BadArchive(f"the config says {origin.name}, the graph in it is {card.name}.")
        yield graph, card


def _without_values(origin: Origin, graph: Path, card: Card) -> Opened:
    """Load the graph alone; its variables get no values."""
    import tensorflow as tf

    options = tf.saved_model.LoadOptions(experimental_skip_checkpoint=True)
    try:
        with _no_scope():
            return Opened(tf.saved_model.load(str(graph), options=options), origin, card, has_values=False)
    except Exception as error:  # whatever TensorFlow raises about a SavedModel
        raise CannotLoad(f"{card.name} does not load from its config: {first_line(error)}") from error


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Replace the path of a temporary file in errors by "the config's graph"."""
    try:
        yield
    except BadArchive as error:
        raise BadArchive(str(error).replace(str(path), "the config's graph")) from None


@contextmanager
def _no_scope() -> Iterator[None]:
    """Leave the function that is being traced, and name scopes, which would become part of variables' names."""
    import tensorflow as tf

    with tf.init_scope(), tf.name_scope(""):
        yield
