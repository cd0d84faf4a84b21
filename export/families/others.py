"""Architectures that are known and not converted, with the reason.

Many have BERT's variable names and another arithmetic: an export as BERT would give wrong numbers without an error.
"""

from collections.abc import Mapping

_RELATIVE = "relative positions"
_PRE_NORM = "norms stand before attention and feed-forward"
_MODERN = "rotary positions, gated feed-forward"
_DECODES = "an encoder and a decoder"
_BOXES = "places on a page are part of the input"
_OTHER_ATTENTION = "another attention"

# "model_type" in configs of transformers -> what it is, and why BERT's arithmetic is not enough
OTHERS: Mapping[str, str] = {
    "bart": f"BART ({_DECODES})",
    "big_bird": f"BigBird ({_OTHER_ATTENTION}: blocks, some of them random)",
    "bros": f"BROS ({_BOXES})",
    "canine": "CANINE (characters instead of a vocabulary)",
    "chinese_clip": "ChineseCLIP (text and images)",
    "clip": "CLIP (text and images)",
    "clip_text_model": f"the text part of CLIP ({_PRE_NORM})",
    "convbert": "ConvBERT (convolutions beside attention)",
    "deberta": "DeBERTa (disentangled attention)",
    "deberta-v2": "DeBERTa (disentangled attention)",
    "ernie_m": "ERNIE-M (other names, two positions without use)",
    "esm": "ESM (proteins; rotary positions)",
    "esmc": f"ESM C (proteins; {_MODERN})",
    "eurobert": f"EuroBERT ({_MODERN})",
    "flaubert": "FlauBERT (names and arithmetic of XLM)",
    "fnet": "FNet (Fourier transforms instead of attention)",
    "funnel": "Funnel (layers that pool tokens)",
    "gte": f"GTE of 2024 ({_MODERN})",
    "ibert": "I-BERT (whole numbers, with scales of its own)",
    "jina_embeddings_v3": "Jina Embeddings v3 (rotary positions)",
    "layoutlm": f"LayoutLM ({_BOXES})",
    "layoutlmv2": f"LayoutLMv2 ({_BOXES})",
    "layoutlmv3": f"LayoutLMv3 ({_BOXES}, {_RELATIVE})",
    "lilt": f"LiLT ({_BOXES})",
    "longformer": f"Longformer ({_OTHER_ATTENTION}: windows, and tokens that see all)",
    "luke": "LUKE (entities beside words)",
    "lxmert": "LXMERT (text and images)",
    "markuplm": "MarkupLM (places in a web page are part of the input)",
    "mbart": f"mBART ({_DECODES})",
    "mega": "MEGA (moving averages and gates beside attention)",
    "megatron-bert": f"MegatronBERT ({_PRE_NORM})",
    "mobilebert": "MobileBERT (bottlenecks, norms without mean)",
    "modernbert": f"ModernBERT ({_MODERN})",
    "modernvbert": "ModernVBERT (text and images)",
    "mpnet": f"MPNet ({_RELATIVE})",
    "mra": f"MRA ({_OTHER_ATTENTION}: approximate)",
    "mt5": f"mT5 ({_RELATIVE}, {_DECODES})",
    "neomme": "NeoMME (rotary positions, gated attention)",
    "nomic_bert": f"NomicBERT ({_MODERN})",
    "nystromformer": f"Nyströmformer ({_OTHER_ATTENTION}: approximate)",
    "perceiver": f"Perceiver ({_OTHER_ATTENTION}: from a few latent vectors)",
    "qdqbert": "QDQBERT (quantised)",
    "realm": "REALM (several encoders and a store of texts)",
    "reformer": f"Reformer ({_OTHER_ATTENTION}: by hashing)",
    "rembert": "RemBERT (word table and output table of different widths)",
    "retribert": "RetriBERT (two projections behind one encoder)",
    "roberta-prelayernorm": f"RoBERTa-PreLayerNorm ({_PRE_NORM})",
    "roc_bert": "RoCBert (shapes and sounds of characters)",
    "roformer_v2": "RoFormerV2 (rotary positions, no biases)",
    "squeezebert": "SqueezeBERT (grouped convolutions)",
    "t5": f"T5 ({_RELATIVE}, {_DECODES})",
    "tapas": "TAPAS (rows and columns of tables are part of the input)",
    "ultrabert": f"UltraBERT ({_MODERN})",
    "umt5": f"UMT5 ({_RELATIVE}, {_DECODES})",
    "vilt": "ViLT (text and images)",
    "visual_bert": "VisualBERT (text and images)",
    "xlm": "XLM (other names, languages as an input)",
    "xlm-roberta-xl": f"XLM-RoBERTa-XL ({_PRE_NORM})",
    "xlnet": f"XLNet ({_RELATIVE}, permuted)",
    "xmod": "X-MOD (an adapter for each language)",
    "yoso": f"YOSO ({_OTHER_ATTENTION}: by hashing)",
}
