// What an archive holds, what a process imported of it, how it differs from another.

const KINDS = { source: "Sources", bytecode: "Bytecode", native: "Native code", data: "Data" };
const PHASES = { found: "Found", put: "Put on disk", read: "Read", unmarshalled: "Unmarshalled", executed: "Executed", waited: "Waited" };
const changes = new Map((facts.difference?.changes ?? []).map(change => [change[3], change]));
const changed = change => ({ added: "added", removed: "removed" })[change?.[0]] ?? (change ? "changed" : "same");

const folder = (name, path, more) => ({ name, path, weight: 0, files: 0, modules: 0, never: 0, unused: 0, used: 0, sizes: { source: 0, bytecode: 0, native: 0, data: 0 }, marks: {}, ...more });
const archive = folder("", "", { children: new Map() });

for (const [path, kind, bytes, bytecode, number, used] of facts.files) {
  const folders = path.split("/"), name = number > 1 ? count(number, "small file") : folders.pop();
  const weight = bytes + bytecode, modules = kind === "data" ? 0 : number, mark = changed(changes.get(path));
  const add = node => {
    node.weight += weight;
    node.files += number;
    node.sizes[kind] += bytes;
    node.sizes.bytecode += bytecode;
    node.marks[mark] = (node.marks[mark] ?? 0) + weight;
    node.modules += modules;
    if (used) node.used += weight;
    else if (modules) { node.never += modules; node.unused += weight; }
    return node;
  };
  let node = add(archive);
  for (const part of folders.filter(part => part)) {
    if (!node.children.get(part)?.children) node.children.set(part, folder(part, node.path ? `${node.path}/${part}` : part, { parent: node, children: new Map() }));
    node = add(node.children.get(part));
  }
  node.children.set(number > 1 ? `/${kind}` : name, add(folder(name, path, { parent: node, kind })));
}

const below = node => [...node.children.values()].sort((a, b) => b.weight - a.weight);
const parts = (names, whole) => Object.entries(names).filter(([, value]) => value > 0).map(([name, value]) => [name, value / (whole || 1)]);
const PAINTS = {
  kind: node => [parts(node.sizes, node.weight), node.kind ? "to bottom" : "to right"],
  imports: node => [parts({ imported: node.used, never: node.weight - node.used }, node.weight), "to right"],
  changes: node => [parts(node.marks, node.weight), "to right"],
};
const ofKinds = node => Object.keys(KINDS).filter(kind => node.sizes[kind]).map(kind => `${KINDS[kind]} ${size(node.sizes[kind])}`).join(", ");

function described(node) {
  const lines = [`${size(node.weight)}${node.children ? ` in ${count(node.files, "file")}` : ""}, ${(100 * node.weight / (archive.weight || 1)).toFixed(1)} % of the archive`, ofKinds(node)];
  if (facts.profile) lines.push(node.children ? `of that used: ${size(node.used)}` : node.used ? (node.kind === "data" ? "read" : "imported") : node.kind === "data" ? "never read" : "never imported");
  const change = changes.get(node.path);
  if (change) lines.push(change[0]);
  return [node.path || "the whole archive", ...lines];
}

// Rectangles near squares, as Bruls, Huizing and van Wijk describe (2000).
function squarify(nodes, x, y, width, height, place) {
  let left = nodes.reduce((sum, node) => sum + node.weight, 0);
  for (let start = 0; start < nodes.length && left > 0 && width > 0.5 && height > 0.5;) {
    const side = Math.min(width, height), scale = width * height / left;
    const worst = (sum, end) => Math.max(side * side * nodes[start].weight / (sum * sum * scale), sum * sum * scale / (side * side * nodes[end].weight));
    let end = start, sum = nodes[start].weight;
    while (end + 1 < nodes.length && nodes[end + 1].weight && worst(sum + nodes[end + 1].weight, end + 1) <= worst(sum, end)) sum += nodes[++end].weight;
    const band = sum * scale / side;
    let at = 0;
    for (const node of nodes.slice(start, end + 1)) {
      const length = node.weight * scale / band;
      if (width >= height) place(node, x, y + at, band, length);
      else place(node, x + at, y, length, band);
      at += length;
    }
    if (width >= height) { x += band; width -= band; } else { y += band; height -= band; }
    left -= sum;
    start = end + 1;
    if (start < nodes.length && !nodes[start].weight) return;
  }
}

