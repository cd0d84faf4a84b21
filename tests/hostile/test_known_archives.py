"""The tables of zoo.safety.written are what today's exporter writes; whatever more they hold has a reason here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, saved_model_pb2, trackable_object_graph_pb2

from export.saved_model.root import write_saved_model
from tests.export.conftest import VOCABULARY, made_half, write_odd
from tests.once import made_once
from tests.zoo.toyzoo import ToyZoo
from tokenizer.module import Tokenizer
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import Vocabulary
from zoo.archive.card import read_card
from zoo.safety import ALLOWED_OPS, GRAPH_FILE, check_ops, written
from zoo.safety.form import bodies

BEFORE_2026 = "archives that were made before calls forgot the machine have it"
SURPLUS_FIELDS = {
    "ConfigProto.device_count": BEFORE_2026,
    "ConfigProto.gpu_options": BEFORE_2026,
    "ConfigProto.experimental": BEFORE_2026,
    "ConfigProto.pluggable_device_options": BEFORE_2026,
    "GPUOptions.experimental": BEFORE_2026,
}


@pytest.fixture(scope="module")
def directories(toy_zoo: ToyZoo, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One archive of each kind: with heads; recomputing, in bfloat16; each tokenizer, one with tokens in texts."""
    odd = made_once(tmp_path_factory, "odd", lambda place: write_odd(place, slots=True))
    found = [toy_zoo.unpacked(name) for name in ("toy", "toy_tokenizer", "toy_tokenizer_preprocess")]
    found.append(made_half(odd, tmp_path_factory) / "odd")
    for directory in found:
        assert check_ops(directory, read_card(directory))
    rules, cased = TokenizerRules.original(lower_case=False), tmp_path_factory.mktemp("cased") / "model"
    write_saved_model(lambda: Tokenizer(Vocabulary(tuple(VOCABULARY)), rules, special_tokens_in_text=True), cased)
    return [*found, cased]


@pytest.fixture(scope="module")
def models(directories: list[Path]) -> list[Any]:
    return [saved_model_pb2.SavedModel.FromString((each / GRAPH_FILE).read_bytes()) for each in directories]


