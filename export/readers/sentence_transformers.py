"""Reads sentence-transformers' files beside a checkpoint: how the encoder's outputs become one vector of a text.

modules.json lists the modules in the order in which they compute: Transformer (the encoder), Pooling (one vector of all
tokens), then Dense, Normalize. A module's settings and weights lie in a folder of its own, such as 1_Pooling.

Source: `load` and `forward` of these modules in sentence_transformers 2.2 to 5.7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from export.readers.protocol import Checkpoint, Container, Shape
from export.readers.safetensors_file import SafetensorsFile
from export.readers.sentence_model import DenseLayer, SentenceModel, restated
from export.readers.torch_file import TorchFile
from zoo.basics.untrusted import BadInput, parse_json, read_small
from zoo.contract import LEAST_TOKENS, Pooling
from zoo.errors import BadConfig, ZooError

MODULES_FILE = "modules.json"
PROMPTS_FILE = "config_sentence_transformers.json"
_TOKENIZER_FILE = "tokenizer_config.json"
_TRANSFORMER_FILES = tuple(
    f"sentence_{word}_config.json" for word in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta")
)
BESIDE_MODULES = (PROMPTS_FILE, *_TRANSFORMER_FILES)  # files of settings that belong to no folder of a module
_MOST_BYTES, _MOST_VALUES, _MOST_MODULES = 1 << 20, 50_000, 20
_OURS = "sentence_transformers."  # types of another package are code that a repository brings along

# Last word of a module's type -> the module. Before 2020 each architecture had a class of its own.
_WORDS = {
    **{word: word for word in ("Transformer", "Pooling", "Dense", "Normalize", "Dropout")},
    **dict.fromkeys(("BERT", "ALBERT", "RoBERTa", "DistilBERT", "CamemBERT", "XLMRoBERTa"), "Transformer"),
}
# Pooling modes in the order in which sentence-transformers puts several beside each other: key of older files, word of
# newer ones, our word.
MODES: tuple[tuple[str, str, Pooling], ...] = (
    ("pooling_mode_cls_token", "cls", "first"),
    ("pooling_mode_max_tokens", "max", "max"),
    ("pooling_mode_mean_tokens", "mean", "mean"),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", "mean_sqrt_len"),
    ("pooling_mode_weightedmean_tokens", "weightedmean", "weightedmean"),
    ("pooling_mode_lasttoken", "lasttoken", "lasttoken"),
)
# Class of torch.nn -> our word for the activation behind a dense layer.
ACTIVATIONS = {"Tanh": "tanh", "Identity": "identity", "ReLU": "relu", "GELU": "gelu", "Sigmoid": "sigmoid"}
# Weights of a module, the first one that is there.
_OPENERS: Mapping[str, Callable[[Path], Container]] = {
    "model.safetensors": SafetensorsFile,
    "pytorch_model.bin": TorchFile,
}
MODULE_WEIGHTS = tuple(_OPENERS)
# Settings that do not change the numbers, only where and how fast they are computed.
_HARMLESS = {"unpad_inputs", "torch_dtype", "dtype", "attn_implementation", "trust_remote_code", "revision"}
# Settings of newer files, with the one value by which a text becomes the last hidden states of its tokens.
_EXPECTED = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
}


def transformer_folder(folder: Path) -> Path:
    """Return the folder with weights, config and vocabulary: the module Transformer's, if there is a modules.json.

    transformer_folder(Path("bge"))  # bge; of a model from before 2021, whose modules.json says so: old/0_BERT
    """
    transformers = [path for word, path in _modules(folder) if word == "Transformer"]
    return folder / transformers[0] if len(transformers) == 1 else folder


def module_folders(folder: Path) -> list[Path]:
    """Return the folders that belong to the modules of a directory's modules.json; [] without this file."""
    return [folder / path for _, path in _modules(folder) if path]


def limit_of_tokenizer(folder: Path, positions: int) -> int:
    """Return the most tokens of a text that the tokenizer's config beside a checkpoint states, else all positions."""
    try:
        stated = _json(folder / _TOKENIZER_FILE)
    except ValueError:  # missing, or damaged: the tokenizer's own reader says so
        return positions
    limit = stated.get("model_max_length") if isinstance(stated, dict) else None
    if _is_no_limit(limit, positions) or not isinstance(limit, int | float) or limit < LEAST_TOKENS:
        return positions
    return int(limit)


