// Painting and erasing tokens one by one. Painted tokens override the threshold.
const TOOLS = [
  ["look", "Look"],
  ["keep", "Keep"],
  ["drop", "Drop"],
];
const toolBox = make("div", "tabs");
const wash = make("button", "wash", "Clear");

const refreshTools = () => {
  for (const button of toolBox.children) {
    button.setAttribute("aria-checked", String(button.value === stage.tool));
    button.tabIndex = button.value === stage.tool ? 0 : -1;
  }
  canvas.style.touchAction = stage.tool === "look" ? "pan-y" : "none";
  canvas.dataset.tool = stage.tool;
  const painted = stage.strokes.size;
  wash.textContent = stage.control ? "Back to the glimpse's choice" : `Clear ${painted} painted`;
  wash.style.visibility = painted || stage.control ? "" : "hidden";
};

const setTool = (name) => {
  stage.tool = name;
  refreshTools();
};

const dropControl = () => {
  stage.control = "";
  stage.controlMask = null;
};

// A control of the rule that is moved ends a comparison at once. Gradio tells what it was moved to a frame later, and
// the next answer may have been asked for by then.
const endComparison = ({ type, target }) => {
  if (!stage.control || !target.closest(type === "click" ? ".glimpse-rule button" : ".glimpse-rule")) return;
  dropControl();
  refreshTools();
  reselect();
};

const setToken = (cell, on) => {
  const index = offset() + cell;
  if (stage.strokes.get(index) === on && !stage.control) return;
  dropControl();
  stage.strokes.set(index, on);
  refreshTools();
  reselect();
};

// Every token between two places of a moving pointer, so that a quick stroke has no gaps.
const setLine = (from, to) => {
  const { cols } = picture();
  const [row, col] = [Math.floor(from / cols), from % cols];
  const [down, right] = [Math.floor(to / cols) - row, (to % cols) - col];
  const steps = Math.max(1, Math.abs(down), Math.abs(right));
  for (let step = 0; step <= steps; step++) {
    setToken((row + Math.round((down * step) / steps)) * cols + col + Math.round((right * step) / steps), stage.tool === "keep");
  }
};

const washOff = () => {
  stage.control ? dropControl() : stage.strokes.clear();
  refreshTools();
  reselect();
};

// What Python is told with "answer again"; a control that is named is a new one, with a draw of its own.
const tellAgain = (control) => {
  if (control) {
    stage.control = control;
    stage.seed += control === "random" ? 1 : 0;
  }
  return settingsNow();
};

// What Python is told with a question: edits were made for another one, unless a link brought them for this one.
const tellAsk = (question) => {
  const { linked } = stage;
  if (!linked || linked.question !== question) return withoutEdits(stage.settings);
  const { strokes, control, seed } = linked.edits || { ...stage, seed: Math.max(0, stage.seed) };
  return withEdits(stage.settings, strokes, control, seed);
};

const buildTools = () => {
  radios(toolBox, "Paint tokens by hand", TOOLS, () => stage.tool, setTool);
  wash.type = "button";
  wash.addEventListener("click", washOff);
  tools.append(make("span", "what", "By hand"), toolBox, wash);
  for (const name of ["input", "click"]) document.addEventListener(name, endComparison, true); // click: a slider's reset
  refreshTools();
};
