"""Tables of every message, field, attribute, object and file that the exporter writes.

The tables were read off the archives of all exporters of this project; tests/hostile/test_known_archives.py compares
them with today's archives. Anything that is not in a table is refused, even if it would do no harm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType


def _words(table: Mapping[str, str]) -> Mapping[str, frozenset[str]]:
    return MappingProxyType({name: frozenset(words.split()) for name, words in table.items()})


# -- fields -----------------------------------------------------------------------------------------------------------

# Message type -> the fields that may be set. A message type that is missing here may not occur at all.
FIELDS = _words(
    {
        "SavedModel": "saved_model_schema_version meta_graphs",
        "MetaGraphDef": "meta_info_def graph_def saver_def collection_def signature_def object_graph_def",
        "MetaGraphDef.MetaInfoDef": """
            stripped_op_list tags tensorflow_version tensorflow_git_version stripped_default_attrs
        """,
        "SaverDef": "filename_tensor_name save_tensor_name restore_op_name version",
        "CollectionDef": "node_list",
        "CollectionDef.NodeList": "value",
        "SignatureDef": "inputs outputs method_name",
        "TensorInfo": "name dtype tensor_shape",
        # the graph and its functions
        "GraphDef": "node library versions",
        "FunctionDefLibrary": "function registered_gradients",
        "RegisteredGradient": "gradient_func registered_op_type",
        "FunctionDef": "signature node_def ret attr control_ret arg_attr",
        "FunctionDef.ArgAttrs": "attr",
        "NodeDef": "name op attr input device experimental_type",
        "OpDef": "name input_arg output_arg is_stateful control_output",
        "OpDef.ArgDef": "name type handle_data",
        "ResourceHandleProto.DtypeAndShape": "dtype shape",
        "AttrValue.ListValue": "type s shape i",  # attributes themselves: see zoo.safety.form
        "NameAttrList": "name",
        "TensorProto": """
            dtype tensor_shape tensor_content string_val int_val int64_val float_val half_val bool_val
        """,
        "VersionDef": "producer min_consumer",
        # the objects
        "SavedObjectGraph": "nodes concrete_functions",
        "SavedObject": """
            children user_object resource registered_name variable function dependencies bare_concrete_function constant
            captured_tensor
        """,
        "TrackableObjectGraph.TrackableObject.ObjectReference": "node_id local_name",
        "SavedUserObject": "identifier version",
        "SavedVariable": "dtype shape name trainable",
        "SavedConstant": "operation",
        "SavedResource": "",
        "CapturedTensor": "name concrete_function",
        "SavedFunction": "concrete_functions function_spec",
        "SavedBareConcreteFunction": """
            concrete_function_name argument_keywords allowed_positional_arguments function_spec
        """,
        "SavedConcreteFunction": "bound_inputs canonicalized_input_signature output_signature",
        "FunctionSpec": "fullargspec input_signature",
        # the form of arguments and results
        "StructuredValue": """
            none_value bool_value int64_value string_value tensor_shape_value tensor_dtype_value
            tensor_spec_value type_spec_value list_value tuple_value dict_value named_tuple_value
        """,
        "NoneValue": "",
        "TensorSpecProto": "name shape dtype",
        "TypeSpecProto": "type_spec_class type_state type_spec_class_name num_flat_components",
        "ListValue": "values",
        "TupleValue": "values",
        "DictValue": "fields",
        "NamedTupleValue": "name values",
        "PairValue": "key value",
        # the index of the weights: for every entry its object and variable
        "TrackableObjectGraph": "nodes",
        "TrackableObjectGraph.TrackableObject": "children attributes has_checkpoint_values",
        "TrackableObjectGraph.TrackableObject.SerializedTensor": "name full_name checkpoint_key",
        "google.protobuf.BoolValue": "value",
        # the settings of a call; archives from before 2026 have all of these fields, today's only the first one
        "ConfigProto": "allow_soft_placement device_count gpu_options experimental pluggable_device_options",
        "ConfigProto.Experimental": "",
        "GPUOptions": "experimental",
        "GPUOptions.Experimental": "",
    }
)
# These hold sizes, types and descriptions of operations. TensorFlow looks nothing up in them and runs nothing.
OPAQUE = frozenset({"TensorShapeProto", "FullTypeDef", "OpList"})

# Types of tensors. References and variants are missing: a variant may hold an object of any C++ class.
TYPES = MappingProxyType(
    {
        1: "float",
        3: "int32",
        4: "uint8",
        7: "string",
        9: "int64",
        10: "bool",
        14: "bfloat16",
        17: "uint16",
        19: "half",
        20: "resource",
        23: "uint64",
    }
)

# -- attributes -------------------------------------------------------------------------------------------------------

# Type of a declared attribute -> the kind of its value. (All types of lists have the kind "list".)
KINDS = MappingProxyType(
    {
        "bool": "b",
        "float": "f",
        "func": "func",
        "int": "i",
        "shape": "shape",
        "string": "s",
        "tensor": "tensor",
        "type": "type",
    }
)
# Attributes that no operation declares -> kind of value. All are hints; none names a function or a kernel.
NODE_ATTRIBUTES = MappingProxyType(
    {
        "_class": "list",
        "_collective_manager_ids": "list",
        "_gradient_op_type": "s",
        "_has_manual_control_dependencies": "b",
        "_lower_using_switch_merge": "b",
        "_output_shapes": "list",
        "_read_only_resource_inputs": "list",
    }
)
# The same for operations of tensorflow-text, which TensorFlow does not know before tensorflow-text is imported.
TEXT_ATTRIBUTES = MappingProxyType({"SentencepieceOp": {"model": "s"}})
FUNCTION_ATTRIBUTES = MappingProxyType({"_construction_context": "s", "_input_shapes": "list", "_noinline": "b"})
ARGUMENT_ATTRIBUTES = MappingProxyType({"_output_shapes": "list", "_user_specified_name": "s"})
# Operations declare these attributes, but the exporter never writes them: they name executors, containers and devices.
REFUSED_ATTRIBUTES = frozenset({"allowed_devices", "config", "container", "executor_type", "use_node_name_sharing"})
DEVICES = frozenset({"", "/device:CPU:0", "/device:CPU:*"})
CUSTOM_GRADIENT = re.compile(r"CustomGradient-[0-9]+")
# Steps of a loop. Ours take 200, a step for each character of the longest word, or one for each token of a text.
MOST_LOOPED = 2_048
MOST_OUTPUTS = 1_000  # outputs of a node; ours have at most 16
GRADIENT_OPS = frozenset({"IdentityN"})  # operations that may have _gradient_op_type

# -- objects ----------------------------------------------------------------------------------------------------------

_ATTRIBUTE = r"[a-z][a-z0-9_]*"
# Kind of object (of a user object, its identifier) -> the names that its children may have. TensorFlow sets a child as
# a Python attribute of that name, and calls some of them on loading, such as `_initialize`.
CHILDREN = MappingProxyType(
    {
        "_generic_user_object": re.compile(rf"{_ATTRIBUTE}|__call__|_token_ids|_encode"),
        "trackable_list_wrapper": re.compile(r"[0-9]+"),  # zoo.safety.objects refuses gaps
        "signature_map": re.compile(_ATTRIBUTE),
        "function": re.compile(r"trace_[0-9]+"),
        "bare_concrete_function": re.compile(r"capture_[0-9]+"),
        "resource": re.compile(r"_create_resource|_initialize|_destroy_resource|_initializer"),
        "variable": re.compile("(?!)"),
        "constant": re.compile("(?!)"),
        "captured_tensor": re.compile("(?!)"),
    }
)
# Kind of object -> the Python classes that it may be registered for. TensorFlow restores the object with that class; ""
# is none: a resource then is what its function `_create_resource` makes.
REGISTERED = MappingProxyType(
    {"resource": frozenset({"tf.StaticHashTable", ""}), "constant": frozenset({"tf.TrackableConstant"})}
)
TAGS = ("serve",)
INIT_SIGNATURE = "__saved_model_init_op"
SIGNATURES = frozenset({"serving_default", "tokens", INIT_SIGNATURE})
INIT_COLLECTION = "saved_model_main_op"
MOST_RAGGED = 8  # ragged dimensions of a tensor; ours have one or two

# -- files ------------------------------------------------------------------------------------------------------------

FOLDERS = frozenset({"assets", "assets.extra", "variables"})
GRAPH_FILE = "saved_model.pb"
INDEX_FILE = "variables/variables.index"
WEIGHTS_FILE = "variables/variables.data-00000-of-00001"
FILES = frozenset({GRAPH_FILE, INDEX_FILE, WEIGHTS_FILE, "assets.extra/card.json", "assets.extra/golden.npz"})
MOST_GRAPH_BYTES = 64 << 20  # of saved_model.pb; the graph of a BERT of 24 layers with all heads has about 2 MB
