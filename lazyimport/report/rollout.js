// How a rollout went: replicas in the order of time, colored by their hash.

const UP = new Set(["RUNNING", "ALIVE"]), wanted = new Set(Object.values(facts.wanted));
const lasted = Math.max(facts.lasted, 0.001), short = hash => hash ? hash.slice(0, 12) : "no hash";
const paint = hash => color(wanted.has(hash) ? "executed" : "other");
const clock = at => new Date(Date.parse(facts.began) + at * 1000).toISOString().slice(0, 19) + "Z";
const serving = facts.replicas.filter(replica => replica.spans.some(span => UP.has(span[0])));
const first = Math.min(...serving.filter(replica => wanted.has(replica.hash)).map(replica => replica.spans.find(span => UP.has(span[0]))[1]));
const old = facts.replicas.filter(replica => !wanted.has(replica.hash)).map(replica => replica.spans.at(-1)[2] ?? Infinity);
const gone = old.length ? Math.max(...old) : NaN;
const failed = facts.replicas.filter(replica => replica.failed && wanted.has(replica.hash));
const totals = new Map(facts.counts.map(([, hash, requests, errors]) => [hash, [requests, errors]]));
const since = new Map();
for (const [, hash, requests, errors] of facts.counts) if (!since.has(hash)) since.set(hash, wanted.has(hash) ? [0, 0] : [requests, errors]);
const during = index => [...totals].reduce((sum, [hash, all]) => sum + all[index] - since.get(hash)[index], 0);

const LEFT = 210, RIGHT = 16, ROW = 22;

function axis(width, bottom) {
  const scale = (width - LEFT - RIGHT) / lasted, step = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600].find(step => step * scale >= 70) ?? 7200, marks = [];
  for (let at = 0; at <= lasted; at += step) {
    const x = LEFT + at * scale;
    marks.push(drawn("line", { class: "axis", x1: x, x2: x, y1: 20, y2: bottom }), drawn("text", { class: "soft", x, y: 13, "text-anchor": "middle" }, step < 60 ? `${at} s` : `${at / 60} min`));
  }
  return [scale, marks];
}

function lanes(width) {
  const rows = [];
  for (const [name, spans] of Object.entries(facts.applications)) {
    rows.push({ name, spans, of: name });
    const replicas = facts.replicas.filter(replica => replica.application === name);
    replicas.sort((a, b) => a.deployment < b.deployment ? -1 : a.deployment > b.deployment ? 1 : wanted.has(a.hash) - wanted.has(b.hash) || a.spans[0][1] - b.spans[0][1]);
    rows.push(...replicas.map(replica => ({ name: `${replica.deployment}#${replica.id}`, spans: replica.spans, of: `${name}/${replica.deployment}/${replica.id}`, replica })));
  }
  const height = 30 + rows.length * ROW, [scale, marks] = axis(width, height);
  const svg = drawn("svg", { width, height, role: "img", "aria-label": "Replicas by time; the table below says the same" }, marks);
  rows.forEach(({ name, spans, of, replica }, index) => {
    const y = 24 + index * ROW;
    svg.append(drawn("text", { x: replica ? 14 : 0, y: y + 14, "font-weight": replica ? 400 : 650 }, name.length > 28 ? `${name.slice(0, 27)}…` : name));
    for (const [state, began, ended] of spans) {
      const x = LEFT + began * scale, end = LEFT + (ended ?? lasted) * scale, bad = state.endsWith("FAILED");
      const bar = drawn("rect", { x, y: y + 3, width: Math.max(end - x, 2), height: ROW - 7, rx: 3, style: {
        fill: replica ? paint(replica.hash) : color(bad ? "removed" : state === "RUNNING" ? "added" : "changed"),
        fillOpacity: !replica || UP.has(state) ? 1 : 0.38, stroke: replica && !UP.has(state) ? paint(replica.hash) : "none", strokeDasharray: "3 2" } });
      svg.append(tip(bar, () => [of, state, ...(replica ? [short(replica.hash)] : []), `${duration(began)} to ${ended == null ? "the end" : duration(ended)}`, `from ${clock(began)}`]));
      if (!replica && end - x > 8 * state.length) svg.append(drawn("text", { x: x + 6, y: y + 14.5, style: { pointerEvents: "none" } }, state));
    }
    if (replica?.failed && wanted.has(replica.hash)) svg.append(drawn("text", { x: LEFT + replica.spans.at(-1)[2] * scale + 4, y: y + 15, style: { fill: color("bad") } }, "✕ did not start"));
  });
  return svg;
}

