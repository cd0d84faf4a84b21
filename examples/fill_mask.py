"""Fill-mask: the tokens that a model proposes in the place of [MASK].

    python examples/fill_mask.py
    python examples/fill_mask.py "今天[MASK]气很好。"
    python examples/fill_mask.py --model dist/english.tar.gz "The capital of France is [MASK]."

A model of your own: zoo export CHECKPOINT --task fill_mask --name english --out dist
"""

# %% Before you begin
# Run `pip install '.[hf,fast]'` in a checkout. A model is built when its name is first used: for bert_fill_mask, which
# reads Chinese, that fetches about 400 MB; after that no network is needed. An English one is made of a directory of
# transformers that has a masked-LM head: `zoo export bert-base-uncased --task fill_mask --name english --out dist`.
import zoo

TEXTS = ["今天[MASK]气很好。", "中国的首都是[MASK]京。", "我们去公园[MASK]步[MASK]。"]


# %% script
def run(model: str, texts: list[str] | None = None, k: int = 5) -> dict[str, object]:
    """Do it all. The steps are the cells of the notebook."""
    # %% Settings
    # A name, hub id, .tar.gz or directory of a text archive for fill_mask; `zoo list --task fill_mask` shows names.

    # %% notebook
    # model, texts, k = "bert_fill_mask", TEXTS, 5

    # %% Step 1: ask
    # A text has any number of [MASK], and each gets the five likeliest tokens: ragged [B, (masks), 5].
    fill = zoo.load(model)
    texts = texts or TEXTS
    answer = fill(texts)
    tokens, scores = answer["token"].to_list(), answer["score"].to_list()

    # %% Step 2: the likeliest first
    for text, of_text, chances in zip(texts, tokens, scores, strict=True):
        print(text)
        for number, (some, each) in enumerate(zip(of_text, chances, strict=True), 1):
            found = [f"{token.decode()} {chance:.0%}" for token, chance in zip(some, each, strict=True)]
            print(f"  [MASK] {number}: {', '.join(found[:k])}")

    # %% Step 3: the text with its best tokens
    filled = []
    for text, of_text in zip(texts, tokens, strict=True):
        for some in of_text:
            text = text.replace("[MASK]", some[0].decode().removeprefix("##"), 1)
        filled.append(text)
    print(*filled, sep="\n")
    # %% script
    return {"tokens": tokens, "filled": filled}


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="*", help="texts with [MASK]")
    parser.add_argument("--model", default="bert_fill_mask", help="a name, hub id, .tar.gz or directory")
    parser.add_argument("-k", type=int, default=5, help="how many tokens to show, at most 5")
    run(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
