"use strict";
// What all pages share. Names of files and modules are anybody's text: they become
// nodes of text, never markup.

const facts = JSON.parse(document.querySelector("script[type='application/json']").textContent);
const main = document.querySelector("main");

function make(tag, attributes = {}, ...children) {
  const node = attributes.xmlns ? document.createElementNS(attributes.xmlns, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else if (name !== "xmlns" && value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter(child => child != null && child !== false));
  return node;
}

const drawn = (tag, attributes, ...children) => make(tag, { xmlns: "http://www.w3.org/2000/svg", ...attributes }, ...children);
const color = name => `var(--${name})`;
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  let value = bytes;
  for (const unit of ["kB", "MB", "GB", "TB"]) {
    value /= 1000;
    if (value < 9.95) return `${value.toFixed(1)} ${unit}`;
    if (value < 999.5 || unit === "TB") return `${value.toFixed(0)} ${unit}`;
  }
}

function duration(seconds) {
  if (!seconds) return "0 s";
  if (seconds >= 100) return `${seconds.toFixed(0)} s`;
  if (seconds >= 1) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  const thousandths = seconds * 1000;
  return `${thousandths.toFixed(thousandths < 0.995 ? 2 : thousandths < 9.95 ? 1 : 0)} ms`;
}

// A box that follows the pointer or the focus.
const box = document.body.appendChild(make("div", { id: "tip", role: "tooltip", hidden: "" }));

function tip(node, text) {
  const show = event => {
    const [title, ...lines] = text();
    box.replaceChildren(make("b", {}, title), ...lines.map(line => make("div", {}, line)));
    box.hidden = false;
    const at = node.getBoundingClientRect();
    const [x, y] = event.type === "focus" ? [at.left + 12, at.top + 24] : [event.clientX + 14, event.clientY + 18];
    box.style.left = `${Math.max(4, Math.min(x, innerWidth - box.offsetWidth - 8))}px`;
    box.style.top = `${y + box.offsetHeight > innerHeight ? Math.max(4, y - box.offsetHeight - 30) : y}px`;
  };
  for (const kind of ["pointermove", "focus"]) node.addEventListener(kind, show);
  for (const kind of ["pointerleave", "blur", "click"]) node.addEventListener(kind, () => { box.hidden = true; });
  return node;
}

function figures(pairs) {
  return make("dl", { class: "figures" }, pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

// A bar of parts, [name, title, value], and what their colors mean.
function shares(parts, show) {
  const shown = parts.filter(([, , value]) => value > 0);
  const total = shown.reduce((sum, [, , value]) => sum + value, 0) || 1;
  return [
    make("div", { class: "share", "aria-hidden": "true" },
      shown.map(([name, , value]) => make("i", { style: { width: `${100 * value / total}%`, background: color(name) } }))),
    make("ul", { class: "legend" },
      shown.map(([name, title, value]) => make("li", {}, make("i", { style: { background: color(name) } }),
        `${title} ${show(value)}`, make("span", { class: "soft" }, ` ${(100 * value / total).toFixed(0)} %`)))),
  ];
}

// Several colors in one rectangle, [name, part of 1], from the left or from the top.
function striped(parts, way = "to right") {
  let at = 0;
  const stops = parts.filter(([, part]) => part > 0).map(([name, part]) => `${color(name)} ${100 * at}% ${100 * (at += part)}%`);
  return `linear-gradient(${way}, ${stops.join(", ")})`;
}

// A table whose heads sort it. A column is [title, value for sorting, content, is a number].
function table(columns, rows, sorted = -1, most = 200) {
  const body = make("tbody"), node = make("table");
  let by = Math.abs(sorted) - 1, back = sorted < 0, all = false;
  const heads = columns.map(([title, , , number], index) => make("th", { scope: "col", class: number && "number" },
    make("button", { type: "button", onclick: () => { back = by === index ? !back : Boolean(number); by = index; fill(); } }, title)));
  const fill = () => {
    const value = columns[by][1], sign = back ? -1 : 1;
    const ordered = [...rows].sort((a, b) => { const x = value(a), y = value(b); return (x < y ? -1 : x > y ? 1 : 0) * sign; });
    heads.forEach((head, index) => head.setAttribute("aria-sort", index !== by ? "none" : back ? "descending" : "ascending"));
    body.replaceChildren(...ordered.slice(0, all ? undefined : most).map(row => make("tr", {},
      columns.map(([, , content, number], index) => make("td", { class: number ? "number" : index ? null : "name" }, content(row))))));
    if (!all && rows.length > most) {
      const more = make("button", { class: "link", type: "button", onclick: () => { all = true; fill(); } }, `Show all ${rows.length.toLocaleString("en")}`);
      body.append(make("tr", {}, make("td", { colspan: columns.length }, more)));
    }
  };
  fill();
  node.append(make("thead", {}, make("tr", {}, heads)), body);
  return node;
}

// Views of one page, [id, title, node, draw]; the address names the one that is open,
// and what follows its slash is given to draw.
function tabs(views) {
  const list = make("div", { role: "tablist" });
  const buttons = views.map(([id, title, node], index) => {
    node.setAttribute("role", "tabpanel");
    node.setAttribute("aria-labelledby", `tab-${id}`);
    const step = event => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (move) buttons[(index + move + views.length) % views.length].click();
    };
    return make("button", { role: "tab", id: `tab-${id}`, type: "button", onclick: () => { location.hash = id; }, onkeydown: step }, title);
  });
  const open = () => {
    const [id, ...rest] = location.hash.slice(1).split("/").map(part => { try { return decodeURIComponent(part); } catch { return part; } });
    const opened = Math.max(0, views.findIndex(view => view[0] === id));
    views.forEach(([, , node], index) => {
      const isOpen = index === opened;
      if (isOpen && document.activeElement?.getAttribute("role") === "tab") buttons[index].focus();
      node.hidden = !isOpen;
      buttons[index].setAttribute("aria-selected", isOpen);
      buttons[index].tabIndex = isOpen ? 0 : -1;
    });
    views[opened][3](rest.join("/"));
  };
  list.append(...buttons);
  addEventListener("hashchange", open);
  addEventListener("resize", open);
  main.append(...(views.length > 1 ? [list] : []), ...views.map(view => view[2]));
  open();
}
