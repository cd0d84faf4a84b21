"""Objects, attributes and types that TensorFlow would make in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.hostile.cases import graph_case
from tests.hostile.graphs import UINT8, add_object, resource

GROUP = "objects in Python"


@graph_case(GROUP, "has an attribute '__class__', which the exporter never writes")
def attribute_of_python(graph: Any, owned: Path) -> None:
    """An attribute replaces one of Python's own."""
    add_object(graph, 0, "__class__").user_object.identifier = "_generic_user_object"


@graph_case(GROUP, "has an attribute '_trackable_children', which the exporter never writes")
def attribute_of_tensorflow(graph: Any, owned: Path) -> None:
    """An attribute replaces a method that TensorFlow calls."""
    add_object(graph, 0, "_trackable_children").user_object.identifier = "_generic_user_object"


@graph_case(GROUP, "has an attribute '_serialize_to_tensors', which the exporter never writes")
def attribute_of_a_table(graph: Any, owned: Path) -> None:
    """An attribute of a table is what saving it would call."""
    resource(graph).children.add(node_id=0, local_name="_serialize_to_tensors")


@graph_case(GROUP, "SavedObject.saveable_objects, which the exporter never writes")
def functions_to_save_with(graph: Any, owned: Path) -> None:
    """An object brings functions of its own for saving and restoring."""
    resource(graph).saveable_objects["table"].save_function = 1


@graph_case(GROUP, "SavedObject.slot_variables, which the exporter never writes")
def slot_variable(graph: Any, owned: Path) -> None:
    """An object has `add_slot` called on it, as if it were an optimizer."""
    graph.object_graph_def.nodes[0].slot_variables.add(slot_name="m", slot_variable_node_id=1)


@graph_case(GROUP, "is registered as 'Custom.Evil'")
def registered_class(graph: Any, owned: Path) -> None:
    """An object is handed to a class that somebody registered."""
    resource(graph).registered_name = "Custom.Evil"


@graph_case(GROUP, "SavedObject.serialized_user_proto, which the exporter never writes")
def state_for_a_class(graph: Any, owned: Path) -> None:
    """A registered class is handed bytes to make an object of."""
    resource(graph).serialized_user_proto.type_url = "type.googleapis.com/evil"


@graph_case(GROUP, "is of the kind '_tf_keras_network', which the exporter never writes")
def keras_layer(graph: Any, owned: Path) -> None:
    """An object is one of Keras, which would make layers, Lambda too, from its metadata."""
    add_object(graph, 0, "layer").user_object.identifier = "_tf_keras_network"


@graph_case(GROUP, "is of the kind 'optimizer', which the exporter never writes")
def optimizer(graph: Any, owned: Path) -> None:
    """An object has Keras' optimizers imported."""
    add_object(graph, 0, "optimizer").user_object.identifier = "optimizer"


@graph_case(GROUP, "SavedUserObject.metadata, which the exporter never writes")
def metadata(graph: Any, owned: Path) -> None:
    """An object brings text for its class to read."""
    graph.object_graph_def.nodes[0].user_object.metadata = '{"class_name": "Lambda"}'


@graph_case(GROUP, "is of the kind 'asset', which the exporter never writes")
def asset(graph: Any, owned: Path) -> None:
    """An object is a file."""
    add_object(graph, 0, "words").asset.asset_file_def_index = 0


@graph_case(GROUP, "SavedVariable.device, which the exporter never writes")
def variable_elsewhere(graph: Any, owned: Path) -> None:
    """A variable is placed on another machine."""
    next(each for each in graph.object_graph_def.nodes if each.HasField("variable")).variable.device = "/job:worker"


@graph_case(GROUP, "is a list with gaps")
def list_with_a_gap(graph: Any, owned: Path) -> None:
    """A list has an item number ten thousand million, and TensorFlow fills the places before it."""
    objects = graph.object_graph_def.nodes
    added = add_object(graph, 0, "items")
    added.user_object.identifier = "trackable_list_wrapper"
    added.user_object.version.producer = added.user_object.version.min_consumer = 1
    objects[len(objects) - 1].children.add(node_id=0, local_name="9999999999")


@graph_case(GROUP, "has an attribute '٣', which the exporter never writes")
def list_in_other_digits(graph: Any, owned: Path) -> None:
    """An item of a list has its number in Arabic digits."""
    added = add_object(graph, 0, "items")
    added.user_object.identifier = "trackable_list_wrapper"
    added.children.add(node_id=0, local_name="٣")


@graph_case(GROUP, "refers to object -1, which is not there")
def child_before_the_first(graph: Any, owned: Path) -> None:
    """An attribute is the object with the number -1, which Python takes for the last."""
    graph.object_graph_def.nodes[0].children.add(node_id=-1, local_name="last")


@graph_case(GROUP, "captures an object that is not there")
def capture_beyond_the_last(graph: Any, owned: Path) -> None:
    """A function captures an object that is not there."""
    next(iter(graph.object_graph_def.concrete_functions.values())).bound_inputs.append(1 << 30)


@graph_case(GROUP, "a function takes or gives 'DatasetSpec'")
def type_of_a_dataset(graph: Any, owned: Path) -> None:
    """A function gives a dataset, which could read files."""
    value = next(iter(graph.object_graph_def.concrete_functions.values())).output_signature
    value.type_spec_value.type_spec_class = value.type_spec_value.DATA_DATASET_SPEC
    value.type_spec_value.type_spec_class_name = "DatasetSpec"


@graph_case(GROUP, "a function takes or gives 'Evil'")
def type_of_a_class(graph: Any, owned: Path) -> None:
    """A function gives a type that is looked up among the registered ones."""
    value = next(iter(graph.object_graph_def.concrete_functions.values())).output_signature
    value.type_spec_value.type_spec_class = value.type_spec_value.REGISTERED_TYPE_SPEC
    value.type_spec_value.type_spec_class_name = "Evil"


@graph_case(GROUP, "very many ragged dimensions")
def thousand_million_ragged_dimensions(graph: Any, owned: Path) -> None:
    """A function gives a tensor for which TensorFlow makes a description of each of its dimensions while it loads."""
    value = next(iter(graph.object_graph_def.concrete_functions.values())).output_signature
    specification = value.type_spec_value
    specification.type_spec_class = specification.RAGGED_TENSOR_SPEC
    specification.type_spec_class_name, specification.num_flat_components = "RaggedTensorSpec", 2
    parts = specification.type_state.tuple_value.values
    parts.add().tensor_shape_value.unknown_rank = True
    parts.add().tensor_dtype_value = 1
    parts.add().int64_value = 1_000_000_000
    parts.add().tensor_dtype_value = 9


@graph_case(GROUP, "a function takes or gives 'Evil'")
def named_tuple(graph: Any, owned: Path) -> None:
    """A function gives a tuple for which Python makes a class."""
    value = next(iter(graph.object_graph_def.concrete_functions.values())).output_signature
    value.named_tuple_value.name = "Evil"


@graph_case(GROUP, "a function takes or gives bytes, which only constants may be")
def bytes_from_the_caller(graph: Any, owned: Path) -> None:
    """A function takes the bytes of a WordPiece model from whoever calls it."""
    value = next(iter(graph.object_graph_def.concrete_functions.values())).output_signature
    value.tensor_spec_value.dtype = UINT8