function filesView() {
  const map = make("div", { class: "map", role: "group", "aria-label": "Files by size" });
  const path = make("nav", { "aria-label": "Folder" }), list = make("div"), legend = make("div", { class: "below" });
  const paints = [["kind", "kind"], facts.profile && ["imports", "what was used"], facts.difference && ["changes", "what changed"]].filter(Boolean);
  const paint = make("select", { onchange: () => draw(now.path) }, paints.map(([value, title]) => make("option", { value }, title)));
  const find = make("input", { type: "search", placeholder: "part of a path", oninput: () => mark() });
  let now = archive;
  const go = node => { location.hash = `files/${node.path.split("/").map(encodeURIComponent).join("/")}`; };

  function tile(node, x, y, width, height, deep) {
    const [fill, way] = PAINTS[paint.value](node), main = [...fill].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "never";
    const text = main === "bytecode" ? "source" : main;
    const tall = height > 34 && width > 60;
    const button = make("button", {
      type: "button", class: deep ? "folder" : "tile", tabindex: -1, "aria-label": `${node.path}, ${size(node.weight)}`,
      style: { left: `${x}px`, top: `${y}px`, width: `${Math.max(width - 1, 1)}px`, height: `${Math.max(height - 1, 1)}px`,
        ...(deep ? {} : { background: striped(fill, way), color: color(`${text}-text`) }) },
      onclick: () => go(node.children ? node : node.parent === now ? now : node.parent),
    }, width > 26 && height > 15 && make("span", {}, node.name), !deep && tall && make("small", {}, size(node.weight)));
    button.node = node;
    map.append(tip(button, () => described(node)));
  }

  function lay(node, x, y, width, height) {
    squarify(below(node), x, y, width, height, (child, x, y, width, height) => {
      const roomy = child.children && width > 46 && height > 40 && width * height > 90 * child.children.size;
      if (width < 2 || height < 2) return;
      tile(child, x, y, width, height, roomy);
      if (roomy) lay(child, x + 3, y + 19, width - 7, height - 23);
    });
  }

  function mark() {
    const text = find.value.toLowerCase();
    for (const button of map.children) button.classList.toggle("dim", Boolean(text) && !(button.classList.contains("folder") || button.node.path.toLowerCase().includes(text)));
  }

  // Arrows go to the nearest tile that way, Enter goes in, Escape and Backspace go up.
  map.addEventListener("keydown", event => {
    if (event.key === "Escape" || event.key === "Backspace") { if (now.parent) { event.preventDefault(); go(now.parent); } return; }
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const middle = button => [button.offsetLeft + button.offsetWidth / 2, button.offsetTop + Math.min(button.offsetHeight / 2, button.className === "folder" ? 9 : 1e6)];
    const [x, y] = middle(document.activeElement);
    let best = null, nearest = Infinity;
    for (const button of map.children) {
      const [cx, cy] = middle(button), along = (cx - x) * way[0] + (cy - y) * way[1], aside = Math.abs((cx - x) * way[1]) + Math.abs((cy - y) * way[0]);
      if (along > 1 && along + 2 * aside < nearest) [best, nearest] = [button, along + 2 * aside];
    }
    best?.focus();
  });
  map.addEventListener("focusin", event => { for (const button of map.children) button.tabIndex = button === event.target ? 0 : -1; });

  function draw(where) {
    const had = map.contains(document.activeElement);
    const named = where.split("/").reduce((node, part) => node?.children?.get(part), archive) ?? archive;
    now = named.children ? named : named.parent;
    const way = [];
    for (let node = now; node; node = node.parent) way.unshift(node);
    path.replaceChildren(...way.flatMap((node, index) => [index ? " / " : "", make("button", { type: "button", "aria-current": node === now ? "location" : null, onclick: () => go(node) }, node.name || "archive")]));
    map.replaceChildren();
    lay(now, 0, 0, map.clientWidth + 1, map.clientHeight + 1);
    if (map.firstChild) { map.firstChild.tabIndex = 0; if (had) map.firstChild.focus(); }
    mark();
    legend.replaceChildren(...shares({
      kind: () => Object.entries(KINDS).map(([kind, title]) => [kind, title, now.sizes[kind]]),
      imports: () => [["imported", "Imported or read", now.used], ["never", "Never", now.weight - now.used]],
      changes: () => ["added", "changed", "same"].map(name => [name, { added: "Added", changed: "Changed", same: "The same" }[name], now.marks[name] ?? 0]),
    }[paint.value](), size));
    const whole = now.weight || 1;
    list.replaceChildren(table([
      ["Name", node => node.name, node => node.children ? make("button", { class: "link", type: "button", onclick: () => go(node) }, `${node.name}/`) : node.name],
      ["Files", node => node.files, node => node.files.toLocaleString("en"), true],
      ["Size", node => node.weight, node => size(node.weight), true],
      ["Data", node => node.sizes.data, node => node.sizes.data ? size(node.sizes.data) : "", true],
      ...(facts.profile ? [["Used", node => node.used, node => node.used ? size(node.used) : "", true]] : []),
      ["", node => node.weight, node => make("span", { class: "bar", style: { width: `${Math.max(160 * node.weight / whole, 1)}px` } })],
    ], below(now), -3));
  }

  const node = make("section", {},
    make("div", { class: "tools" }, path, make("label", {}, "Find", find), paints.length > 1 && make("label", {}, "Color by", paint)),
    map, legend, make("p", { class: "note" }, "Click a folder to go into it. Arrow keys move, Enter goes in, Escape goes up."), list);
  return ["files", "Files", node, draw];
}