@pytest.fixture(scope="module")
def object_graphs(directories: list[Path]) -> list[Any]:
    """The message that lies among the weights and says which of them is which object's."""
    readers = [tf.train.load_checkpoint(str(each / "variables" / "variables")) for each in directories]
    graphs = [reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH") for reader in readers]
    return [trackable_object_graph_pb2.TrackableObjectGraph.FromString(each) for each in graphs]


def _messages(message: Any) -> Iterator[Any]:
    """Yield a message and all messages in it; those that are opaque, and not what is in them."""
    yield message
    if message.DESCRIPTOR.full_name.removeprefix("tensorflow.") in written.OPAQUE:
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        is_map = field.message_type.GetOptions().map_entry
        if is_map and field.message_type.fields_by_name["value"].message_type is None:
            continue
        for part in value.values() if is_map else value if field.is_repeated else [value]:
            yield from _messages(part)


def test_fields(models: list[Any], object_graphs: list[Any]) -> None:
    found: dict[str, set[str]] = defaultdict(set)
    configs = [
        config_pb2.ConfigProto.FromString(node.attr["config_proto"].s)
        for model in models
        for _, nodes in bodies(model.meta_graphs[0])
        for node in nodes
        if "config_proto" in node.attr
    ]
    for model in [*models, *configs, *object_graphs]:
        for message in _messages(model):
            name = message.DESCRIPTOR.full_name.removeprefix("tensorflow.")
            found[name].update(field.name for field, _ in message.ListFields())
    for name in (*written.OPAQUE, "AttrValue"):  # which are looked at otherwise
        found.pop(name, None)
    assert {f"{name}.{field}" for name, fields in found.items() for field in fields} <= _pairs(written.FIELDS)
    _compare(
        _pairs(written.FIELDS), {f"{n}.{field}" for n, fields in found.items() for field in fields}, SURPLUS_FIELDS
    )


def _pairs(table: Mapping[str, Any]) -> set[str]:
    return {f"{name}.{field}" for name, fields in table.items() for field in fields}


def _compare(table: set[str], found: set[str], surplus: Mapping[str, str]) -> None:
    """The table is what is found and what a reason is given for; no reason is given for what is found."""
    assert found <= table
    assert table - found == set(surplus)
    assert all(surplus.values())


def test_attributes(models: list[Any]) -> None:
    nodes, functions, arguments = set(), set(), set()
    for model in models:
        for _, body in bodies(model.meta_graphs[0]):
            nodes |= {name for node in body for name in node.attr if name.startswith("_")}
        for function in model.meta_graphs[0].graph_def.library.function:
            functions |= {*function.attr}
            arguments |= {name for each in function.arg_attr.values() for name in each.attr}
    _compare({*written.NODE_ATTRIBUTES}, nodes, {"_collective_manager_ids": BEFORE_2026})
    _compare({*written.FUNCTION_ATTRIBUTES}, functions, {})
    _compare({*written.ARGUMENT_ATTRIBUTES}, arguments, {})


def test_objects(models: list[Any]) -> None:
    children: dict[str, set[str]] = defaultdict(set)
    for model in models:
        for each in model.meta_graphs[0].object_graph_def.nodes:
            kind = each.WhichOneof("kind")
            kind = each.user_object.identifier if kind == "user_object" else kind
            children[kind].update(child.local_name for child in each.children)
            assert each.registered_name in written.REGISTERED.get(kind, {""})
    _compare({*written.CHILDREN}, {*children}, {})


def test_types(models: list[Any]) -> None:
    found: set[int] = set()
    for model in models:
        for message in _messages(model):
            for field, value in message.ListFields():
                if field.enum_type is not None and field.enum_type.name == "DataType":
                    found.update(value if field.is_repeated else [value])
    _compare(
        {*written.TYPES.values()},
        {written.TYPES[number] for number in found},
        {"half": "weights may be stored in float16"},
    )


def test_names(models: list[Any]) -> None:
    graphs = [model.meta_graphs[0] for model in models]
    assert {tuple(graph.meta_info_def.tags) for graph in graphs} == {written.TAGS}
    _compare({*written.SIGNATURES}, {name for graph in graphs for name in graph.signature_def}, {})
    assert {name for graph in graphs for name in graph.collection_def} == {written.INIT_COLLECTION}
    devices = {node.device for graph in graphs for _, nodes in bodies(graph) for node in nodes}
    _compare({*written.DEVICES}, devices, {})


def test_files(toy_zoo: ToyZoo) -> None:
    names: set[str] = set()
    folders: set[str] = set()
    for name in ("toy", "toy_tokenizer"):
        paths = [*toy_zoo.unpacked(name).rglob("*")]
        names |= {path.relative_to(toy_zoo.unpacked(name)).as_posix() for path in paths if path.is_file()}
        folders |= {path.relative_to(toy_zoo.unpacked(name)).as_posix() for path in paths if path.is_dir()}
    _compare({*written.FILES}, names, {})
    _compare({*written.FOLDERS}, folders, {})


def test_operations_of_archives_are_a_part_of_those_that_are_allowed(models: list[Any]) -> None:
    """The list holds relatives too, so that a later exporter may use them; none of them reaches files."""
    found = {node.op for model in models for _, nodes in bodies(model.meta_graphs[0]) for node in nodes}
    assert found <= ALLOWED_OPS and len(found) > 100


def test_bounds_leave_room(models: list[Any]) -> None:
    """What is bounded is far from what we write."""
    for model in models:
        graph = model.meta_graphs[0]
        assert sum(len(nodes) for _, nodes in bodies(graph)) < 10_000
        assert max(len(node.name) for _, nodes in bodies(graph) for node in nodes) < 300
        assert Path(GRAPH_FILE).name == "saved_model.pb" and model.ByteSize() * 20 < written.MOST_GRAPH_BYTES
