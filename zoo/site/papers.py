"""The papers that registry rows name by URL: title, authors and year, for people who cite a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A paper. `authors` is as BibTeX has it; "and others" stands for the authors that are not typed here."""

    key: str
    title: str
    authors: str
    year: int


_ARXIV = "https://arxiv.org/abs/"
PAPERS: Mapping[str, Paper] = {
    f"{_ARXIV}1810.04805": Paper(
        "devlin2018bert",
        "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
        "Devlin, Jacob and Chang, Ming-Wei and Lee, Kenton and Toutanova, Kristina",
        2018,
    ),
    f"{_ARXIV}1909.11942": Paper(
        "lan2019albert",
        "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations",
        "Lan, Zhenzhong and Chen, Mingda and Goodman, Sebastian and Gimpel, Kevin and Sharma, Piyush and Soricut, Radu",
        2019,
    ),
    f"{_ARXIV}1906.08101": Paper(
        "cui2019wwm",
        "Pre-Training with Whole Word Masking for Chinese BERT",
        "Cui, Yiming and others",
        2019,
    ),
    f"{_ARXIV}2004.13922": Paper(
        "cui2020macbert",
        "Revisiting Pre-Trained Models for Chinese Natural Language Processing",
        "Cui, Yiming and others",
        2020,
    ),
    f"{_ARXIV}2003.10555": Paper(
        "clark2020electra",
        "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators",
        "Clark, Kevin and Luong, Minh-Thang and Le, Quoc V. and Manning, Christopher D.",
        2020,
    ),
    f"{_ARXIV}2203.06906": Paper(
        "cui2022pert", "PERT: Pre-training BERT with Permuted Language Model", "Cui, Yiming and others", 2022
    ),
    f"{_ARXIV}2211.05344": Paper(
        "cui2022lert",
        "LERT: A Linguistically-motivated Pre-trained Language Model",
        "Cui, Yiming and others",
        2022,
    ),
    f"{_ARXIV}2107.02137": Paper(
        "sun2021ernie3",
        "ERNIE 3.0: Large-scale Knowledge Enhanced Pre-training for Language Understanding and Generation",
        "Sun, Yu and others",
        2021,
    ),
    f"{_ARXIV}2110.06696": Paper(
        "zhang2021mengzi",
        "Mengzi: Towards Lightweight yet Ingenious Pre-trained Models for Chinese",
        "Zhang, Zhuosheng and others",
        2021,
    ),
    f"{_ARXIV}1909.05658": Paper(
        "zhao2019uer", "UER: An Open-Source Toolkit for Pre-training Models", "Zhao, Zhe and others", 2019
    ),
    f"{_ARXIV}1908.10084": Paper(
        "reimers2019sbert",
        "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks",
        "Reimers, Nils and Gurevych, Iryna",
        2019,
    ),
    f"{_ARXIV}2308.03281": Paper(
        "li2023gte",
        "Towards General Text Embeddings with Multi-stage Contrastive Learning",
        "Li, Zehan and others",
        2023,
    ),
    f"{_ARXIV}2309.07597": Paper(
        "xiao2023bge",
        "C-Pack: Packaged Resources To Advance General Chinese Embedding",
        "Xiao, Shitao and others",
        2023,
    ),
    f"{_ARXIV}2209.02970": Paper(
        "wang2022fengshenbang",
        "Fengshenbang 1.0: Being the Foundation of Chinese Cognitive Intelligence",
        "Wang, Junjie and others",
        2022,
    ),
    f"{_ARXIV}2506.06335": Paper(
        "xu2025finbert2",
        "FinBERT2: A Specialized Bidirectional Encoder for Bridging the Gap in Finance-Specific Deployment of Large "
        "Language Models",
        "Xu, Xuan and others",
        2025,
    ),
    "https://kexue.fm/archives/7427": Paper(
        "su2020simbert", "SimBERT: Integrating Retrieval and Generation into BERT", "Su, Jianlin", 2020
    ),
}


def citation(url: str) -> str | None:
    """Return the BibTeX entry of the paper at a URL, None for one that is not listed here."""
    paper = PAPERS.get(url)
    if paper is None:
        return None
    eprint = url.removeprefix(_ARXIV)
    at_arxiv = f"  eprint = {{{eprint}}},\n  archivePrefix = {{arXiv}},\n" if eprint != url else ""
    return (
        f"@misc{{{paper.key},\n  title = {{{{{paper.title}}}}},\n  author = {{{paper.authors}}},\n"
        f"  year = {{{paper.year}}},\n{at_arxiv}  url = {{{url}}}\n}}"
    )