function changesView() {
  const { other, changes: all, recompiled } = facts.difference, number = kind => all.filter(change => changed(change) === kind).length;
  const grown = change => (change[2] ?? 0) - (change[1] ?? 0), shown = bytes => bytes == null ? "" : size(bytes);
  const node = make("section", {},
    make("p", {}, "Compared with archive ", make("code", {}, other.slice(0, 12)), ", the one before."),
    figures([["Added", number("added").toLocaleString("en")], ["Changed", number("changed").toLocaleString("en")], ["Removed", number("removed").toLocaleString("en")],
      ["Size", `${all.reduce((sum, change) => sum + grown(change), 0) < 0 ? "−" : "+"}${size(Math.abs(all.reduce((sum, change) => sum + grown(change), 0)))}`]]),
    recompiled > 0 && make("p", { class: "note" }, `${count(recompiled, "source")} with other bytecode only.`),
    all.length ? table([
      ["Path", change => change[3], change => change[3]],
      ["Change", change => change[0], change => make("span", { class: "tag", style: { background: color(changed(change)), color: color(`${changed(change)}-text`) } }, change[0])],
      ["Before", change => change[1] ?? -1, change => shown(change[1]), true],
      ["Now", change => change[2] ?? -1, change => shown(change[2]), true],
      ["Difference", grown, change => `${grown(change) < 0 ? "−" : "+"}${size(Math.abs(grown(change)))}`, true],
    ], all, 1) : make("p", {}, "The files are the same."));
  return ["changes", "Difference", node, () => {}];
}

