"""Directories of tokenizers as people have them, and the settings that transformers loads from each of them.

The files are written as transformers 4.57 and 5.24 write them, with the settings of real repositories. Their settings
were read off both versions; tests/runtimes/test_transformers.py does that again where transformers is installed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CHARS = "，。！？（）,.!?()-'0123456789abcdefghijklmnopqrstuvwxyzéèüß你好今天气怎么样我是中国人北京大学"
UNCASED = [
    *("[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *dict.fromkeys(_CHARS),
    *(f"##{char}" for char in dict.fromkeys("0123456789abcdefghijklmnopqrstuvwxyzéü你好天气")),
    *("##ing", "##ed", "hello", "world", "play", "the", "cafe", "café", "bert", "<s>", "</s>"),
]
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZÉ"
CASED = [*UNCASED, *_CAPITALS, *(f"##{char}" for char in _CAPITALS), "Hello", "World"]
SIZE = len(UNCASED)
PLAIN = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True}
BERT = {"tokenizer_class": "BertTokenizer"}
GENERIC = {"tokenizer_class": "PreTrainedTokenizerFast", **{f"{t[1:-1].lower()}_token": t for t in SPECIAL}}


@dataclass(frozen=True)
class Added:
    """One added token as transformers has it."""

    content: str
    id: int
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = False
    special: bool = True
    in_vocabulary: bool = False


@dataclass(frozen=True)
class Directory:
    """The files of a directory, and what transformers makes of them."""

    files: Mapping[str, Any]
    lower_case: bool = True
    strip_accents: bool = True
    tokenize_chinese_chars: bool = True
    added: tuple[Added, ...] = ()
    special: Mapping[str, str] = field(default_factory=lambda: {token: token for token in SPECIAL})
    versions: tuple[int, ...] = (4, 5)  # of transformers that can load it
    departs: str = ""  # why our tokenizer does not do what transformers does

    def write(self, folder: Path) -> Path:
        """Write the files into a folder, which is made, and return it."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            (folder / name).write_bytes(text.encode())
        return folder


def vocab_txt(entries: Sequence[str] = UNCASED) -> str:
    """Return the text of a vocab.txt."""
    return "".join(f"{entry}\n" for entry in entries)


