// Compares registry.json beside the page with the page, and shows what differs. A page opened as a file cannot fetch it.

let found = null; // what is wrong with registry.json: {broken} or {differs}

async function compareRegistry() {
  if (!place.http) return;
  try {
    const answer = await fetch("registry.json", { cache: "no-cache" });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const { models } = await answer.json();
    if (typeof models !== "object" || models === null) throw new Error("no models");
    const names = [...new Set([...Object.keys(models), ...Object.keys(data.registry.models)])].sort();
    const differs = names.filter((name) => sorted(models[name]) !== sorted(data.registry.models[name]));
    found = differs.length ? { differs } : null;
  } catch (error) {
    found = { broken: error.message };
  }
  tellRegistry();
}

/** Return JSON that is the same for the same content. */
function sorted(value) {
  const inOrder = (_, each) => (each && typeof each === "object" && !Array.isArray(each) ? Object.fromEntries(Object.entries(each).sort()) : each);
  return JSON.stringify(value, inOrder);
}

function tellRegistry() {
  const notice = $("#notice");
  notice.hidden = found === null;
  notice.className = "notice";
  if (found === null) return;
  const { broken, differs = [] } = found;
  const list = differs.slice(0, 5).join(", ") + (differs.length > 5 ? words.more(differs.length - 5) : "");
  notice.textContent = broken !== undefined ? words.broken + broken : `${words.differs}${list}.${words.mend}`;
}
