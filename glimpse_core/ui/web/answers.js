// The two answers, their numbers, the verdict, and what can get faster.
const STATES = {
  waiting: "waiting",
  running: "answering",
  stop: "",
  length: "cut at the length limit",
  cancelled: "stopped",
};
const KINDS = {
  counted: "counted",
  calculated: "calculated from the model's shape, not measured",
  measured: "measured while this answer was made",
};

const LIVE = "Computed live, by the model named above.";

const card = (name, title, hint, answer) => {
  const box = make("section", `card ${name}`);
  box.dataset.state = answer ? answer.state : "waiting";
  const head = make("header");
  head.append(make("h3", "", title), make("span", "hint", hint));
  const text = make("p", "text");
  text.dir = "auto";
  const pieces = answer ? answer.pieces : [];
  for (const [piece, differs] of pieces) text.append(differs ? make("mark", "", piece) : piece);
  if (!pieces.some(([piece]) => piece.trim())) {
    text.classList.add("empty");
    if (answer && answer.state !== "running") text.textContent = "(no words)";
  }
  if (!answer || answer.state === "running") text.append(make("span", "caret"));
  const state = make("span", "state", answer ? STATES[answer.state] : STATES.waiting);
  const list = make("dl");
  for (const figure of answer ? answer.figures : []) {
    const row = make("div");
    row.dataset.kind = figure.kind;
    const label = make("dt", "", figure.label);
    label.title = KINDS[figure.kind];
    const value = make("dd", "", figure.value);
    if (figure.note) value.append(make("small", "", figure.note));
    row.append(label, value);
    list.append(row);
  }
  box.append(head, text, state, list);
  return box;
};

let told = ""; // the last note: until there is another, its room is kept
panel((root, value) => {
  if (!value) return;
  const asked = make("div", "asked");
  if (value.question) {
    const question = make("p", "question", value.question);
    question.dir = "auto";
    asked.append(question);
    asked.append(make("p", value.stored ? "origin stored" : "origin", value.stored || LIVE));
    asked.append(make("p", "truth", value.truth ? `True answer: ${value.truth}` : ""));
  }
  if (!value.question) {
    fill(root, make("p", "idle", value.note));
    return;
  }
  const verdict = make("p", "verdict", value.verdict ? value.verdict.text : "");
  verdict.setAttribute("role", "status");
  if (value.verdict) verdict.dataset.same = String(value.verdict.same);
  const cards = make("div", "cards");
  cards.append(
    card("full", "All tokens", "no pruning", value.full),
    card("kept", "Kept tokens", value.rule || "", value.kept),
  );
  told = value.note || told;
  const note = make("p", value.note ? "note" : "note held", told);
  const kinds = make("p", value.kept ? "kinds" : "kinds held", "Time is measured; compute and cache are calculated from the model's shape.");
  fill(root, asked, cards, verdict, told && note, kinds);
});
