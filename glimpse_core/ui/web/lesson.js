// "How it works": five steps on the live picture, each with the view that shows it and its numbers.
const LESSONS = [
  {
    title: "The picture becomes tokens",
    view: "picture",
    lined: true,
    text: () => {
      const total = stage.probabilities.length;
      const { rows, cols } = picture();
      const padded = stage.tallies[stage.active].padding ? ", padded to a square," : "";
      return `The model never sees pixels. It cuts the picture${padded} into a grid, here ${rows} × ${cols}, and turns every cell into one visual token: ${total} in all. Each of them costs memory and time, whatever you ask.`;
    },
  },
  {
    title: "One glimpse, with your question in mind",
    view: "picture",
    text: () =>
      "A learned glimpse token is put behind your question and runs with it through the first layers. What it looks at there is read off; then it is taken out again, so that it leaves no trace in the answer. “What the glimpse token looked at”, below, shows this attention head by head.",
  },
  {
    title: "A small predictor scores every token",
    view: "heat",
    text: () =>
      `Raw attention is noisy and has habits of its own. The Visual Importance Predictor reads it together with what the vision tower saw, and gives each token a probability that it matters. The highest here is ${Math.max(...stage.probabilities).toFixed(2)}.`,
  },
  {
    title: "Tokens above the threshold stay",
    view: "kept",
    text: () =>
      `${stage.selection.kept} of ${stage.probabilities.length} tokens stay. The others leave the sequence and the key/value cache of every layer, and the answer goes on without them. Move the threshold, or paint: the page has all scores, so no model runs until you answer again.`,
  },
  {
    title: "Where it saves, and where it fails",
    view: "wipe",
    text: () =>
      "Saved: the layers after the glimpse, and cache in all layers. Not saved: the vision tower and the layers before. It fails on tiny text, on counting many things, on “describe everything”, where nearly all tokens matter, and on follow-up questions about what an earlier question let go.",
  },
];
let lessonAt = null;

const showLesson = (at) => {
  if (!scored() || at < 0 || at >= LESSONS.length) return closeLesson();
  lessonAt = at;
  const lesson = LESSONS[at];
  stage.lined = Boolean(lesson.lined);
  setView(lesson.view);
  const turn = (text, step, name) => {
    const button = make("button", name, text);
    button.type = "button";
    button.disabled = at + step < 0;
    button.addEventListener("click", () => {
      showLesson(at + step);
      (lessonBox.querySelector(".next") || canvas).focus();
    });
    return button;
  };
  const close = make("button", "close", "Close");
  close.type = "button";
  close.addEventListener("click", () => {
    closeLesson();
    canvas.focus();
  });
  const steps = make("div", "steps");
  steps.append(turn("Back", -1, "back"), turn(at + 1 < LESSONS.length ? "Next" : "Done", 1, "next"), close);
  const head = make("h3", "", `${at + 1} of ${LESSONS.length} · ${lesson.title}`);
  fill(lessonBox, head, make("p", "", lesson.text()), steps);
  lessonBox.hidden = false;
};

const closeLesson = () => {
  const open = lessonAt !== null;
  lessonAt = null;
  stage.lined = false;
  lessonBox.hidden = true;
  fill(lessonBox);
  if (open) redraw();
};

const openLesson = () => {
  showLesson(0);
  if (lessonAt === null) return;
  root.scrollIntoView({ block: "nearest" });
  lessonBox.querySelector(".next").focus();
};
