"""Where the SavedModel of a Keras layer came from, and how it is had again: from its config, the cache, the network."""

from __future__ import annotations

import base64
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zoo.archive import pack, unpack
from zoo.card import EncoderCard, TokenizerCard, read_card
from zoo.contract import CARD_FILE
from zoo.errors import BadArchive, CannotLoad, ZooError, first_line
from zoo.loading import checked_model, load_directory, prepare
from zoo.model import Model
from zoo.safety import GRAPH_FILE
from zoo.store import cache_directory

_GRAPH_LIMIT = 1 << 30  # bytes; TensorFlow's own limit is twice this


@dataclass(frozen=True)
class Origin:
    """Where a SavedModel is to be had, and all of it but its weights: what the config of a layer holds.

    `graph` is a tar.gz of saved_model.pb and the card, some 300 KB. With it a model that Keras saved, which brings the
    weights, needs neither archive nor cache. (The assets of Keras' saving protocol would not do: a layer is given them
    after its model was rebuilt from the config, and for that the graph has to be there.)
    """

    handle: str
    name: str
    digest: str | None  # sha256 of the archive; None when the handle is a directory outside of the cache
    registry: str | None
    graph: bytes = field(repr=False)

    @classmethod
    def of(cls, directory: Path, handle: str, registry: str | None) -> Origin:
        """Return what is kept of the unpacked archive that `handle` means."""
        digest = directory.name if directory.parent == cache_directory() else None
        with tempfile.TemporaryDirectory() as work:
            kept, packed = Path(work, "kept"), Path(work, "graph.tar.gz")
            for name in (GRAPH_FILE, CARD_FILE):
                (kept / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(directory / name, kept / name)
            pack(kept, packed)
            return cls(handle, read_card(directory).name, digest, registry, packed.read_bytes())

    def get_config(self) -> dict[str, Any]:
        """Return what JSON can hold; Keras asks for it."""
        return asdict(self) | {"graph": base64.b64encode(self.graph).decode("ascii")}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Origin:
        return cls(**{**config, "graph": base64.b64decode(config["graph"], validate=True)})

    @contextmanager
    def unpacked(self) -> Iterator[Path]:
        """Yield a directory with the graph and the card, for as long as the block runs."""
        with tempfile.TemporaryDirectory() as work:
            packed = Path(work, "graph.tar.gz")
            packed.write_bytes(self.graph)
            unpack(packed, Path(work, "graph"), limit=_GRAPH_LIMIT)
            yield Path(work, "graph")

    def place(self) -> Path | None:
        """Return the directory with the weights where no network is needed: in the cache, or the handle itself."""
        place = cache_directory() / self.digest if self.digest else Path(self.handle)
        return place if self.is_at(place) else None

    def is_at(self, directory: Path) -> bool:
        """True when a directory has the very card, which states the digest of every file."""
        with self.unpacked() as graph:
            card = directory / CARD_FILE
            return card.is_file() and card.read_bytes() == (graph / CARD_FILE).read_bytes()


@dataclass(frozen=True)
class Opened:
    """A loaded SavedModel. Without `has_values` its variables are there and nothing is in them."""

    object: Any
    origin: Origin | None = None
    card: EncoderCard | TokenizerCard | None = None
    has_values: bool = True

    @property
    def name(self) -> str:
        return self.card.name if self.card else "the loaded object"

    @property
    def layers(self) -> int | None:
        return self.card.sizes.layers if isinstance(self.card, EncoderCard) else None


def opened(handle: Any, **how: Any) -> Opened:
    """Return the model that a handle means: name, URL, archive, directory, a config's origin, or a loaded object.

    `how` are `registry`, `sha256` and `allow_unverified` of `zoo.load`, whose errors are raised.
    """
    if isinstance(handle, str | Path):
        directory, card = checked_model(handle, **how)
        registry = how.get("registry")
        place = str(getattr(registry, "place", registry)) if registry else None
        return _loaded(directory, card, Origin.of(directory, str(handle), place))
    if isinstance(handle, Model):
        known = Origin.of(handle.path, str(handle.path), None) if handle.path.is_dir() else None
        return Opened(handle.loaded, known, handle.card)
    if isinstance(handle, Origin):
        return _from_place(handle) or _without_values(handle)
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


def fill(variables: Mapping[str, Any], origin: Origin) -> None:
    """Give every variable without a value the one that it has in the archive, wherever that is to be had by now."""
    with _no_scope():
        empty = {name: variable for name, variable in variables.items() if not variable.is_initialized()}
        if not empty:
            return
        try:
            values = variables_of((_from_place(origin) or _from_handle(origin)).object)
        except ZooError as error:
            raise type(error)(f"a config of {origin.name} has its graph and not its weights. {error}") from error
        for name, variable in empty.items():
            variable.assign(values[name])


def _loaded(directory: Path, card: EncoderCard | TokenizerCard, origin: Origin) -> Opened:
    with _no_scope():
        return Opened(load_directory(directory, card.name, card.needs), origin, card)


def _from_place(origin: Origin) -> Opened | None:
    try:
        return _loaded(*checked_model(place), origin) if (place := origin.place()) else None
    except ZooError:  # damaged
        return None


def _from_handle(origin: Origin) -> Opened:
    directory, card = checked_model(origin.handle, registry=origin.registry, sha256=origin.digest)
    if not origin.is_at(directory):
        raise BadArchive(f"{origin.handle} was {origin.name} once; {directory} is another model.")
    return _loaded(directory, card, origin)


def _without_values(origin: Origin) -> Opened:
    import tensorflow as tf

    with origin.unpacked() as graph, _no_scope():
        card = read_card(graph)
        prepare(graph, card)
        options = tf.saved_model.LoadOptions(experimental_skip_checkpoint=True)
        try:
            return Opened(tf.saved_model.load(str(graph), options=options), origin, card, has_values=False)
        except Exception as error:  # whatever TensorFlow raises about a SavedModel
            raise CannotLoad(f"{card.name} does not load from its config: {first_line(error)}") from error


@contextmanager
def _no_scope() -> Iterator[None]:
    """Out of any function that is being traced, and of name scopes, which would become part of variables' names."""
    import tensorflow as tf

    with tf.init_scope(), tf.name_scope(""):
        yield
