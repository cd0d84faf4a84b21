// Texts to the inputs of an encoder, with the ids that the zoo's own tokenizer gives.
import { readFile } from 'node:fs/promises';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';

export class Tokenizer {
  #tokenizer;

  constructor(json) {
    this.#tokenizer = new HuggingFaceTokenizer(json, {});
  }

  /** Reads the tokenizer.json that `zoo convert NAME --to onnx` writes beside model.onnx. */
  static async load(file) {
    return new Tokenizer(JSON.parse(await readFile(file, 'utf8')));
  }

  /**
   * Returns { ids, types } of a text, or of an array of segments: [CLS] a [SEP] b [SEP], at most `maxLength` of them.
   * What is too long is trimmed round robin, as `tokenizer.preprocess(texts, seq_length=…)` does in Python.
   */
  row(text, maxLength = Infinity) {
    const segments = [text].flat().map((segment) => this.#pieces(segment));
    const room = maxLength - 1 - segments.length;
    if (room < 0) throw new RangeError(`${maxLength} tokens do not hold [CLS] and ${segments.length} times [SEP].`);
    const kept = trim(segments.map((pieces) => pieces.length), room);
    const sep = this.#tokenizer.token_to_id('[SEP]');
    const parts = segments.map((pieces, i) => [...pieces.slice(0, kept[i]), sep]);
    parts[0].unshift(this.#tokenizer.token_to_id('[CLS]'));
    return { ids: parts.flat(), types: parts.flatMap((part, i) => part.map(() => i)) };
  }

  /** Returns the encoder's three inputs, Int32Arrays of shape [texts, longest], of texts or of pairs of texts. */
  encode(texts, maxLength = Infinity) {
    const rows = texts.map((text) => this.row(text, maxLength));
    const shape = [rows.length, Math.max(0, ...rows.map((row) => row.ids.length))];
    const [words, mask, types] = [0, 1, 2].map(() => new Int32Array(shape[0] * shape[1]));
    rows.forEach((row, i) => {
      words.set(row.ids, i * shape[1]);
      mask.fill(1, i * shape[1], i * shape[1] + row.ids.length);
      types.set(row.types, i * shape[1]);
    });
    return { shape, input_word_ids: words, input_mask: mask, input_type_ids: types };
  }

  #pieces(text) {
    return text ? this.#tokenizer.encode(text, { add_special_tokens: false }).ids : [];
  }
}

/** Returns how many of each length stay where `room` is left: one of each in turn, from the first on. */
export function trim(lengths, room) {
  const kept = lengths.map(() => 0);
  for (let left = Math.min(room, lengths.reduce((sum, length) => sum + length, 0)); left > 0; ) {
    for (let i = 0; i < lengths.length && left > 0; i++) {
      if (kept[i] < lengths[i]) {
        kept[i]++;
        left--;
      }
    }
  }
  return kept;
}
