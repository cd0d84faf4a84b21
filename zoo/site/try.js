// "Try it" on a card: the tokens and ids of a typed text, and how alike two texts are where the site ships ONNX Runtime.

const tokenizers = new Map(); // file -> promise of a tokenizer
const encoders = new Map();

function once(made, key, make) {
  if (!made.has(key)) {
    made.set(key, make());
    made.get(key).catch(() => made.delete(key)); // the next letter tries again
  }
  return made.get(key);
}

/** Return the tokens of a text as the archive of a card reads it, [CLS] and [SEP] included, and the tokenizer. */
async function tokensOf({ file, prompt, lower_case: lower }, text) {
  if (!text.isWellFormed()) throw new Error(words.halfPair);
  const read = async () => tokenizerOf(JSON.parse(new TextDecoder().decode(await bytesOf(file))));
  const tokenizer = await once(tokenizers, file.file, read);
  const given = prompt + text;
  return { tokenizer, tokens: tokenizer.tokens(lower ? given.replaceAll("\0", "").toLowerCase() : given) };
}

/** Return the ids of a row as the archive makes it: cut at its limit. */
function rowOf({ tokenizer, tokens }, limit) {
  return tokenizer.wrapped(tokens.slice(0, limit - tokenizer.frame)).map((each) => each.id);
}

for (const section of $$("[data-try]")) {
  const { tokens: stated, vectors } = facts.get(section.dataset.try);
  const [first, counted, pieces] = [$(".first", section), $(".counted", section), $(".pieces", section)];
  let latest = 0;

  const show = async () => {
    const turn = ++latest;
    try {
      if (!place.http) throw new Error(words.served);
      const made = first.value ? await tokensOf(stated, first.value) : null;
      if (turn !== latest) return; // a later letter is shown already
      const shown = made ? made.tokenizer.wrapped(made.tokens) : [];
      counted.textContent = made ? words.counted(shown.length, stated.limit) : "";
      pieces.replaceChildren(...shown.map(({ token, id }) => {
        const piece = make("li", {});
        piece.append(make("code", {}, token), make("span", { class: "id" }, String(id)));
        return piece;
      }));
    } catch (error) {
      if (turn !== latest) return;
      counted.textContent = error.message;
      pieces.replaceChildren();
    }
  };
  first.addEventListener("input", show);

  const button = $(".likeness", section);
  if (!button) continue;
  const [second, answer] = [$(".second", section), $(".cosine", section)];
  button.addEventListener("click", async () => {
    answer.textContent = words.loading;
    try {
      if (!place.http) throw new Error(words.served);
      const rowsOfBoth = await Promise.all([first.value, second.value].map(async (text) => rowOf(await tokensOf(stated, text), stated.limit)));
      const encode = await once(encoders, vectors.file, () => encoderOf(vectors));
      const [a, b] = [await encode(rowsOfBoth[0]), await encode(rowsOfBoth[1])];
      answer.textContent = words.cosine(cosine(a, b));
    } catch (error) {
      answer.textContent = error.message;
    }
  });
}
