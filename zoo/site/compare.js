// Two or three models side by side, at the address #compare=NAME,NAME: the rows of their cards in one table.

const MOST_COMPARED = 3;
const COMPARE = "compare=";
const chosen = []; // names, in the order in which their boxes were ticked

/** Return the names that an address asks to compare, those that this page knows; null if it asks for something else. */
function comparedIn(asked) {
  if (!asked.startsWith(COMPARE)) return null;
  const names = asked.slice(COMPARE.length).split(",").map(ownerOf).filter(Boolean);
  return [...new Set(names)].slice(0, MOST_COMPARED);
}

const comparison = (names) => `#${COMPARE}${names.map(encodeURIComponent).join(",")}`;

/** Show the table of these models; the choosers above it name them, and more can be chosen there. */
function showComparison(names) {
  const dialog = $("#comparison");
  const choosers = $$("select", dialog);
  choosers.forEach((chooser, place) => {
    const none = make("option", { value: "" }, words.none);
    chooser.replaceChildren(none, ...rows.map((row) => make("option", { value: row.dataset.name }, row.dataset.name)));
    chooser.value = names[place] || "";
  });
  const compared = names.map((name) => ({ name, values: valuesOf(name) }));
  const labels = new Map(compared.flatMap(({ values }) => [...values].map(([key, { label }]) => [key, label])));
  const head = make("tr", {});
  head.append(make("td", {}), ...names.map((name) => {
    const cell = make("th", { scope: "col" });
    cell.append(make("a", { href: `#${encodeURIComponent(name)}` }, name));
    return cell;
  }));
  const lines = [...labels].map(([key, label]) => lineOf(label, compared.map(({ values }) => values.get(key))));
  $("thead", dialog).replaceChildren(head);
  $("tbody", dialog).replaceChildren(...lines);
  const differing = lines.filter((line) => line.classList.contains("differs")).length;
  $("#compared").textContent = names.length < 2 ? words.chooseTwo : words.differing(differing, lines.length);
}

/** Return label in English -> {label, content} of what a card says a model is; equal labels share a line. */
function valuesOf(name) {
  const card = $$("dialog.card").find((each) => each.dataset.card === name);
  const values = new Map();
  for (const line of $$(".compared > div", card)) {
    const [label, content] = [$("dt", line), $("dd", line)];
    const key = ($(".en", label) || label).textContent;
    const said = values.get(key) || { label, content: [] };
    said.content.push(content);
    values.set(key, said);
  }
  const lead = $(".lead", card);
  return lead ? new Map([["", { label: $("#described"), content: [lead] }], ...values]) : values;
}

function lineOf(label, cells) {
  const line = make("tr", {});
  const heading = make("th", { scope: "row" });
  heading.append(...copies(label));
  const texts = cells.map((cell) => (cell ? cell.content.map((each) => each.textContent).join("\n") : null));
  if (new Set(texts).size > 1) {
    line.className = "differs";
    heading.append(make("span", { class: "unlike", "aria-hidden": "true" }, " ≠"), make("span", { class: "unseen" }, ` (${words.differs_here})`));
  }
  line.append(heading, ...cells.map((cell) => {
    const shown = make("td", {});
    if (!cell) shown.append("–");
    else for (const each of cell.content) {
      const part = make("div", {});
      part.append(...copies(each));
      shown.append(part);
    }
    return shown;
  }));
  return line;
}

const copies = (element) => [...element.cloneNode(true).childNodes];

for (const chooser of $$("#comparison select")) {
  chooser.addEventListener("change", () => {
    const names = [...new Set($$("#comparison select").map((each) => each.value).filter(Boolean))];
    window.history.replaceState(null, "", comparison(names));
    showComparison(names);
  });
}

// -- ticking rows -------------------------------------------------------------------------------------------------

for (const box of $$("[data-choose]")) {
  box.checked = false; // browsers keep ticks over a reload
  box.addEventListener("change", () => {
    if (!box.checked) chosen.splice(chosen.indexOf(box.dataset.choose), 1);
    else if (chosen.push(box.dataset.choose) > MOST_COMPARED) chosen.shift();
    tellChosen();
  });
}

function tellChosen() {
  for (const box of $$("[data-choose]")) box.checked = chosen.includes(box.dataset.choose);
  $("#unchoose").hidden = chosen.length === 0;
  $("#chosen-names").textContent = chosen.length === 0 ? "" : words.chosen(chosen);
  $("#compare").hidden = chosen.length < 2;
  $("#compare").setAttribute("href", comparison(chosen));
}

$("#unchoose").addEventListener("click", () => {
  chosen.length = 0;
  tellChosen();
  $("#count").focus();
});
