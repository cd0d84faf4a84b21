// The page itself: language, filters, order, cards opened by the #NAME of the address, copying.

const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const data = JSON.parse($("#data").textContent);
const place = placeOf(window.location);
const rows = $$("#models tbody tr");
const facts = new Map(data.facts.map((fact) => [fact.name, fact]));
const MEASURED = data.measured !== null;

const WORDS = {
  en: { models: (n) => (n === 1 ? "1 model" : `${n} models`), of: (n, all) => `${n} of ${all} models`, copy: "copy", copied: "copied", failed: "select and copy by hand",
    x: "size, MiB →", work: "↑ fewer multiply-adds a token: faster", seconds: (rows) => `↑ less time for ${rows} × ${data.tokens} tokens: faster`,
    broken: "registry.json beside this page is broken: ", differs: "registry.json has changed since this page was written. Different models: ",
    mend: " Run “zoo site” again.", local: "This page is a file on this machine, so these snippets name files. “zoo serve” gives them URLs.", more: (n) => ` and ${n} more`,
    none: "none", chooseTwo: "Choose at least two models.", differing: (n, all) => `${n} of ${all} lines differ; they are marked ≠.`, differs_here: "differs",
    served: "A page that is a file may not read other files: open it by “zoo serve”.", halfPair: "Half of a surrogate pair is no text.", loading: "Loading…", unread: " could not be fetched, or is not the file that this page was written with.",
    counted: (n, limit) => `${n} tokens with [CLS] and [SEP]${limit && n > limit ? `; the model reads the first ${limit}` : ""}`,
    cosine: (value) => `Cosine ${value.toFixed(4)}`,
    chosen: (names) => `To compare: ${names.join(", ")}${names.length < 2 ? ". Choose one or two more." : ""}` },
  zh: { models: (n) => `${n} 个模型`, of: (n, all) => `${all} 个模型中的 ${n} 个`, copy: "复制", copied: "已复制", failed: "请手动选中复制",
    x: "大小，MiB →", work: "↑ 每个词元的乘加次数越少越快", seconds: (rows) => `↑ ${rows} × ${data.tokens} 个词元用时越短越快`,
    broken: "本页旁边的 registry.json 已损坏：", differs: "registry.json 在本页生成之后有改动，以下模型与本页不符：",
    mend: "请重新运行 zoo site。", local: "本页是本机上的文件，因此代码片段使用文件路径。用 zoo serve 可以得到网址。", more: (n) => ` 等，另有 ${n} 个`,
    none: "无", chooseTwo: "请至少选两个模型。", differing: (n, all) => `${all} 行中有 ${n} 行不同，以 ≠ 标出。`, differs_here: "不同",
    served: "直接打开的网页不能读取别的文件：请用 zoo serve 打开。", halfPair: "半个代理对不是文本。", loading: "正在加载……", unread: " 取不到，或者不是生成本页时的文件。",
    counted: (n, limit) => `${n} 个词元，含 [CLS] 和 [SEP]${limit && n > limit ? `；模型只读前 ${limit} 个` : ""}`,
    cosine: (value) => `余弦 ${value.toFixed(4)}`,
    chosen: (names) => `比较：${names.join("、")}${names.length < 2 ? "。请再选一两个。" : ""}` },
};
let words = WORDS.en;

/** localStorage; some browsers refuse it to pages opened as files. */
const memory = {
  get: (key) => { try { return window.localStorage.getItem(key); } catch { return null; } },
  set: (key, value) => { try { window.localStorage.setItem(key, value); } catch { /* the next visit starts without it */ } },
};

// -- language -----------------------------------------------------------------------------------------------------

function speak(language) {
  words = WORDS[language];
  document.documentElement.dataset.lang = language;
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const button of $$("[data-language]")) button.setAttribute("aria-pressed", String(button.dataset.language === language));
  for (const each of $$("[data-en]")) {
    if (each.tagName === "INPUT") each.placeholder = each.dataset[language];
    else each.textContent = each.dataset[language];
  }
  for (const each of $$(".snippets")) each.replaceChildren();
  update();
  openAsked();
  tellChosen();
  tellRegistry();
}

