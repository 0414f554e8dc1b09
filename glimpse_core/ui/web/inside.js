// Below the answers: tokens alive in each layer, cost by stage, and what the glimpse token looked at.
const STAGES = [
  ["vision", "Vision tower"],
  ["trunk", "Layers 0 to K"],
  ["glimpse_vip", "Glimpse and VIP"],
  ["branch", "Layers after K"],
  ["first", "Output matrix"],
];
const scaled = (value, units, step) => {
  let at = 0;
  for (; value >= step && at < units.length - 1; at++) value /= step;
  return `${value >= 100 || at === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[at]}`;
};
const SHOW = {
  calculated: (value) => scaled(value, ["FLOPs", "KFLOPs", "MFLOPs", "GFLOPs", "TFLOPs", "PFLOPs"], 1000),
  measured: (value) => (value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(value < 10 ? 1 : 0)} ms`),
};
const svg = (tag, attributes, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
};

const aliveChart = ({ alive, layers, keep_layer: keep }) => {
  const [width, height, left, right, top, bottom] = [560, 190, 60, 8, 20, 30];
  const highest = Math.max(...alive.full, ...alive.kept);
  const x = (layer) => left + ((width - left - right) * layer) / layers;
  const y = (tokens) => height - bottom - ((height - top - bottom) * tokens) / highest;
  const steps = (values) => values.map((value, layer) => `${layer ? "L" : "M"}${x(layer)},${y(value)}L${x(layer + 1)},${y(value)}`).join("");
  const last = alive.kept[layers - 1];
  const label =
    keep + 1 < layers
      ? `${alive.full[0]} tokens in all ${layers} layers without pruning; with it ${alive.kept[0]} up to layer ${keep} and ${last} after it.`
      : `${alive.full[0]} tokens in all ${layers} layers, with and without pruning; ${alive.cached[0]} stay in the cache.`;
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const tokens of [0, highest]) {
    chart.append(svg("line", { x1: left, x2: width - right, y1: y(tokens), y2: y(tokens), class: "rule" }));
    chart.append(svg("text", { x: left - 6, y: y(tokens) + 4, "text-anchor": "end" }, tokens.toLocaleString("en")));
  }
  chart.append(svg("path", { d: `${steps(alive.kept)}L${x(layers)},${y(0)}L${x(0)},${y(0)}Z`, class: "area" }));
  chart.append(svg("path", { d: steps(alive.full), class: "line full" }), svg("path", { d: steps(alive.kept), class: "line kept" }));
  if (keep + 1 < layers) {
    chart.append(svg("line", { x1: x(keep + 1), x2: x(keep + 1), y1: top - 6, y2: y(0), class: "cut" }));
    const end = x(keep + 1) > width * 0.7;
    const at = { x: x(keep + 1) + (end ? -6 : 6), y: top + 18, "text-anchor": end ? "end" : "start" };
    chart.append(svg("text", at, `tokens leave after layer ${keep}`));
  }
  const every = Math.ceil(layers / 14);
  for (let layer = 0; layer < layers; layer += every) {
    chart.append(svg("text", { x: (x(layer) + x(layer + 1)) / 2, y: height - 12, "text-anchor": "middle" }, String(layer)));
  }
  return [chart, label];
};

const legendOf = (names) => {
  const line = make("p", "names");
  for (const [kind, text] of names) line.append(make("i", kind), make("span", "", text));
  return line;
};

const aliveFigure = (value) => {
  const figure = make("figure", "alive");
  const [chart, label] = aliveChart(value);
  figure.append(
    make("h3", "", "Tokens alive in each layer"),
    make("p", "kind", "counted"),
    chart,
    legendOf([["full", "all tokens"], ["kept", "kept tokens"]]),
    make("figcaption", "", `${label} The key/value cache of every layer ends up with ${value.alive.cached[0]} prompt tokens instead of ${value.alive.full[0]}.`),
  );
  return figure;
};

const bars = (title, hint, kind, { full, kept }) => {
  const figure = make("figure", "stages");
  const table = make("table");
  const highest = Math.max(...STAGES.flatMap(([stage]) => [full[stage], kept[stage]]), 1e-9);
  const total = (run) => STAGES.reduce((sum, [stage]) => sum + run[stage], 0);
  const row = (name, a, b, limit) => {
    const line = make("tr");
    const head = make("th", "", name);
    head.scope = "row";
    const cell = make("td");
    for (const [side, amount] of [["full", a], ["kept", b]]) {
      const track = make("div", `track ${side}`);
      const fillBar = make("i");
      fillBar.style.width = `${limit ? (100 * amount) / limit : 0}%`;
      const readout = make("span", "readout", side === "full" ? "all tokens: " : "kept tokens: ");
      track.append(fillBar, readout, make("span", "amount", SHOW[kind](amount)));
      cell.append(track);
    }
    line.append(head, cell);
    return line;
  };
  const body = make("tbody");
  for (const [stage, name] of STAGES) body.append(row(name, full[stage], kept[stage], highest));
  const sums = make("tbody", "sums");
  sums.append(row("Up to the first token", total(full), total(kept), 0), row("Each further token", full.decode, kept.decode, 0));
  table.append(body, sums);
  figure.append(make("h3", "", title), make("p", "kind", kind), table, make("figcaption", "", hint));
  return figure;
};

const mapOf = (shares, { rows, cols }, offset, label) => {
  const canvas = make("canvas");
  canvas.width = cols;
  canvas.height = rows;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  const context = canvas.getContext("2d");
  const data = context.createImageData(cols, rows);
  for (let i = 0; i < rows * cols; i++) data.data.set([...heatColor(shares[offset + i]), 255], 4 * i);
  context.putImageData(data, 0, 0);
  return canvas;
};

const whereOf = (shares, { rows, cols }, offset) => {
  let best = 0;
  for (let i = 1; i < rows * cols; i++) if (shares[offset + i] > shares[offset + best]) best = i;
  return `row ${Math.floor(best / cols) + 1}, column ${(best % cols) + 1}`;
};

const fillMaps = (box, heads) => {
  const stage = window.glimpse && window.glimpse.stage;
  const picture = stage && stage.pictures[stage.active];
  const total = stage ? stage.pictures.reduce((sum, item) => sum + item.rows * item.cols, 0) : 0;
  const vip = new Float32Array(bytesOf(heads.vip).buffer);
  if (!picture || total !== vip.length) return; // other pictures are on the stage
  const offset = stage.pictures.slice(0, stage.active).reduce((sum, item) => sum + item.rows * item.cols, 0);
  const tile = (shares, name, note, kind) => {
    const item = make("figure", kind);
    const map = mapOf(shares, picture, offset, `${name}: strongest in ${whereOf(shares, picture, offset)}`);
    item.append(map, make("figcaption", "", name), make("small", "", note));
    return item;
  };
  const heatmaps = heads.maps.map((map, head) => {
    const shares = Float32Array.from(bytesOf(map), (value) => value / 255);
    return tile(shares, `Head ${head}`, `up to ${(100 * heads.peaks[head]).toFixed(1)}% on one token`, "head");
  });
  const padding = picture.frame && picture.frame.join() !== "0,0,1,1" ? "; all maps show the padded square" : "";
  const result = tile(vip, "What the VIP makes of it", `probability that a token matters, 0 to 1${padding}`, "vip");
  const small = make("div", "heads");
  small.append(...heatmaps);
  fill(box, small, result);
};

const whyFigure = (value) => {
  const { heads } = value;
  const figure = make("figure", "why");
  const box = make("div", "maps");
  const layers = heads.read_layers.join(" and ");
  const more = heads.heads > heads.maps.length ? ` ${heads.maps.length} of ${heads.heads} heads are shown.` : "";
  const several = heads.read_layers.length > 1 ? ` The VIP reads layers ${layers}; the last one is shown.` : "";
  const hint = `Each small map is one attention head of layer ${heads.layer}, scaled to its own strongest token: the share of its attention to the picture. The VIP reads all of them, beside what the vision tower saw, and says how likely each token matters.${several}${more}`;
  figure.append(make("h3", "", "What the glimpse token looked at"), make("p", "kind", "read off the model"), box, make("figcaption", "", hint));
  const redraw = () => fillMaps(box, heads);
  redraw();
  return [figure, redraw];
};

let redrawMaps = () => {};
document.addEventListener("glimpse-page", () => redrawMaps());
panel((root, value) => {
  if (!value) return;
  const title = make("h2", "", "Costs and inside");
  redrawMaps = () => {};
  if (!value.question) return fill(root, title, make("p", "idle", value.note));
  const asked = make("p", "for", `For “${value.question}”${value.stored ? ", as stored" : ""}`);
  asked.dir = "auto";
  const calculated = bars(
    "Compute by stage",
    "Matrix products and attention, counted from the model's shape; one multiply-add is 2 FLOPs.",
    "calculated",
    value.calculated,
  );
  const measured = bars(
    "Time by stage",
    "Both answers continue from one trunk, so the first two stages are the same run; it carried the glimpse token. “Output matrix” includes choosing the token.",
    "measured",
    value.measured,
  );
  const grid = make("div", "figures");
  const [why, redraw] = value.heads ? whyFigure(value) : [null, () => {}];
  grid.append(aliveFigure(value), ...(why ? [why] : []), calculated, measured);
  redrawMaps = redraw;
  fill(root, title, asked, grid);
});
