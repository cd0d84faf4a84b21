"""Ways to have TensorFlow call a function that writes a file, though no node and no list of functions names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.hostile.cases import graph_case
from tests.hostile.graphs import (
    FLOAT,
    STRING,
    add_object,
    call_instead,
    function_with,
    node,
    resource,
    set_child,
    writing_function,
)

NAMES, OBJECTS, HOOKS = "named like an operation", "named by an object only", "put in another's place"


# -- (a) a library function replaces every node of its name -----------------------------------------------------------


@graph_case(NAMES, "function Tanh has the name of an operation")
def named_tanh(graph: Any, owned: Path) -> None:
    """A function is named like an operation that the pooler runs, and runs in its place."""
    writing_function(graph, "Tanh", owned, FLOAT)


@graph_case(NAMES, "function Erf has the name of an operation")
def named_erf(graph: Any, owned: Path) -> None:
    """The same inside of a function that others call."""
    writing_function(graph, "Erf", owned, FLOAT)


@graph_case(NAMES, "function WriteFile has the name of an operation")
def named_like_one_that_is_not_allowed(graph: Any, owned: Path) -> None:
    """A function is named like an operation that no archive holds."""
    writing_function(graph, "WriteFile", owned, FLOAT)


@graph_case(NAMES, "function NormalizeUTF8 has the name of an operation", "toy_tokenizer")
def named_like_one_of_tensorflow_text(graph: Any, owned: Path) -> None:
    """A function is named like an operation of another library."""
    writing_function(graph, "NormalizeUTF8", owned, FLOAT)


@graph_case(NAMES, "function StatefulPartitionedCall has the name of an operation")
def named_like_a_call(graph: Any, owned: Path) -> None:
    """A function replaces the operation that calls functions."""
    writing_function(graph, "StatefulPartitionedCall", owned, FLOAT)


@graph_case(NAMES, "Evil in __inference_")
def called_as_an_operation(graph: Any, owned: Path) -> None:
    """A node calls the function by having its name as operation."""
    writing_function(graph, "Evil", owned, FLOAT)
    body = function_with(graph, "Tanh")
    next(each for each in body.node_def if each.op == "Tanh").op = "Evil"


@graph_case(NAMES, "function __inference_encode_0 is there twice")
def twice_the_same_name(graph: Any, owned: Path) -> None:
    """Two functions have one name: the check may look at one, and TensorFlow take the other."""
    writing_function(graph, "__inference_encode_0", owned)


@graph_case(NAMES, "a function has the name 'its main graph'")
def named_like_the_main_graph(graph: Any, owned: Path) -> None:
    """A function has the name under which the check itself keeps the main graph."""
    writing_function(graph, "its main graph", owned)


@graph_case(NAMES, "a function has the name ''")
def without_a_name(graph: Any, owned: Path) -> None:
    """A function has no name."""
    writing_function(graph, "", owned)


@graph_case(NAMES, "a function has the name 'Ｔanh'")
def named_tanh_in_wide_letters(graph: Any, owned: Path) -> None:
    """A function is named like an operation, in letters that look alike."""
    writing_function(graph, "Ｔanh", owned, FLOAT)


# -- (b) an object names a function that the list of concrete functions lacks -----------------------------------------


def _bare(graph: Any, owned: Path, listed: bool = False) -> int:
    """Add the function and an object that names it; return the object's number."""
    writing_function(graph, "evil", owned, listed=listed)
    graph.object_graph_def.nodes.add().bare_concrete_function.concrete_function_name = "evil"
    return len(graph.object_graph_def.nodes) - 1


@graph_case(OBJECTS, "calls evil, which the list of concrete functions lacks")
def unlisted_initialize(graph: Any, owned: Path) -> None:
    """`_initialize` of a table, which `tf.saved_model.load` calls, is an object whose function no list names."""
    set_child(resource(graph), "_initialize", _bare(graph, owned))
    evil = graph.graph_def.library.function[-1]
    evil.signature.ClearField("output_arg")
    evil.ret.clear()


@graph_case(OBJECTS, "SaveV2 in evil is not allowed")
def listed_initialize(graph: Any, owned: Path) -> None:
    """The same, and the list names it."""
    set_child(resource(graph), "_initialize", _bare(graph, owned, listed=True))


