// Code that uses a model. Its addresses are those of the place that this page was opened from.
"use strict";

/** Return the place of this page: is it `http`, the address of registry.json, and `address(url)` of a URL in it. */
function placeOf(location) {
  const base = new URL(".", location.href);
  const http = base.protocol === "http:" || base.protocol === "https:";
  const address = (url) => {
    const found = new URL(url, base);
    if (found.protocol !== "file:") return found.href;
    return decodeURIComponent(found.pathname).replace(/^\/([A-Za-z]:)/, "$1");
  };
  return { http, address, registry: address("registry.json") };
}

const python = (text) => `'${text.replace(/[\\']/g, "\\$&").replace(/\n/g, "\\n")}'`;
const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`);

// By the task of a text archive: the name that snippets give it, the part of the answer that they show, the output
// that can be trained, and words for the answer. A task that is not here is called without these.
const TASKS = {
  vector: { name: "embed", shown: "", trained: "", gives: "float32, one vector a text" },
  classification: { name: "classify", shown: "['label']", trained: "output_key='logits', ", gives: "one label a text; 'scores' has a number for every label" },
  token_classification: { name: "find", shown: "['label']", gives: "of every entity; 'start' and 'limit' are its bytes" },
  span: { name: "answer", shown: "['answer']" },
  fill_mask: { name: "fill", shown: "['token']", text: "你[MASK]", gives: "the best candidates of every [MASK]" },
};

const COMMAND_LINE = { en: "command line", zh: "命令行" };
const ZOO = "pip install bert-zoo";

/** Return [id, label, language, text, line that installs what it needs] of each way to use a built model. */
function snippetsOf(name, data, place) {
  const model = modelOf(name, data, place);
  if (model.used_by !== "zoo.load") {
    return [["lite", model.used_by, "python", lite(model), "pip install 'bert-zoo[lite]'"], ["cli", COMMAND_LINE, "shell", commandLine(model), ZOO]];
  }
  const trains = model.takes === "ids" || model.of.trained !== undefined;
  const gives = model.task === "vector" || (model.takes === "ids" && model.tokenizer);
  const text = model.tokenizer || model.needs.includes("tensorflow_text") ? " tensorflow-text" : "";
  return [
    ["hub", "hub.load", "python", hubLoad(model), `pip install tensorflow tensorflow-hub${text}`],
    ...(gives ? [["encoder", "zoo.TextEncoder", "python", textEncoder(model), ZOO]] : []),
    ...(trains ? [["hub-keras", "hub.KerasLayer", "python", model.task ? hubKerasOfTexts(model) : hubKeras(model), "pip install tensorflow tensorflow-hub tf_keras"]] : []),
    ...(trains ? [["zoo-keras", "zoo.KerasLayer", "python", model.task ? zooKerasOfTexts(model) : zooKeras(model), ZOO]] : []),
    ["zoo", "zoo.load", "python", zooLoad(model), ZOO],
    ["cli", COMMAND_LINE, "shell", commandLine(model), ZOO],
    ["offline", { en: "offline", zh: "离线" }, "shell", offline(model), ZOO],
  ];
}

function modelOf(name, data, place) {
  const fact = data.facts.find((each) => each.name === name);
  const entry = data.registry.models[name];
  const built = (other) => {
    const archive = other && data.registry.models[other] && data.registry.models[other].archive;
    return archive ? { name: other, url: place.address(archive.urls[0]) } : null;
  };
  const own = built(name);
  const of = TASKS[entry.task] || { name: entry.kind, shown: "" };
  return { name, kind: entry.kind, task: entry.task, of, pairs: data.pairs[entry.task], ...data.kinds[entry.kind], url: own.url, sha256: entry.archive.sha256, width: entry.hidden_size || "H",
    tokenizer: built(fact.tokenizer), registry: place.registry, http: /^https?:/.test(own.url) };
}

/** Return the calls of a model that takes texts: of texts, of pairs, or of both. */
function callsOf(model) {
  const call = (inputs, note) => `${model.of.name}(${inputs})${model.of.shown}  # ${note}`;
  const texts = call(`['${model.of.text || "你好"}']`, model.of.gives || model.gives);
  const pairs = call("[['你好吗？', '我很好。']]", "of a pair");
  return model.pairs === "pairs" ? [pairs] : model.pairs === "both" ? [texts, pairs] : [texts];
}

const example = (model) => (model.tokenizer ? "tokenizer(['你好'], special_tokens=True)" : "[[1, 2, 3]]");

/** Return the lines that unpack archives which are files: hub.load takes only URLs and unpacked directories. */
function unpacked(archives) {
  const lines = archives.map((each) => `    (${python(each.name)}, ${python(each.url)}),`);
  return ["import tarfile", "", "for name, archive in [", ...lines, "]:", "    with tarfile.open(archive) as tar:",
    "        tar.extractall(name, filter='data')  # hub.load takes URLs and unpacked directories", ""];
}

function hubLoad(model) {
  const needed = [model, ...(model.tokenizer ? [model.tokenizer] : [])];
  const at = (each) => python(model.http ? each.url : each.name);
  const imports = ["import tensorflow_hub as hub"];
  if (model.tokenizer || model.needs.includes("tensorflow_text")) imports.push("import tensorflow_text  # has the tokenizer's operations");
  const head = model.http ? [...imports, ""] : [...imports, ...unpacked(needed)];
  if (model.takes === "text") return [...head, `${model.of.name} = hub.load(${at(model)})`, ...callsOf(model)].join("\n");
  return [...head, `encoder = hub.load(${at(model)})`,
    ...(model.tokenizer ? [`tokenizer = hub.load(${at(model.tokenizer)})`] : []),
    `out = encoder(${example(model)})`, `out['pooled_output']  # (1, ${model.width})`].join("\n");
}

