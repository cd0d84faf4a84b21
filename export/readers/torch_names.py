"""The classes and functions that the pickles of torch's files may name, and the values that stand for them here.

torch.save puts more than tensors into a checkpoint of a training run: numbers of numpy, paths, dates, the namespace of
a command line. Such a value becomes a `Harmless`, and nothing looks into it. A name that is in no table becomes a
`Stranger`: nothing is imported or run for it here, but Python would run its code, so the file is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Harmless:
    """A class, a function, or the value that one of them would make. For a reader of weights they are all the same."""

    name: str

    def __call__(self, *_: object) -> Harmless:
        return self


@dataclass(frozen=True)
class Stranger(Harmless):
    """A name for which Python would run unknown code: "posix.system", "my_project.model.Classifier"."""


_BUILTINS = "bool bytearray bytes complex float frozenset int list long object range set slice str tuple unicode"
_TORCH = (
    "device per_tensor_affine strided uint8 int8 int16 int32 int64 float16 float32 float64 bfloat16 bool half float "
    "double long int short complex64 complex128 float8_e4m3fn float8_e5m2"
)
_NUMPY = "dtype ndarray bool_ float16 float32 float64 int8 int16 int32 int64 uint8 uint32 uint64 str_"
# module -> names in it
_HARMLESS: Mapping[str, str] = {
    "__builtin__": _BUILTINS,
    "builtins": _BUILTINS,
    "_codecs": "encode",
    "argparse": "Namespace",
    "types": "SimpleNamespace",
    "collections": "deque",
    "datetime": "date datetime time timedelta timezone",
    "pathlib": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "pathlib._local": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "torch": _TORCH,
    "torch.serialization": "_get_layout",
    "torch._utils": "_rebuild_sparse_tensor",
    "numpy": _NUMPY,
    "numpy.dtypes": "Float16DType Float32DType Float64DType Int32DType Int64DType UInt32DType BoolDType",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
    "pytorch_lightning.utilities.parsing": "AttributeDict",
    "lightning.pytorch.utilities.parsing": "AttributeDict",
    "lightning_fabric.utilities.data": "AttributeDict",
    "lightning.fabric.utilities.data": "AttributeDict",
}
HARMLESS = frozenset(f"{module} {name}" for module, names in _HARMLESS.items() for name in names.split())
QUANTISED = "torch._utils _rebuild_qtensor"
