// How the stage is used. Masks are computed here, so moving a control never runs the model.
const reselect = () => {
  stage.selection = choose(stage.settings, stage.strokes, stage.controlMask);
  if (legend.dataset.threshold !== String(stage.settings.threshold)) {
    legend.dataset.threshold = String(stage.settings.threshold);
    legend.style.setProperty("--threshold", legend.dataset.threshold);
  }
  summarize();
  read();
  redraw();
};

const setView = (name) => {
  stage.view = name;
  for (const button of tabs.children) button.setAttribute("aria-checked", String(button.value === name));
  for (const button of tabs.children) button.tabIndex = button.value === name ? 0 : -1;
  legend.dataset.view = name;
  fadeLabel.style.visibility = name === "picture" || name === "only" ? "hidden" : "";
  fadeWord.textContent = name === "wipe" ? "Wipe" : "Overlay";
  fade.value = String(name === "wipe" ? stage.wipe : stage.opacity);
  redraw();
};

const setFade = (value) => {
  if (stage.view === "wipe") stage.wipe = value;
  else stage.opacity = value;
  fade.value = String(value);
  redraw();
};

const setCell = (cell) => {
  if (stage.cell === cell) return;
  stage.cell = cell;
  read();
  redraw();
};

const setPage = (index) => {
  stage.active = index;
  stage.cell = null;
  [...strip.children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === index)));
  resize();
  summarize();
  read();
  document.dispatchEvent(new CustomEvent("glimpse-page"));
};

// Views and overlay mean nothing before there are scores.
const enable = (ready) => {
  root.dataset.scored = String(ready);
  for (const control of [...tabs.children, ...toolBox.children, fade]) control.disabled = !ready;
  if (!ready) closeLesson();
};

const takeScores = (probabilities, logits) => {
  stage.probabilities = probabilities;
  stage.logits = logits;
  stage.order = rankTokens(probabilities);
  stage.rank = new Array(stage.order.length);
  stage.order.forEach((index, place) => (stage.rank[index] = place + 1));
  stage.strokes.clear();
  stage.answered = null;
  dropControl();
  enable(probabilities.length > 0);
};

const takePictures = (pictures) => {
  stage.pictures = pictures.map((item) => ({ ...item, area: areaOf(item) }));
  stage.images = pictures.map((item) => {
    const image = new Image();
    image.onload = () => {
      resize();
      document.dispatchEvent(new CustomEvent("glimpse-page"));
    };
    image.src = item.src;
    return image;
  });
  fill(
    strip,
    ...(pictures.length > 1 ? pictures : []).map((item, index) => {
      const button = make("button");
      const image = make("img");
      button.type = "button";
      image.src = item.src;
      image.alt = `Picture ${index + 1}`;
      button.append(image, make("span"));
      button.addEventListener("click", () => setPage(index));
      return button;
    }),
  );
};

const takeEdits = ({ settings, mask }) => {
  stage.strokes = strokesOf(settings);
  takeControl({ settings, mask });
};
const takeControl = ({ settings: { control, seed }, mask }) => {
  stage.control = control;
  stage.controlMask = control ? bytesOf(mask) : null;
  if (control) stage.seed = seed;
};

// Which tokens the answer has. Strokes come back only with new scores; otherwise those on the canvas are newer.
const takeAnswered = (answered, fresh) => {
  const { settings, mask } = answered;
  if (fresh) takeEdits(answered);
  else if (settings.control) takeControl(answered);
  stage.answered = choose(settings, strokesOf(settings), settings.control ? bytesOf(mask) : null).mask;
};

// What a link asks for. Its edits are for one question: ready says that the scores on the canvas are that question's.
const takeLinked = ({ settings, mask, question, ready }) => {
  stage.settings = withoutEdits(settings);
  const { control, seed } = settings;
  stage.linked = { question, edits: ready ? null : { strokes: strokesOf(settings), control, seed } };
  if (ready) takeEdits({ settings, mask });
};

const load = (_, value) => {
  if (!value || !value.serial || value.serial === stage.serial) return;
  stage.serial = value.serial;
  if (value.pictures) stage.linked = null;
  if (value.pictures) takePictures(value.pictures);
  if (value.pictures) takeScores(decode(value.probabilities), decode(value.logits));
  if (value.clear) takeScores(new Float32Array(), new Float32Array());
  if (value.answered) takeAnswered(value.answered, Boolean(value.pictures));
  if (value.linked) takeLinked(value.linked);
  refreshTools();
  if (value.pictures) setPage(Math.min(stage.active, Math.max(0, value.pictures.length - 1)));
  reselect();
};

const placeOf = (event) => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
};

const cellAt = (event) => {
  if (!scored()) return null;
  const [x, y] = placeOf(event);
  if (Math.min(x, y) < 0 || Math.max(x, y) >= 1) return null;
  const { cols, area } = picture();
  const row = within(Math.floor(area.top + y * area.height), area.rows);
  return row * cols + within(Math.floor(area.left + x * area.width), area.cols);
};

