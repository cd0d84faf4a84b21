"""Question answering: the part of a text that answers a question, or the answer that there is none.

    python examples/question_answering.py
    python examples/question_answering.py "谁开了这家店？" "李明在1998年开了这家店。"
    python examples/question_answering.py --model dist/english.tar.gz "Who?" "Ann opened the shop in 1998."

A model of your own: zoo export CHECKPOINT --name english --out dist, of a class …ForQuestionAnswering.
"""

# %% Before you begin
# Run `pip install '.[hf,fast]'` in a checkout. A model is built when its name is first used: for mrc_roberta_wwm_large,
# which reads Chinese, that fetches about 1.3 GB; after that no network is needed. An English one is made of any
# directory of transformers with the class BertForQuestionAnswering: `zoo export DIR --name english --out dist`.
import zoo

CONTEXT = "长江发源于青藏高原，全长约6300千米，在上海流入东海。流域里有重庆、武汉和南京等城市。"
QUESTIONS = ["长江有多长？", "长江在哪里流入东海？", "长江从哪里来？", "流域里有哪些城市？"]


# %% script
def run(model: str, questions: list[str] | None = None, context: str = CONTEXT) -> dict[str, object]:
    """Do it all. The steps are the cells of the notebook."""
    # %% Settings
    # A name, hub id, .tar.gz or directory of a text archive for span; `zoo list --task span` shows names.

    # %% notebook
    # model, questions, context = "mrc_roberta_wwm_large", QUESTIONS, CONTEXT

    # %% Step 1: ask
    # Pairs of a question and its context. A context that is too long is cut at its end: give long ones in parts.
    ask = zoo.load(model)
    questions = questions or QUESTIONS
    answer = ask([(question, context) for question in questions])

    # %% Step 2: the answers
    # `score` says how sure the model is of the answer, `null_score` how sure it is that there is none.
    answers = [text.decode() for text in answer["answer"].numpy()]
    for question, text, score, none in zip(questions, answers, answer["score"], answer["null_score"], strict=True):
        print(f"{question}  {text}  ({float(score):.2f}; no answer: {float(none):.2f})")

    # %% Step 3: where they stand
    # `start` and `limit` count bytes of UTF-8: slice the encoded context, not the str.
    data = context.encode()
    places = zip(answer["start"].numpy().tolist(), answer["limit"].numpy().tolist(), strict=True)
    marked = [
        f"{data[:start].decode()}【{data[start:limit].decode()}】{data[limit:].decode()}" for start, limit in places
    ]
    print(*marked, sep="\n")
    # %% script
    return {"answers": answers, "marked": marked}


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", nargs="?", help="a question of your own, with its context")
    parser.add_argument(
        "context", nargs="?", default=CONTEXT, help="the text that answers it; default one that is made up"
    )
    parser.add_argument("--model", default="mrc_roberta_wwm_large", help="a name, hub id, .tar.gz or directory")
    given = parser.parse_args()
    run(given.model, [given.question] if given.question else None, given.context)


if __name__ == "__main__":
    main()
