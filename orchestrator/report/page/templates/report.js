"use strict";
// Tables sort by a click or a key on their head; what has no figure stands last either way.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const rows = [...body.rows];
  if (rows.length < 2) continue;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const numeric = head.classList.contains("num");
      const was = head.getAttribute("aria-sort");
      const now = was === "none" ? (numeric ? "descending" : "ascending") : was === "ascending" ? "descending" : "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", now);
      const sign = now === "ascending" ? 1 : -1;
      const key = (row) => row.cells[column].getAttribute("data-sort");
      const order = rows.slice().sort((a, b) => {
        const x = key(a), y = key(b);
        if (x === null || y === null) return (x === null) - (y === null);
        return sign * (numeric ? Number(x) - Number(y) : x < y ? -1 : x > y ? 1 : 0);
      });
      body.append(...order);
    });
  });
}

// Pointing at a figure says run and value: with a mouse, a finger, or the arrow keys once the figure has the focus.
const tip = document.getElementById("tip");
const NEAR = 22;  // CSS pixels: a finger is no needle

let walked = null;  // where the keyboard stands

function hide() { walked = null; tip.hidden = true; for (const g of document.querySelectorAll(".tip.shown")) g.classList.remove("shown"); }

function show(words, x, y) {
  tip.textContent = words;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(x + 14, document.documentElement.clientWidth - box.width - 4)) + "px";
  tip.style.top = (y - box.height - 12 > 4 ? y - box.height - 12 : y + 18) + "px";
}

function centre(group) {
  const box = group.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}

function printed(value) {
  const size = Math.abs(value);
  return size === 0 ? "0" : size >= 10 ? value.toFixed(1) : size >= 1 ? value.toFixed(2) : value.toPrecision(3);
}

// The corner of a line nearest to a place; corners are its data.
function corner(group, x) {
  if (!group.corners) {
    const numbers = group.querySelector("path[id]").getAttribute("d").match(/-?[\d.]+/g).map(Number);
    group.corners = [];
    for (let n = 0; n + 1 < numbers.length; n += 2) group.corners.push([numbers[n], numbers[n + 1]]);
  }
  return group.corners.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a);
}

function valueOf(group, svg, clientX) {
  const [x0, x1, y0, y1, left, right, bottom, top, kind] = svg.dataset.scale.split(" ").map((v, n) => n < 8 ? Number(v) : v);
  const near = corner(group, new DOMPoint(clientX, 0).matrixTransform(svg.getScreenCTM().inverse()).x);
  const step = Math.round(left + (near[0] - x0) / (x1 - x0) * (right - left));
  const share = (near[1] - y0) / (y1 - y0);
  const value = kind === "log" ? bottom * Math.pow(top / bottom, share) : bottom + share * (top - bottom);
  return `${group.dataset.name} ${printed(value)}${group.dataset.unit} at step ${step}`;
}

// A finger rarely meets a thin line: the one nearest to it is meant.
function nearestLine(svg, clientX, clientY) {
  const matrix = svg.getScreenCTM();
  const at = new DOMPoint(clientX, clientY).matrixTransform(matrix.inverse());
  let [found, least] = [null, NEAR / matrix.a];
  for (const group of svg.lines) {
    const [x, y] = corner(group, at.x);
    const distance = Math.hypot(x - at.x, y - at.y);
    if (distance < least) [found, least] = [group, distance];
  }
  return found;
}

function pointed(svg, event) {
  const [x, y] = [event.clientX, event.clientY];
  const direct = event.target.closest && event.target.closest(".tip");
  if (direct && direct.dataset.name) return [[direct], valueOf(direct, svg, x)];
  const distances = svg.spots.map((group) => {
    const box = group.getBoundingClientRect();
    const inside = x >= box.left && x <= box.right && y >= box.top && y <= box.bottom;
    const [cx, cy] = centre(group);
    return inside && box.width > 2 * NEAR ? 0 : Math.hypot(cx - x, cy - y);
  });
  const least = Math.min(...distances);
  if (!(least <= NEAR)) {
    const line = nearestLine(svg, x, y);
    return line ? [[line], valueOf(line, svg, x)] : [[], ""];
  }
  // What lies on top of each other is said together.
  const found = svg.spots.filter((_, n) => distances[n] <= least + 3);
  const words = found.slice(0, 6).map((group) => group.words);
  if (found.length > 6) words.push(`and ${found.length - 6} more here`);
  return [found, words.join("\n")];
}

for (const svg of document.querySelectorAll(".panel svg")) {
  const groups = [...svg.querySelectorAll(".tip")].sort((a, b) => a.dataset.n - b.dataset.n);
  for (const group of groups) {
    const title = group.querySelector("title");
    group.words = title.textContent;
    group.setAttribute("role", "img");
    group.setAttribute("aria-label", group.words);
    title.remove();  // else the browser's own tip stands over ours
  }
  svg.spots = groups.filter((group) => !group.dataset.name);
  svg.lines = groups.filter((group) => group.dataset.name);
  if (!groups.length) continue;
  svg.setAttribute("tabindex", "0");
  let place = -1;
  const over = (event) => {
    hide();
    const [found, words] = pointed(svg, event);
    if (!words) return;
    for (const group of found) group.classList.add("shown");
    show(words, event.clientX, event.clientY);
  };
  svg.addEventListener("pointermove", over);
  svg.addEventListener("pointerdown", over);
  svg.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") hide(); });
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") hide();
    if (!by) return;
    event.preventDefault();
    place = (place + by + groups.length + (place < 0 && by < 0 ? 1 : 0)) % groups.length;
    hide();
    walked = groups[place];
    walked.classList.add("shown");
    show(walked.words, ...centre(walked));
  });
}
document.addEventListener("scroll", () => walked ? show(walked.words, ...centre(walked)) : hide(), { passive: true });

// An arm of the key brings its runs out in every figure: while it is pointed at, or until it is pressed again.
const pinned = new Set();
function bringOut(arm) {
  const chosen = new Set(pinned);
  if (arm !== null) chosen.add(arm);
  for (const group of document.querySelectorAll("[data-arm]")) {
    group.classList.toggle("faint", chosen.size > 0 && !chosen.has(group.dataset.arm));
  }
}
for (const entry of document.querySelectorAll(".key li[data-key]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...entry.childNodes);
  button.setAttribute("aria-pressed", "false");
  entry.append(button);
  const arm = entry.dataset.key;
  for (const kind of ["pointerenter", "focus"]) button.addEventListener(kind, () => bringOut(arm));
  for (const kind of ["pointerleave", "blur"]) button.addEventListener(kind, () => bringOut(null));
  button.addEventListener("click", () => {
    if (!pinned.delete(arm)) pinned.add(arm);
    for (const other of document.querySelectorAll(`.key li[data-key="${arm}"] button`)) {
      other.setAttribute("aria-pressed", String(pinned.has(arm)));
    }
    bringOut(null);
  });
}