const onPointer = (event) => {
  const cell = cellAt(event);
  const pressed = event.type === "pointerdown" || (event.buttons & 1) === 1;
  if (event.type === "pointerdown" && stage.tool !== "look") canvas.setPointerCapture(event.pointerId);
  if (pressed && cell !== null && stage.tool !== "look") {
    const from = event.type === "pointerdown" || stage.cell === null ? cell : stage.cell;
    setLine(from, cell);
  } else if (pressed && stage.view === "wipe" && scored()) {
    setFade(Math.min(1, Math.max(0, placeOf(event)[0])));
  }
  setCell(cell);
};

const onKey = (event) => {
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  if (event.key === "Escape") return setCell(null);
  if (event.key === " " && scored() && stage.cell !== null) {
    event.preventDefault();
    return setToken(stage.cell, !stage.selection.mask[offset() + stage.cell]);
  }
  if (!scored() || !moves[event.key]) return;
  event.preventDefault();
  const { rows, cols, area } = picture();
  const here = (index) => index >= offset() && index < offset() + rows * cols && isShown(picture(), index - offset());
  if (stage.cell === null) return setCell(stage.order.find(here) - offset());
  const [down, right] = moves[event.key];
  const row = within(Math.floor(stage.cell / cols) + down, area.rows);
  setCell(row * cols + within((stage.cell % cols) + right, area.cols));
};

// Files dropped or pasted take the same way as those of the "Add pictures" button.
const handFiles = (files) => {
  const input = document.querySelector("#glimpse-choose input[type=file]");
  const pictures = [...files].filter((file) => file.type.startsWith("image/") || !file.type);
  if (!input || !pictures.length) return;
  const transfer = new DataTransfer();
  for (const file of pictures) transfer.items.add(file);
  input.files = transfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
};

const buildLegend = () => {
  const ramp = make("span", "ramp");
  ramp.style.background = `linear-gradient(90deg, ${STOPS.map((stop) => `rgb(${stop.join(",")})`).join(",")})`;
  ramp.append(make("i", "tick"));
  const heat = make("div", "key heat");
  heat.append(make("span", "", "irrelevant 0"), ramp, make("span", "", "1 relevant"));
  const masks = make("div", "key mask");
  masks.append(make("i", "swatch in"), make("span", "", "kept"), make("i", "swatch out"), make("span", "", "pruned"));
  const sides = make("div", "key sides", "left: all tokens · right: kept tokens");
  legend.append(heat, masks, sides);
};

const build = () => {
  radios(tabs, "View", VIEWS, () => stage.view, setView);
  Object.assign(fade, { type: "range", min: "0", max: "1", step: "0.05", value: String(stage.opacity) });
  fade.addEventListener("input", () => setFade(Number(fade.value)));
  fadeLabel.append(fadeWord, fade);
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "token map");
  for (const name of ["pointermove", "pointerdown"]) canvas.addEventListener(name, onPointer);
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && setCell(null));
  canvas.addEventListener("keydown", onKey);
  words.setAttribute("aria-live", "polite");
  lessonBox.setAttribute("aria-label", "How it works");
  lessonBox.setAttribute("aria-live", "polite");
  closeLesson();
  readout.append(crop, words);
  frame.append(canvas, empty);
  const top = make("div", "top");
  top.append(tabs, fadeLabel);
  const facts = make("div", "facts");
  facts.append(count, legend);
  buildLegend();
  buildTools();
  root.append(lessonBox, top, frame, strip, bar, facts, readout, tools);
};

const listen = () => {
  for (const name of ["dragenter", "dragover"]) {
    frame.addEventListener(name, (event) => {
      event.preventDefault();
      frame.dataset.drop = "true";
    });
  }
  frame.addEventListener("dragleave", () => delete frame.dataset.drop);
  frame.addEventListener("drop", (event) => {
    event.preventDefault();
    delete frame.dataset.drop;
    handFiles(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => event.clipboardData && handFiles(event.clipboardData.files));
  new ResizeObserver(resize).observe(frame);
  const recolor = () => {
    refreshInks();
    redraw();
  };
  new MutationObserver(recolor).observe(document.body, { attributeFilter: ["class"] });
};

// The page's own controls say what they are set to, by field name; they say so again when nothing has changed.
const setControls = (controls) => {
  const settings = overlayControls(stage.settings, controls);
  if (!settings || JSON.stringify(settings) === JSON.stringify(stage.settings)) return;
  stage.settings = settings; // a comparison ends in edits.js, when the visitor moves a control, and not when a link does
  refreshTools();
  reselect();
};

refreshInks();
build();
listen();
enable(false);
setView(stage.view);
window.glimpse = { select: selectTokens, stage, view: setView, controls: setControls, settings: settingsNow, tellAgain, tellAsk, lesson: openLesson };
panel(load);
if (window.glimpseControls) setControls(window.glimpseControls);