@graph_case(OBJECTS, "calls evil, which the list of concrete functions lacks")
def unlisted_create_resource(graph: Any, owned: Path) -> None:
    """`_create_resource`, which makes the table, is such an object."""
    set_child(resource(graph), "_create_resource", _bare(graph, owned))


@graph_case(OBJECTS, "calls evil, which the list of concrete functions lacks")
def unlisted_destroy_resource(graph: Any, owned: Path) -> None:
    """`_destroy_resource`, which Python's collector has called, is such an object."""
    set_child(resource(graph), "_destroy_resource", _bare(graph, owned))


@graph_case(OBJECTS, "calls evil, which the list of concrete functions lacks")
def unlisted_attribute(graph: Any, owned: Path) -> None:
    """`model.embed(...)` would run it."""
    graph.object_graph_def.nodes[0].children.add(node_id=_bare(graph, owned), local_name="embed")


@graph_case(OBJECTS, "calls evil, which the list of concrete functions lacks")
def unlisted_trace(graph: Any, owned: Path) -> None:
    """A function object, that may have several traces, has it as a further one."""
    writing_function(graph, "evil", owned)
    calls = next(each for each in graph.object_graph_def.nodes if each.HasField("function"))
    calls.function.concrete_functions.append("evil")


@graph_case(OBJECTS, "SaveV2 in evil is not allowed")
def captured_inside(graph: Any, owned: Path) -> None:
    """An object is a tensor inside the function."""
    writing_function(graph, "evil", owned)
    captured = add_object(graph, 0, "inside").captured_tensor
    captured.name, captured.concrete_function = "result:0", "evil"


@graph_case(OBJECTS, "SaveV2 in evil is not allowed")
def saver_as_initialize(graph: Any, owned: Path) -> None:
    """The function that saving alone calls is `_initialize` of a table too."""
    number = _bare(graph, owned, listed=True)
    set_child(resource(graph), "_initialize", number)
    nodes, saver = graph.graph_def.node, graph.saver_def
    call = node(nodes, "evil_save", "StatefulPartitionedCall", Tin=[], Tout=[FLOAT])
    call.attr["f"].func.name = "evil"
    node(nodes, "evil_name", "Identity", saver.save_tensor_name, "^evil_save", T=STRING)
    saver.save_tensor_name = "evil_name:0"


@graph_case(OBJECTS, "SaveV2 in evil is not allowed")
def only_listed(graph: Any, owned: Path) -> None:
    """The list names a function that no object has."""
    writing_function(graph, "evil", owned, listed=True)


@graph_case(OBJECTS, "its objects call evil, which is not there")
def listed_and_absent(graph: Any, owned: Path) -> None:
    """Objects name a function that a later file would bring."""
    graph.object_graph_def.concrete_functions["evil"].SetInParent()


@graph_case(OBJECTS, "SaveV2 in evil is not allowed")
def unused(graph: Any, owned: Path) -> None:
    """Nothing at all names the function: the old check inferred that only the saver runs it."""
    writing_function(graph, "evil", owned)


# -- (c) Grappler and gradients ---------------------------------------------------------------------------------------


@graph_case(HOOKS, "plain has the attribute 'api_implements'")
def api_implements(graph: Any, owned: Path) -> None:
    """Grappler takes another function of the same interface, for the preferred device."""
    plain = graph.graph_def.library.function.add()
    plain.signature.name = "plain"
    plain.signature.input_arg.add(name="x", type=FLOAT)
    plain.signature.output_arg.add(name="y", type=FLOAT)
    node(plain.node_def, "i", "Identity", "x", T=FLOAT)
    plain.ret["y"] = "i:output:0"
    for each, device in ((plain, b"GPU"), (writing_function(graph, "evil", owned, FLOAT), b"CPU")):
        each.attr["api_implements"].s, each.attr["api_preferred_device"].s = b"api", device
    call_instead(graph, "Tanh", "plain")