function importsView() {
  const { processes, seconds, imports, looked } = facts.profile, names = Object.keys(PHASES);
  const all = imports.map(([name, path, parent, seen, bytes, failed, ...own]) => ({ name, path, parent, seen, bytes, failed, own, self: own.reduce((sum, part) => sum + part, 0), children: [] }));
  const root = { name: "all imports", path: "", own: names.map(() => 0), self: 0, total: 0, children: [], depth: 0 };
  for (const each of all) (each.parent = all[each.parent] ?? root).children.push(each);
  for (const each of [...all].reverse()) each.total = each.children.reduce((sum, child) => sum + child.total, each.self);
  root.total = root.children.reduce((sum, child) => sum + child.total, 0);
  const depth = node => node === root ? 0 : depth(node.parent) + 1;
  const flame = make("div", { class: "flame", role: "group", "aria-label": "Imports by time" }), list = make("div"), path = make("nav", { "aria-label": "Import" });
  const find = make("input", { type: "search", placeholder: "part of a name", oninput: () => { mark(); fill(); } });
  const sums = ours => names.map((name, index) => [name, PHASES[name], all.filter(each => Boolean(each.path) === ours).reduce((sum, each) => sum + each.own[index], 0)]);
  let now = root;
  const go = node => { location.hash = node === root ? "imports" : `imports/${encodeURIComponent(node.name)}`; };

  const told = node => [node.name, ...(node === root ? [] : [node.path ? `from the archive, ${size(node.bytes)}` : "from elsewhere"]),
    `${duration(node.total)} with all that it imports, ${duration(node.self)} itself`,
    node.own.map((part, index) => part > 5e-6 ? `${PHASES[names[index]].toLowerCase()} ${duration(part)}` : "").filter(Boolean).join(", "),
    ...(node.seen < processes ? [`in ${node.seen} of ${processes} processes`] : []), ...(node.failed ? ["failed"] : [])];

  // What a module imports comes first, then its own time, split into its parts.
  function bar(node, x, y, width) {
    const inner = node.total - node.self, whole = node.total || 1;
    const own = node.path ? names.map((name, index) => [name, node.own[index] / whole]) : [["other", node.self / whole]];
    const button = make("button", { type: "button", tabindex: -1, "aria-label": `${node.name}, ${duration(node.total)}`, onclick: () => go(node),
      style: { left: `${x}px`, top: `${y}px`, width: `${Math.max(width, 1)}px`, background: striped([["mark", inner / whole], ...own]) } }, width > 24 ? `${node.failed ? "\u26A0 " : ""}${node.name} ` : "", width > 110 && make("span", { class: "soft" }, duration(node.total)));
    button.node = node;
    flame.append(tip(button, () => told(node)));
  }

  function lay(node, x, y, scale) {
    if (node.total * scale < 0.6) return y;
    bar(node, x, y, node.total * scale);
    let deepest = y;
    for (const child of node.children) {
      deepest = Math.max(deepest, lay(child, x, y + 21, scale));
      x += child.total * scale;
    }
    return deepest;
  }

  function mark() {
    const text = find.value.toLowerCase();
    for (const button of flame.querySelectorAll("button")) button.classList.toggle("dim", Boolean(text) && !button.node.name.toLowerCase().includes(text));
  }

  function fill() {
    const text = find.value.toLowerCase(), inside = node => now === root || node === now || (node !== root && inside(node.parent));
    const rows = all.filter(each => inside(each) && each.name.toLowerCase().includes(text));
    list.replaceChildren(table([
      ["Module", each => each.name, each => make("button", { class: "link", type: "button", onclick: () => go(each) }, each.name)],
      ["Imported by", each => each.parent.name, each => each.parent === root ? "" : each.parent.name],
      ["Total", each => each.total, each => duration(each.total), true],
      ["Own", each => each.self, each => duration(each.self), true],
      ...names.map((name, index) => [PHASES[name], each => each.own[index], each => each.own[index] > 5e-6 ? duration(each.own[index]) : "", true]),
      ...(processes > 1 ? [["Processes", each => each.seen, each => each.seen, true]] : []),
    ], rows, -4, 50));
  }

  flame.addEventListener("keydown", event => {
    const node = document.activeElement.node, children = node?.children ?? [], row = node?.parent?.children ?? [];
    const next = { ArrowDown: children[0], ArrowUp: node?.parent, ArrowRight: row[row.indexOf(node) + 1], ArrowLeft: row[row.indexOf(node) - 1] }[event.key];
    if (event.key === "Escape" || event.key === "Backspace") { if (now.parent) { event.preventDefault(); go(now.parent); } }
    if (next) { event.preventDefault(); [...flame.querySelectorAll("button")].find(button => button.node === next)?.focus(); }
  });
  flame.addEventListener("focusin", event => { for (const button of flame.querySelectorAll("button")) button.tabIndex = button === event.target ? 0 : -1; });

  function draw(where) {
    const had = flame.contains(document.activeElement);
    now = all.find(each => each.name === where) ?? root;
    const way = [];
    for (let node = now; node; node = node.parent) way.unshift(node);
    path.replaceChildren(...way.flatMap((node, index) => [index ? " \u203A " : "", make("button", { type: "button", onclick: () => go(node) }, node.name)]));
    flame.replaceChildren();
    const deepest = lay(now, 0, 0, flame.clientWidth / (now.total || 1));
    flame.style.height = `${Math.min(deepest + 24, 560)}px`;
    flame.firstChild && (flame.firstChild.tabIndex = 0, had && flame.firstChild.focus());
    mark();
    fill();
  }

  const never = below(archive).filter(node => node.never);
  const elsewhere = all.filter(each => !each.path), ours = all.filter(each => each.path);
  const node = make("section", {},
    figures([["Processes", processes.toLocaleString("en")], ["Modules of the archive", ours.length.toLocaleString("en")], ["Time in imports", duration(root.total)],
      ["Of that elsewhere", duration(elsewhere.reduce((sum, each) => sum + each.self, 0))], ["Recorded", duration(seconds)]]),
    ...shares([...sums(true), ["other", "Modules from elsewhere", elsewhere.reduce((sum, each) => sum + each.self, 0)]], duration),
    make("div", { class: "tools" }, path, make("label", {}, "Find", find)), flame,
    make("p", { class: "note" }, `Width is time${processes > 1 ? ", the median of the processes" : ""}. Below a module is what it imported; its own time is at its right end. Click or press Enter to go in, Escape to go up.`),
    list,
    make("h2", {}, "Packed, and never imported"),
    never.length ? table([
      ["Name", each => each.name, each => make("button", { class: "link", type: "button", onclick: () => { location.hash = `files/${encodeURIComponent(each.name)}`; } }, each.name)],
      ["Modules", each => each.never, each => `${each.never.toLocaleString("en")} of ${each.modules.toLocaleString("en")}`, true],
      ["Size", each => each.unused, each => size(each.unused), true],
    ], never, -3, 20) : make("p", {}, "Every module was imported."),
    make("h2", {}, "Put on disk because somebody looked"),
    looked.length ? table([["Path", each => each[0], each => each[0] || "the top folder"], ["Looked at by", each => each[1], each => each[1]]], looked, 1, 20)
      : make("p", {}, "Nobody looked at a path in the archive."));
  return ["imports", "Imports", node, draw];
}

main.append(
  make("h1", {}, "Archive ", make("code", {}, facts.hash.slice(0, 12))),
  make("p", { class: "soft wrap" }, facts.about.join(" · ")),
  figures([["Files", archive.files.toLocaleString("en")], ["Modules", facts.modules.toLocaleString("en")], ["On a node", size(archive.weight)],
    ["Sources", size(archive.sizes.source)], ["Bytecode", size(archive.sizes.bytecode)], ["Native code", size(archive.sizes.native)], ["Data", size(archive.sizes.data)]]));
tabs([filesView(), ...(facts.profile ? [importsView()] : []), ...(facts.difference ? [changesView()] : [])]);