def _is_no_limit(limit: object, positions: int) -> bool:
    """Whether a "model_max_length" allows all positions: transformers writes 1e30 for a tokenizer without a limit."""
    return limit is None or (isinstance(limit, int | float) and not isinstance(limit, bool) and limit > positions)


def sentence_model(checkpoint: Checkpoint, hidden_size: int, positions: int) -> SentenceModel | None:
    """Return how texts become vectors with a checkpoint, from its card or the files beside it; None without these.

    Raises the errors of `read_sentence_model`.
    """
    if checkpoint.sentence is not None:
        return restated(checkpoint.sentence, checkpoint.path)
    return read_sentence_model(checkpoint.path, hidden_size, positions)


def read_sentence_model(folder: Path, hidden_size: int, positions: int) -> SentenceModel | None:
    """Return the model that sentence-transformers' files state for the checkpoint in `folder`; None without files.

        read_sentence_model(Path("all-MiniLM-L6-v2"), 384, 512).pooling  # ("mean",)

    modules.json lies in `folder`, or in the directory above, if it names `folder` as that of its Transformer. Raises
    BadConfig, which lists every setting that is damaged or contradicts another.
    """
    folder = folder if folder.name else folder.absolute()
    if (folder / MODULES_FILE).is_file():
        root = folder
    else:
        root = folder.parent
        try:
            transformer_folder(root)
        except BadConfig:
            return None  # it is not of this directory, and may be a file of any other program
    if not (root / MODULES_FILE).is_file() or transformer_folder(root) != folder:
        return None
    return _Reading(root, folder, hidden_size, positions).model()


