"""The pickles inside torch's files, read by a machine that can describe tensors and do nothing else.

`pickletools` decodes the opcodes. A handful of names stands for functions of this file. Every other name becomes a
value without content: a harmless one such as `argparse.Namespace`, which torch_names.py lists, or a stranger, for which
the caller refuses the file. Nothing is imported, and no function that a file names is called.

A `pickle.Unpickler` with an allow-list in `find_class` would be shorter and cannot keep these limits:

* SETITEM hashes the key before any code of ours runs. If each of 40 tuples holds the tuple before it twice, the last
  one takes 2 ** 40 steps to hash, in one opcode of a pickle of 300 bytes (before Python 3.14).
* BUILD writes into the `__dict__` of any object: it could move a checked StoredTensor out of its storage, or change the
  `__defaults__` of a known function, which later files would be read with.
* LONG_BINPUT with the number 2 ** 31 - 1 allocates a memo of 32 GiB.

A look at the opcodes beforehand would refuse the third, and classes of our own the second. The first is refused only by
code that knows what lies on the stack, and that is the machine below.

Source: torch/serialization.py and torch/_utils.py for what torch writes, pickletools for what the opcodes mean.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from export.readers.numbers import NO_QUANTISED
from export.readers.protocol import MOST_DIMENSIONS, Shape
from export.readers.torch_names import HARMLESS, QUANTISED, Harmless, Stranger

_MOST_STEPS = 300_000  # a large BERT's takes 20,000
_LARGEST = 1 << 53  # no file has as many bytes; without a bound a number may have a million digits


class BadPickle(Exception):
    """The reason why a pickle is refused; the caller adds the name of the file."""


@dataclass(frozen=True)
class Storage:
    """A run of numbers, stored under a key."""

    key: str
    dtype: np.dtype
    elements: int


@dataclass(frozen=True)
class StoredTensor:
    """A view into a storage; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: Shape
    strides: Shape

    @property
    def span(self) -> int:
        """The number of elements from the first to the last one, both included."""
        if 0 in self.shape:
            return 0
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))


@dataclass(frozen=True)
class Described:
    """The value that a pickle describes, all storages that it names, and the first name that is in no table."""

    value: object
    storages: Mapping[str, Storage]
    stranger: str | None


def load_pickle(stream: BinaryIO) -> Described:
    """Return what one pickle describes and leave the stream behind it. Raises BadPickle."""
    machine = _Machine()
    try:
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if steps + machine.called_with > _MOST_STEPS:
                raise BadPickle(f"its pickle takes more than {_MOST_STEPS:,} steps, far more than a description needs")
            machine.step(opcode.name, argument)
        return Described(machine.pop(), machine.storages, machine.stranger)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        if machine.stranger:  # such files are refused in any case, and a stranger explains more than its consequences
            return Described(None, {}, machine.stranger)
        raise BadPickle(f"its pickle is damaged or was not written by torch.save ({error})") from None


# -- the names that are known -----------------------------------------------------------------------------------------


def _ordered_dict(pairs: object = ()) -> dict[Any, object]:
    return {_key(key): value for key, value in (_list(pairs) if pairs else ())}


def _rebuild_tensor(storage: object, offset: object, shape: object, strides: object, *_: object) -> StoredTensor:
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without a storage")
    tensor = StoredTensor(storage, _count(offset), _counts(shape), _counts(strides))
    if len(tensor.shape) != len(tensor.strides):
        raise ValueError("a tensor with more or fewer strides than dimensions")
    elements = 1
    for size in tensor.shape:
        elements *= size
    if elements > tensor.span or tensor.offset + tensor.span > storage.elements:
        raise ValueError(
            f"a tensor of shape {tensor.shape} claims {elements:,} elements, its storage has {storage.elements:,}"
        )
    return tensor


def _rebuild_other(storage: object, offset: object, shape: object, strides: object, *rest: object) -> None:
    """torch calls this function for tensors of a kind that has no storage class of its own, such as float8."""
    kind = next((each.name.removeprefix("torch ") for each in rest if isinstance(each, Harmless)), "an unknown kind")
    raise BadPickle(f"it holds numbers of {kind}. {NO_QUANTISED}")


def _rebuild_meta(*_: object) -> None:
    raise BadPickle(
        "it holds tensors of the device 'meta', which have shapes and no numbers. Load the weights before saving them"
    )


_KINDS: Mapping[str, np.dtype] = {
    "Float": np.dtype("<f4"),
    "Double": np.dtype("<f8"),
    "Half": np.dtype("<f2"),
    "BFloat16": np.dtype(ml_dtypes.bfloat16),
    "Long": np.dtype("<i8"),
    "Int": np.dtype("<i4"),
    "Short": np.dtype("<i2"),
    "Char": np.dtype("i1"),
    "Byte": np.dtype("u1"),
    "Bool": np.dtype("?"),
    "ComplexFloat": np.dtype("<c8"),
    "ComplexDouble": np.dtype("<c16"),
}
_KNOWN: Mapping[str, Callable[..., object] | np.dtype] = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor": _rebuild_tensor,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils _rebuild_tensor_v3": _rebuild_other,
    "torch._utils _rebuild_meta_tensor_no_storage": _rebuild_meta,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils _rebuild_parameter_with_state": lambda tensor, *_: tensor,
    "collections defaultdict": lambda *_: {},
    "collections Counter": lambda *_: {},
    "torch Size": lambda sizes=(): _counts(sizes),
    "torch.storage UntypedStorage": np.dtype("u1"),
    **{f"{module} {kind}Storage": dtype for module in ("torch", "torch.cuda") for kind, dtype in _KINDS.items()},
}