function firstLanguage() {
  const kept = memory.get("zoo-language");
  if (kept in WORDS) return kept;
  return (navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en";
}

for (const button of $$("[data-language]")) {
  button.addEventListener("click", () => {
    memory.set("zoo-language", button.dataset.language);
    speak(button.dataset.language);
  });
}

// -- filters, order, plot -----------------------------------------------------------------------------------------

const TESTS = {
  search: (row, value) => value.toLowerCase().split(/\s+/).every((word) => row.dataset.search.includes(word)),
  size: (row, value) => row.dataset.size !== "" && Number(row.dataset.size) <= Number(value) * MIB,
};

function isShown(row) {
  return $$("[data-filter]").every((control) => {
    const { filter } = control.dataset;
    const value = control.value.trim();
    if (!value) return true;
    return filter in TESTS ? TESTS[filter](row, value) : row.dataset[filter] === value;
  });
}

function update() {
  for (const row of rows) row.hidden = !isShown(row);
  const shown = rows.filter((row) => !row.hidden).length;
  $("#count").textContent = shown === rows.length ? words.models(shown) : words.of(shown, rows.length);
  $("#none").hidden = shown > 0;
  draw();
}

function order(key, direction) {
  const value = (row) => (key === "name" || key === "licence" || key === "status" ? row.dataset[key].toLowerCase() : Number(row.dataset[key]));
  const missing = (row) => row.dataset[key] === "";
  const compare = (a, b) => missing(a) - missing(b) || (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) * direction || a.dataset.place - b.dataset.place;
  $("#models tbody").append(...[...rows].sort(compare));
  for (const button of $$("[data-sort]")) {
    const heading = button.closest("th");
    if (button.dataset.sort === key) heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    else heading.removeAttribute("aria-sort");
  }
  $("#sort").value = [...$("#sort").options].some((option) => option.value === key) ? key : "place";
}

function draw() {
  const metric = MEASURED ? $("#metric").value : "work";
  $("#plot").dataset.metric = metric;
  const points = rows.flatMap((row) => {
    const fact = facts.get(row.dataset.name);
    const value = metric === "work" ? fact.work : fact.seconds[metric];
    const family = data.families.indexOf(row.dataset.family);
    return fact.size && value ? [{ name: fact.name, family, full: row.dataset.status === "built", size: fact.size, value, faded: row.hidden }] : [];
  });
  const work = { x: words.x, y: words.work, value: (value) => (value < 1e9 ? `${number(value / 1e6)} M` : `${number(value / 1e9)} G`) };
  const time = { x: words.x, y: words.seconds(metric), value: (value) => (value < 1 ? `${number(value * 1000)} ms` : `${number(value)} s`) };
  drawPlot($("#drawing"), points, metric === "work" ? work : time);
}

for (const control of $$("[data-filter]")) control.addEventListener("input", update);
$("#filters").addEventListener("reset", (event) => {
  event.preventDefault(); // the browser would clear the fields only after update()
  for (const control of $$("[data-filter]")) control.value = "";
  update();
});
$("#filters").addEventListener("submit", (event) => event.preventDefault());
for (const button of $$("[data-sort]")) {
  button.addEventListener("click", () => order(button.dataset.sort, button.closest("th").getAttribute("aria-sort") === "ascending" ? -1 : 1));
}
$("#sort").addEventListener("change", (event) => order(event.target.value, 1));
if (MEASURED) $("#metric").addEventListener("change", draw);
let drawn = 0;
new ResizeObserver(() => {
  if (drawn !== $("#drawing").clientWidth) draw();
  drawn = $("#drawing").clientWidth;
}).observe($("#drawing"));

// -- cards --------------------------------------------------------------------------------------------------------

/** Return the model of a name or an alias, undefined if there is none. */
function ownerOf(asked) {
  const { models } = data.registry;
  return Object.keys(models).find((name) => name === asked || (models[name].aliases || []).includes(asked));
}

/** Open the card or the comparison that the address names; close any other. */
function openAsked() {
  let asked = window.location.hash.slice(1);
  try { asked = decodeURIComponent(asked); } catch { /* malformed: no model has this name */ }
  const compared = comparedIn(asked);
  const owner = compared ? undefined : ownerOf(asked);
  for (const sheet of $$("dialog.card, #comparison")) {
    const wanted = sheet.id === "comparison" ? compared !== null : sheet.dataset.card === owner;
    if (wanted && compared) showComparison(compared);
    else if (wanted) showSnippets(sheet);
    if (wanted && !sheet.open) {
      sheet.showModal();
      sheet.scrollTop = 0;
      $("h2", sheet).focus({ preventScroll: true });
    } else if (!wanted && sheet.open) sheet.close();
  }
}

for (const sheet of $$("dialog")) {
  sheet.addEventListener("close", () => {
    if (!$("dialog[open]")) window.history.replaceState(null, "", window.location.pathname + window.location.search);
  });
  sheet.addEventListener("click", (event) => {
    if (event.target === sheet && event.clientX < sheet.getBoundingClientRect().left) sheet.close();
  });
}
window.addEventListener("hashchange", openAsked);
$("#models tbody").addEventListener("click", (event) => {
  if (!event.target.closest("a, label") && !String(window.getSelection())) window.location.hash = event.target.closest("tr").dataset.name;
});

// -- snippets and copying -----------------------------------------------------------------------------------------

function showSnippets(card) {
  const holder = $(".snippets", card);
  if (!holder || holder.childElementCount) return;
  const snippets = snippetsOf(holder.dataset.snippets, data, place);
  const tabs = make("div", { class: "tabs", role: "group" });
  const panels = snippets.map(([id, label, language, text, install]) => {
    const panel = make("div", {});
    panel.append(codeOf(text), codeOf(install, "code install"));
    const tab = make("button", { type: "button", "data-tab": id }, label[document.documentElement.dataset.lang] || label);
    panel.dataset.panel = id;
    panel.dataset.code = language;
    tab.addEventListener("click", () => { memory.set("zoo-snippet", id); choose(id); });
    tabs.append(tab);
    return panel;
  });
  const choose = (chosen) => {
    for (const tab of $$("[data-tab]", tabs)) tab.setAttribute("aria-pressed", String(tab.dataset.tab === chosen));
    for (const panel of panels) panel.hidden = panel.dataset.panel !== chosen;
  };
  holder.append(tabs, ...panels, ...(place.http ? [] : [make("p", { class: "note" }, words.local)]));
  const kept = memory.get("zoo-snippet");
  choose(snippets.some(([id]) => id === kept) ? kept : snippets[0][0]);
}

function codeOf(text, kind = "code") {
  const block = make("div", { class: kind });
  const pre = make("pre", { tabindex: "0" });
  pre.append(make("code", {}, text));
  block.append(pre, make("button", { type: "button", class: "copy" }, words.copy));
  return block;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest(".copy");
  if (!button) return;
  const before = button.innerHTML;
  button.textContent = (await copied($("code", button.parentElement))) ? words.copied : words.failed;
  window.setTimeout(() => { button.innerHTML = before; }, 1500);
});

/** Copy a snippet and return whether it worked. Without https there is no navigator.clipboard: copy the selection. */
async function copied(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    window.getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}

function make(tag, attributes, text) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
