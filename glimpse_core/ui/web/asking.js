// When a question goes to Python. Every way to ask ends here: the button, Enter, a suggestion, "Answer again" and its two
// neighbors. Gradio's own listeners would lose what comes before the last event is quite closed.
const WAITING = "Waiting for the model…";
const SENDING = "Sending your picture…";
const HELD = "Your picture is still on its way: the question will be asked about it as soon as it is here. Ask once more to ask about the picture you see.";
const LOST = "The page did not take that: please try again.";
const AGAIN = { "glimpse-again": "", ...Object.fromEntries(Object.keys(FIELD.control.choices).map((name) => [`glimpse-${name}`, name])) };
const SECOND_THOUGHT = 1000; // milliseconds until a second press is no longer the second half of a double click

const DEAF = 5000; // milliseconds without a word, where one comes at once

// asked: the question that was sent last; sent: no word on it yet; running, again: as Python last reported; open: events that
// are not closed; turning: pictures that are on their way; typed: whether the question is newer than these; held: whether
// a question waits for them, and how long: "", "short" or "long".
const asking = { asked: "", sent: false, running: false, again: false, open: 0, turning: 0, typed: false, held: "" };
const line = element.firstElementChild;
const questionBox = () => document.querySelector("#glimpse-question textarea");

const refresh = () => {
  const { sent, running, again } = asking;
  const able = { "glimpse-go": !sent && !running, "glimpse-stop": running };
  for (const id in AGAIN) able[id] = again && !sent && !running;
  for (const [id, can] of Object.entries(able)) {
    const button = document.getElementById(id);
    if (button) button.disabled = !can;
  }
};

const answered = () => {
  clearTimeout(asking.clock);
  asking.sent = false;
};

// Gradio's browser side may close its line to the server while an answer is on the way; whatever is asked next opens it.
const nudge = () => {
  trigger("nudge", {});
  asking.clock = setTimeout(nudge, DEAF);
};

const send = (name, data) => {
  answered();
  asking.sent = true;
  asking.open += 1;
  asking.asked = questionBox().value.trim();
  asking.clock = setTimeout(nudge, DEAF);
  say(line, WAITING, "busy");
  refresh();
  trigger(name, data);
};

const sendAsk = () => send("ask", { told: window.glimpse?.tellAsk(questionBox().value.trim()) });

const hold = (held) => {
  clearTimeout(asking.second);
  asking.held = line.dataset.held = held;
  if (held === "short") asking.second = setTimeout(hold, SECOND_THOUGHT, "long");
};

// A question about a picture that is still on its way waits for it. The same question twice is a slip of the finger.
const askNow = () => {
  if (asking.turning && asking.held !== "long") {
    if (!asking.held) hold("short");
    say(line, HELD, "busy");
    return;
  }
  hold("");
  if ((asking.sent || asking.running) && questionBox().value.trim() === asking.asked) return;
  sendAsk();
};

const write = (text) => {
  const box = questionBox();
  box.value = text;
  box.dispatchEvent(new Event("input", { bubbles: true }));
};

// Pictures are on their way. replaced: instead of some that were to come.
const turning = (replaced = false) => {
  if (!replaced) asking.turning += 1;
  asking.typed = false;
};

// Pictures have come, or never will. refused: what they are about cannot be shown. suggested: a question about them.
const turned = (refused, suggested) => {
  asking.turning = Math.max(0, asking.turning - 1);
  if (suggested && !refused && !asking.typed) {
    write(suggested);
    asking.typed = false;
  }
  if (asking.turning) return;
  const wanted = asking.held && !refused;
  hold("");
  if (wanted) sendAsk();
  else if ([SENDING, HELD].includes(line.textContent)) say(line, "", "info");
};

// The event is closed. Whatever Python had to report has arrived by now; if nothing arrived, nothing runs.
const settled = () => {
  asking.open = Math.max(0, asking.open - 1);
  if (!asking.sent || asking.open) return;
  answered();
  asking.running = false;
  refresh();
  say(line, LOST, "error");
};

const soon = (work) => setTimeout(work, 0); // after the panels have drawn what came with the event
const bytesAllowed = () => window.gradio_config?.max_file_size ?? Infinity;
// As Gradio's button judges: files of other kinds, or too large ones, are refused there and never sent.
const willBeSent = (files) => {
  const pictures = files.filter((file) => file.type.startsWith("image/"));
  return pictures.length > 0 && pictures.every((file) => file.size <= bytesAllowed());
};

document.addEventListener("input", ({ target }) => {
  asking.typed ||= target === questionBox();
}, true);
document.addEventListener("click", (event) => {
  const { id } = event.target.closest("button") || {};
  if (id === "glimpse-go") askNow();
  if (id in AGAIN) send("again", { told: window.glimpse.tellAgain(AGAIN[id]) });
  if (id !== "glimpse-stop") return;
  hold("");
  if (line.dataset.kind === "busy") say(line, "Stopping…", "busy");
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.target !== questionBox()) return;
  event.preventDefault();
  if (!event.repeat) askNow();
});
document.addEventListener("change", (event) => {
  if (!event.target.matches("#glimpse-choose input[type=file]") || !willBeSent([...event.target.files])) return;
  turning();
  if (line.dataset.kind !== "busy") say(line, SENDING, "busy");
}, true);
document.addEventListener("glimpse-pick", ({ detail }) => {
  write(detail);
  askNow();
});
document.addEventListener("glimpse-turning", ({ detail }) => {
  turning(detail.replaced);
  hold("");
});
document.addEventListener("glimpse-turned", ({ detail: { status, suggested } }) => soon(() => turned(valueOf(status).kind === "error", suggested)));
document.addEventListener("glimpse-settled", () => soon(settled));
// An upload that fails on its way ends in a message of Gradio's and in no event at all.
new PerformanceObserver((list) => {
  for (const { name, responseStatus } of list.getEntries()) {
    if (new URL(name).pathname.endsWith("/gradio_api/upload") && (responseStatus === 0 || responseStatus >= 400)) turned(true);
  }
}).observe({ type: "resource" });

// Not a `panel`: whether a question runs is known from its own updates, even where a later word is on the line by now.
let [shownEpoch, owner] = [0, 0]; // the epochs of what the line says, and of what the buttons show
const take = () => {
  const { text = "", kind = "info", running = null, again = null, epoch = 0 } = valueOf(props.value) || {};
  answered();
  if (running !== null && epoch >= owner) {
    owner = epoch;
    asking.running = running;
    asking.again = again ?? asking.again;
  }
  refresh();
  if (epoch < shownEpoch) return;
  shownEpoch = epoch;
  if (!asking.held || kind === "error") say(line, text, kind);
};
watch("value", take);
take();

// The page can be used once all that is pressed here is on it, and what its address asks for is shown: export_panel.py says
// when. Until then page.css hides it, so that no one types or clicks what is not used yet, or what a link would undo.
let linked = location.search !== "";
const checkReady = () => {
  const there = [...Object.keys(AGAIN), "glimpse-go", "glimpse-stop"].every((id) => document.getElementById(id));
  if (linked || !there || !questionBox() || !window.glimpse) return;
  mounting.disconnect();
  refresh();
  document.body.dataset.glimpseReady = "true";
};
const mounting = new MutationObserver(checkReady);
mounting.observe(document.body, { childList: true, subtree: true });
document.addEventListener("glimpse-opened", () => soon(() => {
  linked = false;
  checkReady();
}));
checkReady();
