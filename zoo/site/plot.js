// Size against speed as an SVG: both axes logarithmic, smaller to the left, faster to the top.

const SHAPES = [
  (r) => `M ${-r} 0 a ${r} ${r} 0 1 0 ${2 * r} 0 a ${r} ${r} 0 1 0 ${-2 * r} 0`,
  (r) => `M ${-r} ${-r} h ${2 * r} v ${2 * r} h ${-2 * r} z`,
  (r) => `M 0 ${-1.3 * r} L ${1.3 * r} ${0.9 * r} H ${-1.3 * r} z`,
  (r) => `M 0 ${-1.4 * r} L ${1.4 * r} 0 L 0 ${1.4 * r} L ${-1.4 * r} 0 z`,
];
const MIB = 1048576;
const TICKS = [1, 2, 5];

/** Draw `points` ({names, family, full, size, value, faded}) into `holder`. `words`: {x, y, value(number)}. */
function drawPlot(holder, points, words) {
  const width = Math.max(holder.clientWidth, 280);
  const height = Math.round(Math.min(Math.max(width * 0.3, 270), 350));
  const frame = { left: 52, right: width - 12, top: 24, bottom: height - 34 };
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "group", "aria-label": `${words.y}; ${words.x}` });
  holder.replaceChildren(svg);
  if (!points.length) return;
  const x = scale(points.map((each) => each.size / MIB), frame.left, frame.right);
  const y = scale(points.map((each) => each.value), frame.top, frame.bottom);
  drawAxes(svg, frame, x, y, words);
  const placed = grouped(points, (each) => [x(each.size / MIB), y(each.value)]);
  const taken = placed.map((each) => box(each.x - 7, each.y - 7, 14, 14));
  for (const each of placed) drawMark(svg, each, placed, frame, taken, words);
}

/** Return a function from a value to its place; `low` is the place of the smallest one. */
function scale(values, low, high) {
  const [least, most] = [Math.log(Math.min(...values) / 1.35), Math.log(Math.max(...values) * 1.35)];
  const place = (value) => low + ((Math.log(value) - least) / (most - least)) * (high - low);
  place.ticks = [];
  for (let power = Math.floor(least / Math.LN10); power <= most / Math.LN10; power++) {
    for (const digit of TICKS) {
      const value = digit * 10 ** power;
      if (Math.log(value) >= least && Math.log(value) <= most) place.ticks.push(value);
    }
  }
  return place;
}

function drawAxes(svg, frame, x, y, words) {
  for (const tick of x.ticks) {
    svg.append(element("line", { class: "grid", x1: x(tick), x2: x(tick), y1: frame.top, y2: frame.bottom }));
    svg.append(element("text", { x: x(tick), y: frame.bottom + 16, "text-anchor": "middle" }, number(tick)));
  }
  let last = -Infinity;
  for (const tick of y.ticks) {
    if (y(tick) - last < 16) continue;
    last = y(tick);
    svg.append(element("line", { class: "grid", x1: frame.left, x2: frame.right, y1: y(tick), y2: y(tick) }));
    svg.append(element("text", { x: frame.left - 8, y: y(tick) + 4, "text-anchor": "end" }, words.value(tick)));
  }
  svg.append(element("text", { x: frame.left - 40, y: 11 }, words.y));
  svg.append(element("text", { x: frame.right, y: frame.bottom + 31, "text-anchor": "end" }, words.x));
}

/** Join points of a family that cover each other into one mark. Points that are not faded come first and name the mark. */
function grouped(points, placeOfPoint) {
  const groups = [];
  for (const point of [...points].sort((a, b) => a.faded - b.faded)) {
    const [x, y] = placeOfPoint(point);
    const same = groups.find((each) => Math.hypot(each.x - x, each.y - y) < 5 && each.family === point.family);
    if (!same) groups.push({ ...point, names: [point.name], x, y });
    else if (same.faded || !point.faded) {
      same.names.push(point.name);
      same.full = same.full || point.full;
    }
  }
  return groups;
}

function drawMark(svg, group, groups, frame, taken, words) {
  const text = group.names.length > 1 ? `${group.names[0]} +${group.names.length - 1}` : group.names[0];
  const link = element("a", { href: `#${group.names[0]}`, class: `f${group.family % 6}${group.faded ? " faded" : ""}` });
  const amounts = `${number(group.size / MIB)} MiB, ${words.value(group.value)}`;
  link.append(element("title", {}, `${group.names.join(", ")}: ${amounts}`));
  const mark = element("path", { class: `mark${group.full ? " full" : ""}`, d: SHAPES[group.family % SHAPES.length](4.5) });
  mark.setAttribute("transform", `translate(${group.x} ${group.y})`);
  link.append(mark);
  const spot = group.faded ? null : freeSpot(group, text.length * 6.1, groups, frame, taken);
  if (spot) link.append(element("text", { x: spot.x, y: spot.y + 10, class: "label" }, text));
  svg.append(link);
}

/** Return a free place for a label that is nearer to its own mark than to any other, null if there is none. */
function freeSpot(group, width, groups, frame, taken) {
  const offsets = [[9, -7], [-9 - width, -7], [-width / 2, -21], [-width / 2, 8], [7, -18], [7, 5], [-7 - width, -18], [-7 - width, 5]];
  for (const [dx, dy] of offsets) {
    const spot = box(group.x + dx, group.y + dy, width, 13);
    const inside = spot.x >= frame.left - 4 && spot.x + width <= frame.right + 8 && spot.y >= frame.top - 12 && spot.y + 13 <= frame.bottom;
    const apart = groups.filter((other) => Math.hypot(other.x - group.x, other.y - group.y) > 6);
    const nearest = apart.every((other) => distance(spot, other) > distance(spot, group) + 1);
    if (inside && nearest && !taken.some((other) => overlap(spot, other))) {
      taken.push(spot);
      return spot;
    }
  }
  return null;
}

const box = (x, y, width, height) => ({ x, y, width, height });
const overlap = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
const distance = (box, point) => Math.hypot(
  Math.max(box.x - point.x, 0, point.x - box.x - box.width), Math.max(box.y - point.y, 0, point.y - box.y - box.height));
const number = (value) => (value >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(2))));

function element(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
