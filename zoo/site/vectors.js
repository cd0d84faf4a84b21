// Vectors of texts in the browser: a text archive's ONNX form, unpacked here and run by the ONNX Runtime beside the page.

/** Return the bytes of a file beside the page. Throws an Error if they have another sha256 than the page says. */
async function bytesOf({ file, sha256 }) {
  const digest = window.btoa(String.fromCharCode(...sha256.match(/../g).map((two) => parseInt(two, 16))));
  try {
    const answer = await fetch(file, { integrity: `sha256-${digest}` });
    if (answer.ok) return new Uint8Array(await answer.arrayBuffer());
  } catch { /* a TypeError: no connection, or another sha256 */ }
  throw new Error(file + words.unread);
}

/** Return name -> bytes of the files in a tar.gz as `zoo` packs it: ustar, without links. */
async function unpackedOf(packed) {
  const stream = new Response(packed).body.pipeThrough(new DecompressionStream("gzip"));
  const tar = new Uint8Array(await new Response(stream).arrayBuffer());
  const files = new Map();
  const text = (start, length) => new TextDecoder().decode(tar.subarray(start, start + length)).replace(/\0.*$/s, "");
  for (let at = 0; at + 512 <= tar.length && tar[at];) {
    const [prefix, size] = [text(at + 345, 155), parseInt(text(at + 124, 12), 8)];
    files.set((prefix && `${prefix}/`) + text(at, 100), tar.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

let onnxRuntime = null;

/** Return ONNX Runtime, loaded once, of bytes that were compared with their sha256. */
function runtime() {
  onnxRuntime ||= (async () => {
    const [script, program] = await Promise.all([bytesOf(data.runtime.script), bytesOf(data.runtime.program)]);
    const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    const ort = await import(address);
    URL.revokeObjectURL(address);
    Object.assign(ort.env.wasm, { numThreads: 1, proxy: false, wasmBinary: program.buffer });
    return ort;
  })();
  onnxRuntime.catch(() => { onnxRuntime = null; }); // the next press tries again
  return onnxRuntime;
}

/** Return a function from rows of ids, [CLS] and [SEP] included, to a vector. */
async function encoderOf(archive) {
  const [ort, files] = await Promise.all([runtime(), bytesOf(archive).then(unpackedOf)]);
  const session = await ort.InferenceSession.create(files.get("model.onnx"), { executionProviders: ["wasm"] });
  return async (ids) => {
    const row = (values) => new ort.Tensor("int32", Int32Array.from(values), [1, ids.length]);
    const inputs = { input_word_ids: row(ids), input_mask: row(ids.map(() => 1)), input_type_ids: row(ids.map(() => 0)) };
    const { vector } = await session.run(Object.fromEntries(session.inputNames.map((name) => [name, inputs[name]])));
    return vector.data;
  };
}

function cosine(a, b) {
  const product = (x, y) => x.reduce((sum, value, place) => sum + value * y[place], 0);
  return product(a, b) / Math.sqrt(product(a, a) * product(b, b));
}
