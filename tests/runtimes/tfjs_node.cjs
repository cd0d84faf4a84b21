// What tfjs-node, as the predecessor's example used it, gives for string tokens: node tfjs_node.cjs MODULES ENCODER TOKENS
const { createRequire } = require('node:module');
const { join } = require('node:path');

const [modules, directory, tokens] = process.argv.slice(2);
const tf = createRequire(join(modules, 'index.js'))('@tensorflow/tfjs-node');

(async () => {
  const model = await tf.node.loadSavedModel(directory, ['serve'], 'tokens');
  const rows = JSON.parse(tokens);
  const outputs = model.predict({ args_0: tf.tensor2d(rows, [rows.length, rows[0].length], 'string') });
  const nested = Object.entries(outputs).map(([name, tensor]) => [name, tensor.arraySync()]);
  console.log(JSON.stringify({ version: tf.backend().binding.TF_Version, ...Object.fromEntries(nested) }));
})();
