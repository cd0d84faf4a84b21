// A frozen encoder in ONNX Runtime, and texts to vectors with it.
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { Tokenizer } from './tokenizer.js';

const INPUTS = ['input_word_ids', 'input_mask', 'input_type_ids'];

export class Encoder {
  #session;

  constructor(session) {
    this.#session = session;
  }

  static async load(file) {
    return new Encoder(await InferenceSession.create(file));
  }

  /** Returns { sequence_output [B, T, H], pooled_output [B, H] }, each { dims, data }, of what a tokenizer encodes. */
  run({ shape, ...arrays }) {
    const feeds = Object.fromEntries(INPUTS.map((name) => [name, new Tensor('int32', arrays[name], shape)]));
    return this.#session.run(feeds);
  }
}

/** Reads what `zoo convert NAME --to onnx` wrote: { tokenizer, encoder }. */
export async function loadModel(directory) {
  const files = ['tokenizer.json', 'model.onnx'].map((name) => join(directory, name));
  const [tokenizer, encoder] = await Promise.all([Tokenizer.load(files[0]), Encoder.load(files[1])]);
  return { tokenizer, encoder };
}

/**
 * Returns a vector, a Float32Array of the hidden size, for each text or pair of texts, in their order. Batches are made
 * by length. `pooling` is 'mean', over the tokens of a text, 'first' or 'pooled'.
 */
export async function embed({ tokenizer, encoder }, texts, { batchSize = 32, maxLength = 64, pooling = 'mean' } = {}) {
  const length = (text) => [text].flat().join('').length;
  const order = texts.map((_, i) => i).sort((a, b) => length(texts[a]) - length(texts[b]));
  const vectors = new Array(texts.length);
  for (let start = 0; start < order.length; start += batchSize) {
    const batch = order.slice(start, start + batchSize);
    const inputs = tokenizer.encode(batch.map((i) => texts[i]), maxLength);
    const outputs = await encoder.run(inputs);
    batch.forEach((i, row) => {
      vectors[i] = POOLINGS[pooling](outputs, inputs, row);
    });
  }
  return vectors;
}

const POOLINGS = {
  pooled: ({ pooled_output: { dims, data } }, _, row) => data.slice(row * dims[1], (row + 1) * dims[1]),
  first: ({ sequence_output: { dims, data } }, _, row) => vector(data, dims, row, 0).slice(),
  mean({ sequence_output: { dims, data } }, { input_mask: mask }, row) {
    const sum = new Float32Array(dims[2]);
    let count = 0;
    for (let position = 0; position < dims[1]; position++) {
      if (!mask[row * dims[1] + position]) continue;
      count++;
      vector(data, dims, row, position).forEach((value, i) => (sum[i] += value));
    }
    return sum.map((value) => value / count);
  },
};

function vector(data, [, length, size], row, position) {
  const start = (row * length + position) * size;
  return data.subarray(start, start + size);
}