# -- modules.json -----------------------------------------------------------------------------------------------------


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Return word and path of each module in modules.json, the type for a word we do not know; [] without the file."""
    file = folder / MODULES_FILE
    try:
        if not file.is_file():
            return []
    except OSError:  # a name that is too long for the file system; opening the checkpoint will raise an error
        return []
    try:
        listed = _json(file)
    except ValueError as error:
        raise BadConfig(f"{file} cannot be read: {error}. {_MOVE}") from None
    if not isinstance(listed, list) or not 0 < len(listed) <= _MOST_MODULES:
        raise BadConfig(f"{file} should hold a list of 1 to {_MOST_MODULES} modules. {_MOVE}")
    found, problems = [], []
    for number, module in enumerate(listed):
        kind, path = (module.get("type"), module.get("path")) if isinstance(module, dict) else (None, None)
        if not isinstance(kind, str):
            problems.append(f"'type' of module {number} is {kind!r:.80}")
        elif not isinstance(path, str) or not _is_folder_name(path):
            problems.append(f"'path' of module {number} is {path!r:.80}, not the name of a folder")
        else:
            found.append((_WORDS.get(kind.rpartition(".")[2], kind) if kind.startswith(_OURS) else kind, path))
    if problems:
        raise BadConfig(f"{file}: {'; '.join(problems)}. {_MOVE}")
    return found


_MOVE = f"Correct it, or remove {MODULES_FILE}: then the encoder is exported without these files."


def _is_folder_name(path: str) -> bool:
    return path not in (".", "..") and not {*"/\\\0"} & {*path} and len(path) < 200


def _json(file: Path) -> Any:
    """Return the value in a JSON file. Raises ValueError for every file that cannot be read."""
    try:
        return parse_json(read_small(file, _MOST_BYTES), _MOST_VALUES)
    except OSError as error:
        raise BadInput(error.strerror or str(error)) from None


# -- the modules ------------------------------------------------------------------------------------------------------


class _Reading:
    """Reads all modules of a directory, and collects every problem before it raises an error."""

    def __init__(self, root: Path, folder: Path, hidden_size: int, positions: int) -> None:
        self.root, self.folder, self.positions = root, folder, positions
        self.width = hidden_size  # of the vector, after the modules that were read so far
        self.problems: list[str] = []
        self.unknown: list[str] = []
        self.facts: list[str] = []
        self.files = [root / MODULES_FILE]
        self.found: dict[str, Any] = {"dense": (), "normalize": False}

    def model(self) -> SentenceModel:
        modules = _modules(self.root)
        words = [word for word, _ in modules]
        if words.count("Pooling") != 1:
            self.unknown.append(f"{words.count('Pooling')} poolings, not 1, in {MODULES_FILE}")
        readers = {
            "Transformer": lambda path: None,  # read below: the settings lie beside weights that may lie elsewhere
            "Pooling": self._pooling,
            "Dense": self._dense,
            "Normalize": self._normalize,
            "Dropout": lambda path: None,  # only in training
        }
        self._transformer()
        for word, path in modules:
            if word in readers:
                readers[word](path)
            else:
                self.unknown.append(f"module {word} ({path or 'no folder of its own'})")
        self._prompts()
        if self.problems:
            raise BadConfig(f"{self.root}: {'; '.join(self.problems)}. {_MOVE}")
        said: dict[str, Any] = {
            "unknown": tuple(self.unknown),
            "facts": tuple(self.facts),
            "files": tuple(dict.fromkeys(self.files)),
        }
        return SentenceModel(self.root, **self.found, **said)

    def _transformer(self) -> None:
        files = [self.folder / name for name in _TRANSFORMER_FILES if (self.folder / name).is_file()]
        settings = self._settings(files[0]) if files else {}
        place = self._name(files[0]) if files else ""
        limit = self._typed(place, settings, "max_seq_length", int)
        self.found["lower_case"] = bool(self._typed(place, settings, "do_lower_case", bool))
        for key, value in settings.items():
            if key in ("max_seq_length", "do_lower_case") or value in (None, False, {}):
                continue
            if key.endswith(("_args", "_kwargs")) and isinstance(value, dict) and value.keys() <= _HARMLESS:
                continue
            if key not in _HARMLESS and value != _EXPECTED.get(key):
                self.unknown.append(f"{key!r} in {place}")
        if limit is None:
            place, limit = _TOKENIZER_FILE, self._limit_of_tokenizer()
        elif limit > self.positions:
            self.facts.append(f"{place} says 'max_seq_length' {limit:,}; the model has {self.positions:,} positions")
        if limit < LEAST_TOKENS:
            self.problems.append(f"{place}: the limit of {limit} tokens leaves no room for a text")
        self.found["max_length"] = min(limit, self.positions)

    def _limit_of_tokenizer(self) -> int:
        """Return the limit that newer versions write into the tokenizer's config, or the number of positions."""
        file = self.folder / _TOKENIZER_FILE
        if not file.is_file():
            return self.positions
        limit = self._settings(file).get("model_max_length")
        if _is_no_limit(limit, self.positions):
            return self.positions
        return self._typed(self._name(file), {"limit": limit}, "limit", int) or self.positions

    def _pooling(self, path: str) -> None:
        file = self.root / path / "config.json"
        settings, place = self._settings(file), self._name(file)
        for key in ("word_embedding_dimension", "embedding_dimension"):
            if (said := settings.get(key, self.width)) != self.width:
                self.problems.append(f"{place}: {key!r} is {said!r:.80}, the encoder's outputs have {self.width}")
        flags = {key: self._typed(place, settings, key, bool) for key, _, _ in MODES}
        by_word = {word: ours for _, word, ours in MODES}
        older = [word for key, word, _ in MODES if flags[key]]
        said = settings.get("pooling_mode")
        newer = [said] if isinstance(said, str) else said
        if newer is None:
            newer = older or ["mean"]
        elif older and older != newer:
            self.problems.append(f"{place}: 'pooling_mode' is {said!r:.80}, but {' and '.join(older)} is set beside it")
        if not isinstance(newer, list) or not newer or not all(isinstance(word, str) for word in newer):
            self.problems.append(f"{place}: 'pooling_mode' is {said!r:.80}, not one or several words")
            return
        if strange := [word for word in newer if word not in by_word]:
            self.problems.append(f"{place}: 'pooling_mode' is {strange[0]!r:.80}; known: {', '.join(by_word)}")
        known = {"word_embedding_dimension", "embedding_dimension", "pooling_mode", "include_prompt", *flags}
        self.unknown += [f"{key!r} in {place}" for key in sorted(settings.keys() - known) if settings[key]]
        self.found["pooling"] = tuple(by_word[word] for word in newer if word in by_word)
        self.found["include_prompt"] = self._typed(place, settings, "include_prompt", bool) is not False
        self.width *= len(newer)

    def _dense(self, path: str) -> None:
        file = self.root / path / "config.json"
        settings, place = self._settings(file), self._name(file)
        inputs, outputs = (self._typed(place, settings, key, int) or 0 for key in ("in_features", "out_features"))
        if inputs != self.width:
            self.problems.append(f"{place}: 'in_features' is {inputs}, but the vector has {self.width} numbers there")
        if outputs < 1:
            self.problems.append(f"{place}: 'out_features' is {settings.get('out_features')!r:.80}")
        for key in ("module_input_name", "module_output_name"):
            if settings.get(key) not in (None, "sentence_embedding"):
                self.unknown.append(f"{key!r} in {place}")
        word = self._typed(place, settings, "activation_function", str) or "torch.nn.Tanh"  # the default of the module
        activation = ACTIVATIONS.get(word.rpartition(".")[2]) if word.startswith("torch.") else None
        if activation is None:
            self.unknown.append(f"activation {word[:80]} of {path}")
        bias = self._typed(place, settings, "bias", bool) is not False
        weights = self._weights(path, inputs, outputs, bias)
        if "pooling" not in self.found:
            self.unknown.append(f"the place of {path}, which is before the pooling")
        if weights is not None:
            unit = self.found["normalize"]
            self.found["dense"] += (DenseLayer(path, inputs, outputs, activation or word[:80], weights, unit),)
        self.found["normalize"] = False
        self.width = outputs

    def _weights(self, path: str, inputs: int, outputs: int, bias: bool) -> Container | None:
        """Return the variables of a dense layer; None, with a problem, if they are not as its config says."""
        file = next((each for name in _OPENERS if (each := self.root / path / name).is_file()), None)
        if file is None:
            self.problems.append(f"{path} holds no weights ({' or '.join(_OPENERS)})")
            return None
        self.files.append(file)
        try:
            weights = _OPENERS[file.name](file)
        except ZooError as error:
            self.problems.append(str(error).rstrip("."))
            return None
        wanted: dict[str, Shape] = {"linear.weight": (outputs, inputs), **({"linear.bias": (outputs,)} if bias else {})}
        if dict(weights.shapes) != wanted:
            found = ", ".join(f"{name} {shape}" for name, shape in weights.shapes.items())
            self.problems.append(f"{self._name(file)} holds {found[:200]}; its config.json means {wanted}")
            return None
        return weights

    def _normalize(self, path: str) -> None:
        if "pooling" not in self.found:
            self.unknown.append(f"the place of {path}, which is before the pooling")
        self.found["normalize"] = True

    def _prompts(self) -> None:
        file = self.root / PROMPTS_FILE
        if not file.is_file():
            return
        settings, place = self._settings(file), self._name(file)
        prompts = self._typed(place, settings, "prompts", dict) or {}
        if wrong := [name for name, text in prompts.items() if not isinstance(text, str)]:
            self.problems.append(f"{place}: 'prompts' {', '.join(map(repr, wrong[:5]))} are not texts")
        default = self._typed(place, settings, "default_prompt_name", str)
        if default is not None and default not in {"query", "document", *prompts}:  # these two are always there
            self.problems.append(f"{place}: 'default_prompt_name' is {default!r:.80}, which 'prompts' does not have")
        if (kind := settings.get("model_type", "SentenceTransformer")) != "SentenceTransformer":
            self.unknown.append(f"a model of the kind {kind!r:.40}")
        self.found |= {"prompts": prompts, "default_prompt": default}
        self.found["similarity"] = self._typed(place, settings, "similarity_fn_name", str)

    # -- settings -----------------------------------------------------------------------------------------------------

    def _settings(self, file: Path) -> Mapping[str, Any]:
        """Return the settings of a file; {}, with a problem, if it is missing or damaged."""
        self.files.append(file)
        try:
            settings = _json(file)
        except ValueError as error:
            self.problems.append(f"{self._name(file)} cannot be read: {error}")
            return {}
        if not isinstance(settings, dict):
            self.problems.append(f"{self._name(file)} holds a {type(settings).__name__}, not an object of settings")
            return {}
        return settings

    def _typed(self, place: str, settings: Mapping[str, Any], key: str, kind: type) -> Any:
        """Return a setting, None if it is missing, null, or, with a problem, of another type."""
        value = settings.get(key)
        if value is None or type(value) is kind:
            return value
        self.problems.append(f"{place}: {key!r} is {value!r:.80}, not {_TYPES[kind]}")
        return None

    def _name(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()


_TYPES = {int: "a whole number", bool: "true or false", str: "a text", dict: "a list of names and texts"}