// Requests in a second, by hash, between two looks at the metrics.
function requests(width) {
  const hashes = [...totals.keys()], height = 130, [scale, marks] = axis(width, height), lines = [];
  for (const hash of hashes) {
    const counts = facts.counts.filter(count => count[1] === hash);
    lines.push([hash, counts.slice(1).map((count, index) => [(count[0] + counts[index][0]) / 2, Math.max(0, count[2] - counts[index][2]) / Math.max(count[0] - counts[index][0], 0.001)])]);
  }
  const most = Math.max(0.001, ...lines.flatMap(([, points]) => points.map(point => point[1])));
  const place = ([at, rate]) => `${LEFT + at * scale},${height - 4 - rate / most * (height - 34)}`;
  return drawn("svg", { width, height, role: "img", "aria-label": "Requests in a second" }, marks,
    drawn("text", { x: 0, y: 32 }, "Requests in a second"), drawn("text", { class: "soft", x: 0, y: 50 }, `at most ${most.toFixed(most < 10 ? 1 : 0)}`),
    lines.map(([hash, points]) => drawn("polyline", { points: points.map(place).join(" "), fill: "none", style: { stroke: wanted.has(hash) ? color("executed") : color("soft"), strokeWidth: 2 } })));
}

const chart = make("div");
const states = replica => replica.spans.map(([state, began, ended]) => `${state} ${duration((ended ?? lasted) - began)}`).join(", ");
main.append(
  make("h1", {}, `Rollout of ${Object.keys(facts.wanted).join(", ")}`),
  make("p", { class: "soft wrap" }, `${[...wanted].map(short).join(", ")} · ${clock(0)} · ${facts.outcome === "running" ? "all replicas run it" : facts.outcome}`),
  figures([
    ["Outcome", make("span", { style: { color: color(facts.outcome === "running" ? "good" : "bad") } }, facts.outcome)], ["Took", duration(lasted)],
    ...(first < Infinity ? [["First replica served after", duration(first)]] : []), ...(gone < Infinity ? [["Last old one gone after", duration(gone)]] : []),
    ["Replicas", facts.replicas.length.toLocaleString("en")], ["Did not start", failed.length.toLocaleString("en")],
    ...(facts.counts.length ? [["Requests meanwhile", during(0).toLocaleString("en")], ["Of these failed", during(1).toLocaleString("en")]] : [])]),
  ...(facts.reason ? [make("p", { class: "wrap", style: { whiteSpace: "pre-wrap" } }, facts.reason)] : []),
  chart,
  make("ul", { class: "legend" }, [["executed", [...wanted].map(short).join(", ")], ["other", "what ran before"]].map(([name, title]) =>
    make("li", {}, make("i", { style: { background: color(name) } }), title)), make("li", {}, make("i", { style: { background: color("executed"), opacity: 0.38 } }), "starting or stopping")),
  make("h2", {}, "Replicas"),
  table([
    ["Replica", replica => `${replica.application}/${replica.deployment}/${replica.id}`, replica => `${replica.application}/${replica.deployment}/${replica.id}`],
    ["Hash", replica => replica.hash ?? "", replica => make("code", {}, short(replica.hash))],
    ["States", states, states],
    ["Seen from", replica => replica.spans[0][1], replica => duration(replica.spans[0][1]), true],
    ["To", replica => replica.spans.at(-1)[2] ?? lasted, replica => replica.spans.at(-1)[2] == null ? "the end" : duration(replica.spans.at(-1)[2]), true],
  ], facts.replicas, 4),
  ...(facts.messages.length ? [make("h2", {}, "What Serve said"), ...facts.messages.map(([at, application, headline, text]) =>
    make("details", {}, make("summary", {}, `${clock(at)} ${application}: ${headline}`), make("pre", { class: "mono", style: { whiteSpace: "pre-wrap", overflowWrap: "anywhere" } }, text)))] : []));

function draw() {
  chart.replaceChildren(lanes(chart.clientWidth), ...(facts.counts.length > 1 ? [requests(chart.clientWidth)] : []));
}
addEventListener("resize", draw);
draw();
