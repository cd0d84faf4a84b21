"""Answers to texts in plain Python and numpy, float64: tokenizer, forward pass, pooling, dense layers, scores.

It shares nothing with the exporter: settings are read from the files beside the checkpoint once more, names are typed
by hand. `Chosen` are the options that a person gave. One text at a time, without padding.

Source: `Pooling`, `Dense`, `Normalize` and `CrossEncoder` of sentence_transformers; the classes
…ForSequenceClassification and the text-classification pipeline of transformers; run_classifier.py of
google-research/bert.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from export.oracle.answers import answer_in_context, tokens_for_masks
from export.oracle.entities import entities_of
from export.oracle.forward import ACTIVATIONS, Case, ReferenceOutputs
from export.oracle.names import Read
from export.oracle.wordpiece import ReferenceTokenizer

Answers = dict[str, np.ndarray]
Text = tuple[str, ...]  # one text, or a pair
MaskedLogits = Callable[[ReferenceOutputs, np.ndarray], np.ndarray]  # of positions (1, M): (1, M, V)
Move = Callable[[np.ndarray], np.ndarray]  # of logits
Forward = Callable[[Sequence[Case]], list[ReferenceOutputs]]

# Kernel and bias of the head for spans: transformers', and those of google-research/bert with "." between their parts.
_SPANS = (("qa_outputs.weight", "qa_outputs.bias"), ("cls.squad.output_weights", "cls.squad.output_bias"))
_COINS = 2  # moves of logits at random, to see whether a label hangs on a rounding


@dataclass(frozen=True)
class Chosen:
    """What a person chose, and what was decided elsewhere: the task, the limit and the names of the classes."""

    task: str
    max_length: int
    labels: Sequence[str] = ()
    pooling: str | None = None  # --pooling
    pairs_by: str = "round_robin"  # how a pair over the limit is cut


def _moves(by: float) -> Iterator[Move]:
    """Yield what moves logits by `by`, above 1 by that part of the largest: each up or down, and back.

    Neighbours in the order of a row, or of a column, go apart and together, so that no two equal ones are missed. Sums
    of several logits are equal in other ways; coins find most of those.
    """

    def by_order(axis: int, logits: np.ndarray) -> np.ndarray:
        return 1.0 - 2.0 * (logits.argsort(axis).argsort(axis) % 2)

    def by_coin(seed: int, logits: np.ndarray) -> np.ndarray:
        return np.random.default_rng(seed).choice([-1.0, 1.0], logits.shape)

    def move(by: float, signs: Move, logits: np.ndarray) -> np.ndarray:
        return logits + signs(logits) * by * max(1.0, float(np.abs(logits).max(initial=0.0)))

    for signs in (*(partial(by_order, axis) for axis in (0, -1)), *(partial(by_coin, seed) for seed in range(_COINS))):
        yield partial(move, by, signs)
        yield partial(move, -by, signs)


def _are_alike(one: Answers, other: Answers) -> bool:
    exact = [name for name, array in one.items() if array.dtype.kind != "f"]
    return all(np.array_equal(one[name], other[name]) for name in exact)


class TextOracle:
    """The answers of one checkpoint.

    oracle = TextOracle(tokenizer, forward_pass, checkpoint.read, checkpoint.shapes, config, folder, chosen)
    oracle.answers([("你好",)])[0]["vector"]  # (D,)
    """

    def __init__(
        self,
        tokenizer: ReferenceTokenizer,
        forward: Forward,
        read: Read,
        names: Collection[str],
        config: Mapping[str, Any],
        folder: Path,
        chosen: Chosen,
        masked_logits: MaskedLogits | None = None,
    ) -> None:
        self.masked_logits = masked_logits
        self.tokenizer, self.forward, self.chosen = tokenizer, forward, chosen
        self.read, self.names, self.config, self.folder = read, names, config, folder

    def answers(self, texts: Sequence[Text]) -> list[Answers]:
        """Return the outputs of the task for each text or pair, without the axis of the batch."""
        return [self._answer(*each) for each in self._forwarded(texts)]

    def decided(self, texts: Sequence[Text], by: float) -> list[Answers | None]:
        """Return the answers; None where a label or place changes if the logits change by `by`, see `_moves`."""
        found: list[Answers | None] = []
        for text, case, outputs in self._forwarded(texts):
            answer = self._answer(text, case, outputs)
            moved = (self._answer(text, case, outputs, move) for move in _moves(by))
            found.append(answer if all(_are_alike(answer, each) for each in moved) else None)
        return found

    def _forwarded(self, texts: Sequence[Text]) -> Iterator[tuple[Text, Case, ReferenceOutputs]]:
        prepared = [self._case(text) for text in texts]
        return zip(texts, prepared, self.forward(prepared), strict=True)

    def _answer(self, text: Text, case: Case, outputs: ReferenceOutputs, move: Move = np.asarray) -> Answers:
        """Return the answer to one text, from its logits as `move` changes them. A vector has none."""
        if self.chosen.task == "span":
            return self._span(text, case, outputs, move)
        if self.chosen.task == "token_classification":
            return self._entities(text, case, outputs, move)
        if self.chosen.task == "fill_mask":
            return self._filled(case, outputs, move)
        return self._vector(outputs) if self.chosen.task == "vector" else self._classification(outputs, move)

    # -- tokens -------------------------------------------------------------------------------------------------------

    def _case(self, text: Text) -> Case:
        first, *rest = text
        prompt = self._prompt()
        parts = [self.tokenizer.ids(self._lowered(each)) for each in (prompt + first, *rest)]
        cls, sep = (self.tokenizer.number[name] for name in (self.tokenizer.cls, self.tokenizer.sep))
        ids, types = [cls], [0]
        for number, part in enumerate(self._cut(parts)):
            ids += [*part, sep]
            types += [number] * (len(part) + 1)
        row = np.array([ids], np.int32)
        return Case(row, np.ones_like(row), np.array([types], np.int32))

    def _cut(self, parts: list[list[int]]) -> list[list[int]]:
        room = self.chosen.max_length - 1 - len(parts)
        if len(parts) == 1:
            return [parts[0][:room]]
        first, second = (len(part) for part in parts)
        if self.chosen.pairs_by == "only_second":
            first = min(first, room)
            return [parts[0][:first], parts[1][: room - first]]
        while first + second > room:  # one token at a time
            if first != second:
                first, second = (first - 1, second) if first > second else (first, second - 1)
            else:
                second -= 1
        is_odd = first == second + 1 and second < len(parts[1])
        if self.chosen.pairs_by == "longest_first" and is_odd and len(parts[0]) <= len(parts[1]):
            first, second = second, first  # Hugging Face's tokenizers give the odd token to the longer text
        return [parts[0][:first], parts[1][:second]]

    def _lowered(self, text: str) -> str:
        said = self._json("sentence_bert_config.json").get("do_lower_case") if self.chosen.task == "vector" else False
        return text.lower() if said and not self.tokenizer.lower_case else text

    def _prompt(self) -> str:
        if self.chosen.task != "vector":
            return ""
        said = self._json("config_sentence_transformers.json", self._root())
        return str((said.get("prompts") or {}).get(said.get("default_prompt_name") or "", ""))

    # -- vectors ------------------------------------------------------------------------------------------------------

    def _vector(self, outputs: ReferenceOutputs) -> Answers:
        x = self._pooled(outputs)
        dense = iter(self._dense_layers())
        kinds = [kind for kind, _ in self._modules() if kind in ("Dense", "Normalize")]
        if self.chosen.pooling:  # dense layers are left out, and a Normalize before one of them
            kinds = [kind for kind in kinds[-1:] if kind == "Normalize"]
        for kind in kinds:
            if kind == "Dense":
                kernel, bias, act = next(dense)
                x = act(x @ kernel.T.astype(np.float64) + bias)
            else:
                x = x / max(float(np.sqrt(np.sum(x * x))), 1e-12)
        return {"vector": x}

    def _pooled(self, outputs: ReferenceOutputs) -> np.ndarray:
        tokens = outputs.layers[-1][0]  # (T, H)
        count = len(tokens)
        kinds = {
            "cls": lambda: tokens[0],
            "max": lambda: tokens.max(0),
            "mean": lambda: tokens.sum(0) / count,
            "mean_sqrt_len_tokens": lambda: tokens.sum(0) / np.sqrt(count),
            "weightedmean": lambda: (tokens * np.arange(1, count + 1)[:, None]).sum(0) / (count * (count + 1) / 2),
            "lasttoken": lambda: tokens[-1],
            "pooled": lambda: outputs.pooled[0],
        }
        return np.concatenate([kinds[kind]() for kind in self._pooling_kinds()])

    def _pooling_kinds(self) -> list[str]:
        theirs = {"first": "cls", "mean_sqrt_len": "mean_sqrt_len_tokens"}
        if self.chosen.pooling:
            return [theirs.get(word, word) for word in self.chosen.pooling.split("+")]
        path = next(path for kind, path in self._modules() if kind == "Pooling")
        said = self._json("config.json", self._root() / path)
        if mode := said.get("pooling_mode"):
            return [mode] if isinstance(mode, str) else list(mode)
        flags = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
        words = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
        return [word for flag, word in zip(flags, words, strict=True) if said.get(f"pooling_mode_{flag}")] or ["mean"]

    def _dense_layers(self) -> list[tuple[np.ndarray, np.ndarray | float, Callable[[np.ndarray], np.ndarray]]]:
        found = []
        for kind, path in self._modules():
            if kind == "Dense":
                act = str(self._json("config.json", self._root() / path).get("activation_function") or "torch.nn.Tanh")
                word = {"Identity": "linear"}.get(act.rpartition(".")[2], act.rpartition(".")[2].lower())
                bias = f"{path}/linear.bias"
                added = self.read(bias).astype(np.float64) if bias in self.names else 0.0
                found.append((self.read(f"{path}/linear.weight"), added, ACTIVATIONS[word]))
        return found

    # -- classes ------------------------------------------------------------------------------------------------------

    def _classification(self, outputs: ReferenceOutputs, move: Move) -> Answers:
        logits = move(self._logits(outputs))
        scores = self._scores(logits)
        best = int(np.argmax(scores if len(logits) > 1 else logits))
        return {"logits": logits, "scores": scores, "label": np.array(self.chosen.labels[best])}

    def _logits(self, outputs: ReferenceOutputs) -> np.ndarray:
        first, pooled = outputs.layers[-1][0, 0], outputs.pooled[0]
        kind = str(self.config.get("model_type", ""))
        if self._name("classifier.out_proj.weight") is not None:
            word = {"electra": "gelu", "roformer": str(self.config.get("hidden_act", "gelu"))}.get(kind, "tanh")
            return self._dense(ACTIVATIONS[word](self._dense(first, "classifier.dense")), "classifier.out_proj")
        if self._name("pre_classifier.weight") is not None:
            return self._dense(np.maximum(self._dense(first, "pre_classifier"), 0), "classifier")
        if "pooler_dense/kernel" in self.names:  # Model Garden's classifier that does without the encoder's pooler
            kernel, bias = self.read("pooler_dense/kernel"), self.read("pooler_dense/bias")
            return self._last_layer(np.tanh(first @ kernel.astype(np.float64) + bias))
        return self._last_layer(pooled)

    def _last_layer(self, x: np.ndarray) -> np.ndarray:
        if "logits/kernel" in self.names:  # Model Garden
            return np.asarray(x @ self.read("logits/kernel").astype(np.float64) + self.read("logits/bias"))
        for place in ("", "loss/"):
            if f"{place}output_weights" in self.names:
                rows, bias = self.read(f"{place}output_weights"), self.read(f"{place}output_bias")
                return np.asarray(x @ rows.T.astype(np.float64) + bias)
        return self._dense(x, "classifier")

    def _scores(self, logits: np.ndarray) -> np.ndarray:
        own = self.config.get("sentence_transformers") or {}
        word = own.get("activation_fn") or self.config.get("sbert_ce_default_activation_function")
        problem = self.config.get("problem_type")
        if word is None:
            many = problem == "multi_label_classification" or len(logits) == 1
            is_number = problem == "regression" or ("logits/kernel" in self.names and len(logits) == 1)
            word = "Identity" if is_number else "Sigmoid" if many else "Softmax"
        if word.endswith("Identity"):
            return logits
        if word.endswith("Sigmoid"):
            return 1 / (1 + np.exp(-logits))
        powers = np.exp(logits - logits.max())
        return powers / powers.sum()

    def _dense(self, x: np.ndarray, scope: str) -> np.ndarray:
        kernel, bias = (self._name(f"{scope}.{leaf}") for leaf in ("weight", "bias"))
        assert kernel is not None and bias is not None
        return x @ self.read(kernel).T.astype(np.float64) + self.read(bias)

    def _name(self, ending: str) -> str | None:
        """Return the variable whose last parts are these, such as "classifier.weight", whatever stands before them."""
        return next((name for name in sorted(self.names) if f".{name}".replace("/", ".").endswith(f".{ending}")), None)

    # -- parts of a context, tokens ------------------------------------------------------------------------------------

    def _span(self, text: Text, case: Case, outputs: ReferenceOutputs, move: Move) -> Answers:
        x = outputs.layers[-1][0]
        if "logits/kernel" in self.names:
            logits = self._last_layer(x)
        else:
            spelled = next(names for names in _SPANS if self._name(names[0]))
            kernel, added = (self.read(name).astype(np.float64) for name in map(self._name, spelled) if name)
            logits = x @ kernel.T + added
        count = int(case.types.sum()) - 1
        return answer_in_context(self.tokenizer, text[1], move(logits), case.types.size - 1 - count, count)

    def _entities(self, text: Text, case: Case, outputs: ReferenceOutputs, move: Move) -> Answers:
        logits = move(self._last_layer(outputs.layers[-1][0]))
        pieces = [piece for word in self.tokenizer.offsets(text[0].encode()) for piece in word]
        fields = [name for name in self.names if name.endswith(("transitions", "transition", "trans"))]
        matrices = [name for name in fields if self.read(name).shape == (logits.shape[1],) * 2]
        crf = [self.read(name) for name in matrices]
        if matrices and (scope := matrices[0].removesuffix("transitions")) + "start_transitions" in self.names:
            crf += [self.read(f"{scope}{end}_transitions") for end in ("start", "end")]
        return entities_of(pieces, logits, self.chosen.labels, crf)

    def _filled(self, case: Case, outputs: ReferenceOutputs, move: Move) -> Answers:
        assert self.masked_logits is not None
        positions = np.flatnonzero(case.ids[0] == self.tokenizer.number[self.tokenizer.mask])[None]
        return tokens_for_masks(self.tokenizer.entries, move(self.masked_logits(outputs, positions)[0]))

    # -- files --------------------------------------------------------------------------------------------------------

    def _modules(self) -> list[tuple[str, str]]:
        file = self._root() / "modules.json"
        listed = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
        return [(module["type"].rpartition(".")[2], module["path"]) for module in listed]

    def _root(self) -> Path:
        return self.folder if (self.folder / "modules.json").is_file() else self.folder.parent

    def _json(self, name: str, folder: Path | None = None) -> Mapping[str, Any]:
        file = (folder or self.folder) / name
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        return found if isinstance(found, dict) else {}