function hubKeras(model) {
  const head = ["import tensorflow_hub as hub", "import tf_keras  # hub.KerasLayer is a layer of Keras 2"];
  return [...head, ...(model.http ? [""] : unpacked([model])), "ids = tf_keras.Input([None], dtype='int32')",
    `encoder = hub.KerasLayer(${python(model.http ? model.url : model.name)}, trainable=True, output_key='pooled_output')`,
    "model = tf_keras.Model(ids, tf_keras.layers.Dense(2)(encoder(ids)))"].join("\n");
}

function hubKerasOfTexts(model) {
  const head = ["import tensorflow as tf", "import tensorflow_hub as hub", "import tf_keras  # hub.KerasLayer is a layer of Keras 2"];
  const how = `input_shape=[], dtype=tf.string, ${model.of.trained}trainable=True`;
  return [...head, ...(model.http ? [""] : unpacked([model])), `layer = hub.KerasLayer(${python(model.http ? model.url : model.name)}, ${how})`,
    "model = tf_keras.Sequential([layer, tf_keras.layers.Dense(2)])"].join("\n");
}

function textEncoder(model) {
  const pooling = model.task ? "" : ", pooling='mean'";
  return ["import zoo", "", `registry = ${python(model.registry)}`, `encode = zoo.TextEncoder(${python(model.name)}${pooling}, registry=registry)`,
    `vectors = encode(['你好', '再见'])  # numpy, (2, ${model.width})${model.task ? "; encode.query(…) and encode.passage(…) use the model's prompts" : ""}`,
    "encode.similarity(['你好'], ['您好', '再见'])  # cosines, (1, 2)", "encode.search('你好', ['您好', '再见'], k=1)  # the nearest text"].join("\n");
}

function lite(model) {
  return ["import zoo", "", `registry = ${python(model.registry)}`, `encode = ${model.used_by}(${python(model.name)}, registry=registry)`,
    "encode(['你好'])  # without TensorFlow"].join("\n");
}

function zooKerasOfTexts(model) {
  return ["import keras", "import zoo", "", `registry = ${python(model.registry)}`,
    `layer = zoo.KerasLayer(${python(model.name)}, trainable='last:1', ${model.of.trained}registry=registry)`,
    "texts = keras.Input([], dtype='string')  # pairs: keras.Input([2], dtype='string')",
    "model = keras.Model(texts, keras.layers.Dense(2)(layer(texts)))"].join("\n");
}

function zooKeras(model) {
  const head = ["import keras", "import zoo", "", `registry = ${python(model.registry)}`];
  const encoder = `encoder = zoo.KerasLayer(${python(model.name)}, trainable=True, output_key='pooled_output', registry=registry)`;
  if (!model.tokenizer) {
    return [...head, encoder, "ids = keras.Input([None], dtype='int32')",
      "model = keras.Model(ids, keras.layers.Dense(2)(encoder(ids)))"].join("\n");
  }
  return [...head, "preprocess = zoo.KerasLayer(",
    `    ${python(model.tokenizer.name)}, endpoint='preprocess', arguments={'seq_length': 32}, registry=registry`, ")",
    encoder, "texts = keras.Input([], dtype='string')",
    "model = keras.Model(texts, keras.layers.Dense(2)(encoder(preprocess(texts))))"].join("\n");
}

function zooLoad(model) {
  const load = (name) => `zoo.load(${python(name)}, registry=registry)`;
  const head = ["import zoo", "", `registry = ${python(model.registry)}`];
  if (model.takes === "text") return [...head, `${model.of.name} = ${load(model.name)}`, ...callsOf(model)].join("\n");
  return [...head, `encoder = ${load(model.name)}`, ...(model.tokenizer ? [`tokenizer = ${load(model.tokenizer.name)}`] : []),
    `out = encoder(${example(model)})`, `out['pooled_output']  # (1, ${model.width})`].join("\n");
}

function commandLine(model) {
  return [`export ZOO_REGISTRY=${shell(model.registry)}`, `zoo fetch ${model.name}    # downloaded, checked, unpacked; prints the directory`,
    `zoo verify ${model.name}   # repeats its certificate here`].join("\n");
}

function offline(model) {
  const file = model.url.replace(/[?#].*/, "").split("/").pop();
  const get = model.http ? `curl -fLO ${shell(model.url)}` : `cp ${shell(model.url)} .`;
  const check = model.sha256 ? [`echo ${shell(`${model.sha256}  ${file}`)} | sha256sum -c`] : [];
  const load = `import zoo; zoo.load_model(${python(file)})`;
  const quoted = /["$`\\!]/.test(load) ? shell(load) : `"${load}"`;
  const use = model.has_weights ? `python -c ${quoted}   # opens no socket` : `zoo verify ${shell(file)}`;
  return [get, ...check, use, "", "# or with its tokenizer, in one file to carry",
    `zoo bundle ${model.name} --out ${model.name}.tar --registry ${shell(model.registry)}`,
    `zoo install ${model.name}.tar   # there`].join("\n");
}