def tokenizer_json(
    entries: Sequence[str] = UNCASED,
    added: Sequence[Mapping[str, Any]] = (),
    special: Mapping[str, str] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Return a tokenizer.json as transformers writes it; `changes` are those of its normaliser."""
    ids = {entry: number for number, entry in enumerate(entries)}
    names = special or {token: token for token in SPECIAL}
    cls, sep = ({"id": names[token], "type_id": 0} for token in ("[CLS]", "[SEP]"))
    single = [{"SpecialToken": cls}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": sep}]
    second = [{"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {**sep, "type_id": 1}}]
    normalizer = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": ids[t], "content": t, **PLAIN} for t in names.values() if t in ids] + list(added),
        "normalizer": {"type": "BertNormalizer", **normalizer, **changes},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, *second],
            "special_tokens": {
                token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in (cls["id"], sep["id"])
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": names["[UNK]"],
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    }


def decoder(*added: tuple[int, str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return an added_tokens_decoder with the special tokens and others."""
    five = {str(UNCASED.index(token)): {"content": token, **PLAIN} for token in SPECIAL}
    return {"added_tokens_decoder": five | {str(number): {"content": t, **PLAIN, **how} for number, t, how in added}}


_ROBERTA = dict(zip(SPECIAL, ("<pad>", "<unk>", "<s>", "</s>", "<mask>"), strict=True))
_ROBERTA_VOCABULARY = [_ROBERTA.get(entry, entry) for entry in UNCASED if entry not in ("<s>", "</s>")]
_ROBERTA_NAMES = {f"{token[1:-1].lower()}_token": spelling for token, spelling in _ROBERTA.items()}
_CASED_TXT, _TXT = vocab_txt(CASED), vocab_txt()
_ENT = {"id": SIZE, "content": "[ENT]", **PLAIN}
_LEGACY = {"single_word": False, "normalized": True, "special": False}

DIRECTORIES: dict[str, Directory] = {
    "vocab.txt alone": Directory({"vocab.txt": _TXT}),
    "as 4 saves": Directory(
        {"vocab.txt": _TXT, "tokenizer.json": tokenizer_json(), "tokenizer_config.json": BERT | decoder()}
    ),
    "as 5 saves": Directory(
        {
            "tokenizer.json": tokenizer_json(CASED, lowercase=False),
            "tokenizer_config.json": BERT | {"backend": "tokenizers", "do_lower_case": False, "is_local": False},
        },
        lower_case=False,
        strip_accents=False,
    ),
    "as 5 saves, generic": Directory(
        {
            "tokenizer.json": tokenizer_json(CASED, lowercase=False),
            "tokenizer_config.json": {**GENERIC, "tokenizer_class": "TokenizersBackend"},
        },
        lower_case=False,
        strip_accents=False,
        versions=(5,),
    ),
    "cased": Directory(
        {"vocab.txt": _CASED_TXT, "tokenizer_config.json": BERT | {"do_lower_case": False}},
        lower_case=False,
        strip_accents=False,
    ),
    "cased without accents": Directory(
        {"vocab.txt": _CASED_TXT, "tokenizer_config.json": BERT | {"do_lower_case": False, "strip_accents": True}},
        lower_case=False,
    ),
    "uncased with accents": Directory(
        {"vocab.txt": _TXT, "tokenizer_config.json": BERT | {"do_lower_case": True, "strip_accents": False}},
        strip_accents=False,
    ),
    "Chinese characters in words": Directory(
        {"vocab.txt": _TXT, "tokenizer_config.json": BERT | {"tokenize_chinese_chars": False}},
        tokenize_chinese_chars=False,
    ),
    "MacBERT's": Directory(
        {"vocab.txt": _TXT, "tokenizer_config.json": BERT | {"do_lower_case": False}},
        departs="do_lower_case=false over a vocabulary without capitals would make every capital [UNK]",
    ),
    "class over tokenizer.json": Directory(
        {
            "tokenizer.json": tokenizer_json(CASED, lowercase=False, strip_accents=True, handle_chinese_chars=False),
            "tokenizer_config.json": BERT,
        }
    ),
    "tokenizer.json over settings": Directory(
        {
            "tokenizer.json": tokenizer_json(CASED, lowercase=False, strip_accents=True),
            "tokenizer_config.json": GENERIC | {"do_lower_case": True},
        },
        lower_case=False,
    ),
    "tokenizer.json alone": Directory({"tokenizer.json": tokenizer_json()}),
    "sequence of normalisers": Directory(
        {
            "tokenizer.json": tokenizer_json()
            | {
                "normalizer": {
                    "type": "Sequence",
                    "normalizers": [
                        {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True}
                        | {"strip_accents": False, "lowercase": False},
                        *({"type": kind} for kind in ("NFD", "StripAccents", "Lowercase")),
                    ],
                }
            },
            "tokenizer_config.json": GENERIC,
        }
    ),
    "ELECTRA's class": Directory(
        {"vocab.txt": _TXT, "tokenizer_config.json": {"tokenizer_class": "ElectraTokenizerFast"}}
    ),
    "slow tokenizer's settings": Directory(
        {
            "vocab.txt": _TXT,
            "tokenizer_config.json": BERT
            | {"never_split": ["a.b"], "do_basic_tokenize": False, "model_max_length": 512},
            "special_tokens_map.json": {"cls_token": "[CLS]", "unk_token": {"content": "[UNK]", **PLAIN}},
        }
    ),
    "added in three files": Directory(
        {
            "vocab.txt": _TXT,
            "tokenizer.json": tokenizer_json(added=[_ENT, {**_ENT, "id": SIZE + 1, "content": "<e1>"}]),
            "tokenizer_config.json": BERT
            | decoder((SIZE, "[ENT]", {}), (SIZE + 1, "<e1>", {}))
            | {"additional_special_tokens": ["[ENT]", "<e1>"]},
            "added_tokens.json": {"<e1>": SIZE + 1, "[ENT]": SIZE},
        },
        added=(Added("[ENT]", SIZE), Added("<e1>", SIZE + 1)),
    ),
    "flags of two files": Directory(
        {
            "tokenizer.json": tokenizer_json(added=[_ENT]),
            "tokenizer_config.json": BERT | decoder((SIZE, "[ENT]", {"single_word": True, "lstrip": True})),
        },
        added=(Added("[ENT]", SIZE, single_word=True, lstrip=True),),
    ),
    "added_tokens.json": Directory(
        {
            "vocab.txt": _TXT,
            "added_tokens.json": {"[ENT]": SIZE + 1, "foobar": SIZE},
            "tokenizer_config.json": BERT,
        },
        added=(
            Added("foobar", SIZE, normalized=True, special=False),
            Added("[ENT]", SIZE + 1, normalized=True, special=False),
        ),
    ),
    "added_tokens.json and special_tokens_map.json": Directory(
        {
            "vocab.txt": _TXT,
            "added_tokens.json": {"[Q]": SIZE},
            "tokenizer_config.json": BERT,
            "special_tokens_map.json": {"additional_special_tokens": ["[Q]"]},
        },
        added=(Added("[Q]", SIZE),),
        versions=(4,),  # 5 looks for [Q] in the normalised text
    ),
    "special tokens without ids": Directory(
        {
            "vocab.txt": _TXT,
            "tokenizer_config.json": BERT
            | {"bos_token": "[BOS]", "eos_token": "</s>", "additional_special_tokens": ["hello", "[Q]"]},
        },
        added=(
            Added("[BOS]", SIZE),
            Added("</s>", UNCASED.index("</s>"), in_vocabulary=True),
            Added("hello", UNCASED.index("hello"), in_vocabulary=True),
            Added("[Q]", SIZE + 1),
        ),
    ),
    "extra special tokens": Directory(
        {"vocab.txt": _TXT, "tokenizer_config.json": BERT | {"extra_special_tokens": {"query_token": "[Q]"}}},
        added=(Added("[Q]", SIZE),),
    ),
    "a token behind a missing [MASK]": Directory(
        {
            "vocab.txt": vocab_txt([entry for entry in UNCASED if entry != "[MASK]"]),
            "tokenizer_config.json": BERT | {"additional_special_tokens": ["[Q]"]},
        },
        added=(Added("[Q]", SIZE),),
    ),
    "names of RoBERTa": Directory(
        {
            "vocab.txt": vocab_txt(_ROBERTA_VOCABULARY),
            "tokenizer.json": tokenizer_json(_ROBERTA_VOCABULARY, special=_ROBERTA),
            "tokenizer_config.json": BERT | _ROBERTA_NAMES,
        },
        special=_ROBERTA,
    ),
    "special_tokens_map.json over tokenizer_config.json": Directory(
        {
            "vocab.txt": _TXT,
            "tokenizer_config.json": BERT | {"cls_token": "[CLS]"},
            "special_tokens_map.json": {"cls_token": "<s>", "sep_token": "</s>"},
        },
        special={token: {"[CLS]": "<s>", "[SEP]": "</s>"}.get(token, token) for token in SPECIAL},
    ),
    "flags that are left out": Directory(
        {
            "vocab.txt": _TXT,
            "tokenizer_config.json": BERT
            | {
                "added_tokens_decoder": {
                    str(SIZE): {"content": "foobar"},
                    str(SIZE + 1): {"content": "[Q]", "special": True},
                }
            }
            | {"additional_special_tokens": ["[Q]"], "cls_token": {"content": "[CLS]", "__type": "AddedToken"}},
        },
        added=(Added("foobar", SIZE, normalized=True, special=False), Added("[Q]", SIZE + 1)),
    ),
    "special_tokens_map.json not read": Directory(
        {
            "vocab.txt": _TXT,
            "tokenizer_config.json": BERT | decoder(),
            "special_tokens_map.json": {"cls_token": "<s>", "sep_token": "</s>"},
        }
    ),
    "repeated and blank lines": Directory(
        {"vocab.txt": vocab_txt([*UNCASED[:20], "z", "", *UNCASED[20:]]), "tokenizer_config.json": BERT}
    ),
}
