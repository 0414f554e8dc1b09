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
const figures = (trial) => {
  const list = make("dl");
  const rows = [
    ["Tokens kept", `${trial.kept} of ${trial.total} (${share(trial.kept / trial.total)})`],
    ["KV cache, mean of layers", share(trial.kv)],
    ["Prefill, mean of layers", share(trial.prefill)],
    ["First token, measured", trial.first === null ? "–" : `${(1000 * trial.first).toFixed(0)} ms`],
  ];
  for (const [label, value] of rows) {
    const row = make("div");
    row.append(make("dt", "", label), make("dd", "", value));
    list.append(row);
  }
  return list;
};
const multiple = (trial) => {
  const box = make("section", "card");
  box.dataset.name = trial.name;
  const head = make("header");
  head.append(make("h3", "", trial.label), make("span", "hint", trial.name === "none" ? "nothing is dropped" : `drops ${trial.where}`));
  if (trial.error) {
    box.append(head, make("p", "error", trial.error));
    return box;
  }
  const image = make("img");
  image.src = trial.src;
  image.alt = `${trial.label}: ${trial.kept} of ${trial.total} tokens kept`;
  const text = make("p", "text", trial.text || "(no words)");
  text.dir = "auto";
  const verdict = trial.name === "none" ? "" : trial.same ? "= as with all tokens" : "≠ not as with all tokens";
  box.append(head, image, text, make("p", "verdict", verdict), figures(trial));
  return box;
};
panel((root, value) => {
  if (!value) return;
  const line = make("p", "said", value.said);
  line.dataset.kind = value.kind;
  line.setAttribute("role", value.kind === "error" ? "alert" : "status");
  const cards = make("div", "cards");
  cards.append(...value.trials.map(multiple));
  fill(root, line, cards, saved(value));
});