@graph_case(HOOKS, "__inference_encode_0 has the attribute 'api_implements'")
def api_implements_by_a_genuine_function(graph: Any, owned: Path) -> None:
    """The same between a function of the archive and one that nobody names."""
    genuine = next(each for each in graph.graph_def.library.function if each.signature.name == "__inference_encode_0")
    for each in (genuine, writing_function(graph, "evil", owned)):
        each.attr["api_implements"].s = b"api"


@graph_case(HOOKS, "has the attribute 'api_implements', which the exporter never writes")
def api_implements_at_a_node(graph: Any, owned: Path) -> None:
    """The call itself has the attribute."""
    writing_function(graph, "evil", owned)
    call = next(each for each in graph.graph_def.node if each.op == "StatefulPartitionedCall")
    call.attr["api_implements"].s = b"api"


@graph_case(HOOKS, "has the attribute 'backward_function_name'")
def backward_function_name(graph: Any, owned: Path) -> None:
    """An attribute names the function as the backward pass of another."""
    writing_function(graph, "evil", owned)
    function_with(graph, "Tanh").attr["backward_function_name"].s = b"evil"


@graph_case(HOOKS, "ListValue.func, which the exporter never writes")
def function_in_a_list(graph: Any, owned: Path) -> None:
    """A list of shapes holds a function."""
    writing_function(graph, "evil", owned)
    function_with(graph, "Tanh").attr["_input_shapes"].list.func.add().name = "evil"


@graph_case(HOOKS, "has the attribute '_class', which the exporter never writes")
def function_as_a_hint(graph: Any, owned: Path) -> None:
    """A hint is a function instead of a text."""
    writing_function(graph, "evil", owned)
    function_with(graph, "Tanh").node_def[0].attr["_class"].func.name = "evil"


@graph_case(HOOKS, "NameAttrList.attr, which the exporter never writes")
def function_as_an_argument(graph: Any, owned: Path) -> None:
    """A called function is handed the other one."""
    writing_function(graph, "evil", owned)
    call = next(each for each in graph.graph_def.node if each.op == "StatefulPartitionedCall")
    call.attr["f"].func.attr["g"].func.name = "evil"


@graph_case(HOOKS, "evil is the gradient of 'Tanh'")
def gradient_of_an_operation(graph: Any, owned: Path) -> None:
    """Whoever trains runs it: as the gradient of an operation, for the whole process."""
    writing_function(graph, "evil", owned, FLOAT, listed=True)
    graph.graph_def.library.registered_gradients.add(gradient_func="evil", registered_op_type="Tanh")


@graph_case(HOOKS, "SaveV2 in evil is not allowed")
def custom_gradient(graph: Any, owned: Path) -> None:
    """Whoever trains runs it: as a gradient of the archive's own."""
    writing_function(graph, "evil", owned, FLOAT)
    graph.graph_def.library.registered_gradients.add(gradient_func="evil", registered_op_type="CustomGradient-1")


@graph_case(HOOKS, "FunctionDefLibrary.gradient, which the exporter never writes")
def gradient_of_a_function(graph: Any, owned: Path) -> None:
    """The library names it as another function's gradient."""
    writing_function(graph, "evil", owned)
    graph.graph_def.library.gradient.add(function_name="__inference_encode_0", gradient_func="evil")


@graph_case(HOOKS, "has the gradient CustomGradient-1, which may be another model's")
def gradient_of_another_model(graph: Any, owned: Path) -> None:
    """A node asks for a gradient by a number under which the process may keep somebody's Python function."""
    body = function_with(graph, "Tanh")
    added = node(body.node_def, "more", "IdentityN", T=[])
    added.attr["_gradient_op_type"].s = b"CustomGradient-1"


@graph_case(HOOKS, "has the attribute '_gradient_op_type', which the exporter never writes")
def gradient_at_an_operation(graph: Any, owned: Path) -> None:
    """A plain operation is given another gradient."""
    for each in function_with(graph, "Tanh").node_def:
        each.attr["_gradient_op_type"].s = b"PyFunc"


@graph_case(HOOKS, "MetaInfoDef.function_aliases, which the exporter never writes")
def function_alias(graph: Any, owned: Path) -> None:
    """The function has an alias, which a loader may be asked for."""
    writing_function(graph, "evil", owned)
    graph.meta_info_def.function_aliases["evil"] = "encode"