def _known(name: object) -> Callable[..., object] | np.dtype:
    if not isinstance(name, str):
        raise ValueError("a name that is no text")
    if name == QUANTISED:
        raise BadPickle(f"it holds quantised tensors. {NO_QUANTISED}")
    if name in _KNOWN:
        return _KNOWN[name]
    return (Harmless if name in HARMLESS else Stranger)(name.replace(" ", "."))


# -- the machine ------------------------------------------------------------------------------------------------------


class _Machine:
    def __init__(self) -> None:
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}
        self.storages: dict[str, Storage] = {}
        self.stranger: str | None = None
        self.called_with = 0  # how many items the lists had that functions were called with: one list may be used often

    def pop(self) -> object:
        return self._stack.pop()

    def step(self, opcode: str, argument: object) -> None:
        """Do what one opcode says, or raise."""
        push, pop = self._stack.append, self._stack.pop
        match opcode:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                self._marks.append(len(self._stack))
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                push({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "LONG4" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
                push(argument)
            case "BINBYTES" | "SHORT_BINBYTES" | "BYTEARRAY8":
                push(argument)
            case "BINSTRING" | "SHORT_BINSTRING":  # files of Python 2
                push(argument)
            case "EMPTY_SET":
                push(Harmless("set"))  # a set of Python hashes what is put in: see above
            case "FROZENSET" | "ADDITEMS":
                self._marked()
                if opcode == "FROZENSET":
                    push(Harmless("frozenset"))
            case "EMPTY_TUPLE" | "EMPTY_LIST" | "EMPTY_DICT":
                push({"EMPTY_TUPLE": (), "EMPTY_LIST": [], "EMPTY_DICT": {}}[opcode])
            case "TUPLE":
                push(tuple(self._marked()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                push(tuple([pop() for _ in range(int(opcode[-1]))][::-1]))
            case "APPEND" | "APPENDS":
                values = self._marked() if opcode == "APPENDS" else [pop()]
                if not isinstance(self._stack[-1], Harmless):
                    _list(self._stack[-1]).extend(values)
            case "SETITEM" | "SETITEMS":
                values = self._marked() if opcode == "SETITEMS" else [pop(), pop()][::-1]
                if not isinstance(self._stack[-1], Harmless):
                    _dict(self._stack[-1]).update(zip(map(_key, values[::2]), values[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                self._memo[len(self._memo) if opcode == "MEMOIZE" else _count(argument)] = self._stack[-1]
            case "BINGET" | "LONG_BINGET":
                push(self._memo[_count(argument)])
            case "GLOBAL":
                self._push_named(argument)
            case "STACK_GLOBAL":
                name, module = pop(), pop()
                self._push_named(f"{module} {name}" if isinstance(name, str) and isinstance(module, str) else None)
            case "REDUCE" | "NEWOBJ":
                arguments, function = pop(), pop()
                if not callable(function) or not isinstance(arguments, tuple):  # only functions of _KNOWN get here
                    raise ValueError("a call of something that is no function")
                self.called_with += sum(len(each) for each in arguments if isinstance(each, list))
                push(function(*arguments))
            case "BUILD":
                pop()  # attributes of a state_dict, its `_metadata`: versions of modules, no weights
            case "BINPERSID":
                storage = _storage(pop())
                self.storages[storage.key] = storage
                push(storage)
            case _:
                raise ValueError(f"opcode {opcode}, which torch does not write")

    def _push_named(self, name: object) -> None:
        known = _known(name)
        if isinstance(known, Stranger):
            self.stranger = self.stranger or known.name
        self._stack.append(known)

    def _marked(self) -> list[object]:
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values


def _storage(reference: object) -> Storage:
    """('storage', kind, key, device, elements), and in old files a sixth: which part of another storage it is."""
    if not isinstance(reference, tuple) or len(reference) not in (5, 6) or reference[0] != "storage":
        raise ValueError("a reference to something that is no storage")
    _, dtype, key, _, elements, *view = reference
    if not isinstance(dtype, np.dtype) or not isinstance(key, str):
        raise ValueError("a storage without kind or key")
    if view and view[0] is not None:
        raise ValueError("a storage that is part of another one, as torch before 0.4 wrote; save it again")
    return Storage(key, dtype, _count(elements))


# Checks are by type: to compare or hash nested tuples of a stranger could take for ever.


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise ValueError("a size that is no number")
    return value


def _counts(values: object) -> Shape:
    if not isinstance(values, list | tuple):
        raise ValueError("sizes that are no list")
    if len(values) > MOST_DIMENSIONS:
        raise ValueError(f"a tensor of {len(values):,} dimensions")
    return tuple(_count(value) for value in values)


def _key(value: object) -> str | int | float | bytes | None:
    if not isinstance(value, str | int | float | bytes | None):
        raise ValueError("a key that is neither text nor number")
    return value


def _list(value: object) -> list:
    if not isinstance(value, list):
        raise ValueError("items for something that is no list")
    return value


def _dict(value: object) -> dict:
    if not isinstance(value, dict):
        raise ValueError("keys for something that is no dict")
    return value
