// Small multiples: one card per method, with its mask, its counts and its answer.
const share = (value) => `${(100 * value).toFixed(1)}%`;
const keep = (text, type, name) => {
  const link = make("a", "", name);
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  return link;
};
const saved = (value) => {
  if (!value.json) return null;
  const row = make("p", "saved", "Save ");
  row.append(keep(value.json, "application/json", "glimpse-methods.json"));
  if (value.picture) {
    const link = make("a", "", "glimpse-methods.jpg");
    link.href = value.picture;
    link.download = "glimpse-methods.jpg";
    row.append(" ", link);
  }
  return row;
};
const figures = (result) => {
  const list = make("dl");
  const rows = [
    ["Tokens kept", `${result.kept} of ${result.total} (${share(result.kept / result.total)})`],
    ["KV cache, mean of layers", share(result.kv)],
    ["Prefill, mean of layers", share(result.prefill)],
    ["First token, measured", result.first === null ? "–" : `${(1000 * result.first).toFixed(0)} ms`],
  ];
  for (const [label, value] of rows) {
    const row = make("div");
    row.append(make("dt", "", label), make("dd", "", value));
    list.append(row);
  }
  return list;
};
const multiple = (result) => {
  const box = make("section", "card");
  box.dataset.name = result.name;
  const head = make("header");
  head.append(make("h3", "", result.label), make("span", "hint", result.name === "none" ? "nothing is dropped" : `drops ${result.where}`));
  if (result.error) {
    box.append(head, make("p", "error", result.error));
    return box;
  }
  const image = make("img");
  image.src = result.src;
  image.alt = `${result.label}: ${result.kept} of ${result.total} tokens kept`;
  const text = make("p", "text", result.text || "(no words)");
  text.dir = "auto";
  const verdict = result.name === "none" ? "" : result.same ? "= as with all tokens" : "≠ not as with all tokens";
  box.append(head, image, text, make("p", "verdict", verdict), figures(result));
  return box;
};
panel((root, value) => {
  if (!value) return;
  const line = make("p", "message", value.message);
  line.dataset.kind = value.kind;
  line.setAttribute("role", value.kind === "error" ? "alert" : "status");
  const cards = make("div", "cards");
  cards.append(...value.results.map(multiple));
  fill(root, line, cards, saved(value));
});
