// Texts to tokens by a tokenizer.json of WordPiece: the ids of the archive's own tokenizer. Needs no page: Node runs it too.

const WORD_CHARACTER = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const CJK = /[\u4E00-\u9FFF\u3400-\u4DBF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B820}-\u{2CEAF}\uF900-\uFAFF\u{2F800}-\u{2FA1F}]/gu;

// Steps of a tokenizer.json that change a text, by their type. Lower case is that of each character alone.
const NORMALIZERS = {
  Sequence: (step) => inTurn(step.normalizers.map(normalizerOf)),
  Replace: (step) => replacing(expression(step.pattern), step.content),
  Lowercase: () => (text) => [...text].map((character) => character.toLowerCase()).join(""),
  NFD: () => (text) => text.normalize("NFD"),
  BertNormalizer: (step) => {
    if (step.clean_text || step.lowercase || step.strip_accents || !step.handle_chinese_chars) throw new Error("BertNormalizer");
    return (text) => text.replace(CJK, " $& ");
  },
};

// Steps that split a text into words.
const SPLITTERS = {
  Sequence: (step) => { const parts = step.pretokenizers.map(splitterOf); return (words) => parts.reduce((made, part) => part(made), words); },
  WhitespaceSplit: () => (words) => words.flatMap((word) => word.split(/\p{White_Space}+/u)).filter(Boolean),
  Split: (step) => {
    if (step.behavior !== "Isolated" || step.invert) throw new Error(`Split ${step.behavior}`);
    const alone = expression(step.pattern);
    return (words) => words.flatMap((word) => apart(word, alone));
  },
};

const inTurn = (steps) => (text) => steps.reduce((made, step) => step(made), text);
const replacing = (found, content) => (text) => text.replace(found, () => content);
const normalizerOf = (step) => known(NORMALIZERS, step)(step);
const splitterOf = (step) => known(SPLITTERS, step)(step);

function known(steps, step) {
  if (!step || !Object.hasOwn(steps, step.type)) throw new Error(`this page knows no ${step && step.type}`);
  return steps[step.type];
}

/** Return a regular expression that is written for Oniguruma: \x{4E00} is \u{4E00} here. */
function expression(pattern) {
  return new RegExp(pattern.Regex.replaceAll("\\x{", "\\u{"), "gu");
}

function apart(word, alone) {
  const parts = [];
  let end = 0;
  for (const found of word.matchAll(alone)) {
    parts.push(word.slice(end, found.index), found[0]);
    end = found.index + found[0].length;
  }
  return [...parts, word.slice(end)].filter(Boolean);
}

/**
 * Return {tokens(text), wrapped(tokens), frame}: tokens are [{token, id}] of a text without [CLS] and [SEP], which
 * `wrapped` puts around them; `frame` is how many it adds. Throws an Error for a tokenizer.json with other steps.
 */
function tokenizerOf(stated) {
  const { model, added_tokens: added = [] } = stated;
  if (model.type !== "WordPiece") throw new Error(`this page knows no ${model.type}`);
  const vocabulary = new Map(Object.entries(model.vocab));
  const normalized = normalizerOf(stated.normalizer);
  const words = splitterOf(stated.pre_tokenizer);
  const asGiven = added.filter((token) => !token.normalized).map((token) => ({ ...token, sought: token.content }));
  const changed = added.filter((token) => token.normalized).map((token) => ({ ...token, sought: normalized(token.content) }));
  const unknown = { token: model.unk_token, id: vocabulary.get(model.unk_token) };
  const pieces = (word) => piecesOf([...word], vocabulary, model, unknown);

  const tokens = (text) =>
    cutAt(text, asGiven).flatMap((part) => {
      if (part.token) return [{ token: part.token.content, id: part.token.id }];
      return cutAt(normalized(part.text), changed).flatMap((inner) =>
        inner.token ? [{ token: inner.token.content, id: inner.token.id }] : words([inner.text]).flatMap(pieces));
    });
  const { single, special_tokens: special } = stated.post_processor;
  const place = single.findIndex((each) => each.Sequence);
  const ends = single.map((each) => each.SpecialToken && { token: each.SpecialToken.id, id: special[each.SpecialToken.id].ids[0] });
  return { tokens, frame: ends.length - 1, wrapped: (inside) => [...ends.slice(0, place), ...inside, ...ends.slice(place + 1)] };
}

/** Return the pieces of a word, the longest entry of the vocabulary first; one [UNK] if some part of it has none. */
function piecesOf(characters, vocabulary, model, unknown) {
  if (characters.length > model.max_input_chars_per_word) return [unknown];
  const pieces = [];
  for (let start = 0; start < characters.length;) {
    let limit = characters.length;
    let piece = "";
    for (; limit > start; limit--) {
      piece = (start ? model.continuing_subword_prefix : "") + characters.slice(start, limit).join("");
      if (vocabulary.has(piece)) break;
    }
    if (limit === start) return [unknown];
    pieces.push({ token: piece, id: vocabulary.get(piece) });
    start = limit;
  }
  return pieces;
}

/**
 * Return {text} and {token} in their order: a text cut at the tokens that it holds as a whole, the longest of several.
 * The white space that `lstrip` and `rstrip` add to a token is no part of any other, so they change no ids.
 */
function cutAt(text, whole) {
  const parts = [];
  let end = 0;
  for (let at = 0; at < text.length;) {
    const token = whole.reduce((best, each) => (each.sought && text.startsWith(each.sought, at) && (!best || each.sought.length > best.sought.length) ? each : best), null);
    if (!token) { at += 1; continue; }
    const start = at;
    at += token.sought.length;
    if (token.single_word && (WORD_CHARACTER.test(lastOf(text.slice(0, start))) || WORD_CHARACTER.test(firstOf(text.slice(at))))) continue;
    parts.push({ text: text.slice(end, start) }, { token });
    end = at;
  }
  return [...parts, { text: text.slice(end) }].filter((part) => part.token || part.text);
}

const firstOf = (text) => (text ? String.fromCodePoint(text.codePointAt(0)) : "");
const lastOf = (text) => [...text.slice(-2)].at(-1) || "";
