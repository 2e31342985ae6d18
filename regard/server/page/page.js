// The page of a server: a text, one or two models, and the address that holds what is asked.
import { nothing, read, written } from "./address.js";
import { closeChooser } from "./chooser.js";
import { pane } from "./pane.js";
import { past } from "./past.js";
import { Refused, ask, keep } from "./server.js";
import { settings } from "./settings.js";

const $ = (selector) => document.querySelector(selector);
const [work, form, text, away] = [$("#work"), $(".composer"), $("#text"), $(".away")];
const fields = settings(form);
const remember = past($(".past"), (hash) => {
  location.hash = hash;
  scrollTo({ top: 0 });
});
const languages = new Intl.DisplayNames("en", { type: "language" });
let models = [];
let panes = [];
let asked = nothing();
let waiting = false;
let early = false; // something was asked before the models were there

const say = (sentence) => ($("#status").textContent = sentence);
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

// ---------------------------------------------------------------- the models

function named(code) {
  try {
    return languages.of(code);
  } catch {
    return code;
  }
}

function titled({ name, source_language, target_language }) {
  return source_language && target_language ? `${name} · ${named(source_language)} → ${named(target_language)}` : name;
}

// Again and again until all models are loaded, or a key is asked for.
async function start() {
  for (;;) {
    try {
      ({ models } = await ask("v1/models"));
      if (models.length) break;
      tell("The models are still being loaded.");
    } catch (problem) {
      if (!(problem instanceof Refused)) throw problem;
      if (problem.status === 401) return locked();
      tell(problem.message);
    }
    await pause(0.7);
  }
  tell("");
  $(".key").hidden = true;
  const typed = text.value;
  restore();
  if (typed && !asked.text) {
    text.value = typed;
    if (early) submit();
  }
  if (matchMedia("(hover: hover)").matches) text.focus(); // elsewhere the keyboard would cover the page
  const ready = () => ask("ready").then(() => true, () => false);
  while (!(await ready())) {
    await pause(1.5);
    ({ models } = await ask("v1/models").catch(() => ({ models })));
    panes.forEach((each) => each.models());
  }
}

function tell(sentence) {
  away.textContent = sentence;
  away.hidden = !sentence;
}

function locked() {
  tell("");
  $(".key").hidden = false;
  $("#key").focus();
}

$(".key").addEventListener("submit", (event) => {
  event.preventDefault();
  const before = models.length;
  keep($("#key").value);
  $("#key").value = "";
  if (before) ($(".key").hidden = true), run(panes);
  else start();
});

// ---------------------------------------------------------------- asking

const act = {
  models: () => models,
  titled,
  say,
  again: (each) => (asked.text.trim() ? run([each]) : write()),
  remove(each) {
    panes = panes.filter((other) => other !== each);
    each.destroy();
    asked.panes = panes.map(({ what }) => what);
    arrange();
    write();
  },
  settled() {
    const working = panes.some((each) => each.busy);
    $("#stop").hidden = !working;
    if (!working && panes.some((each) => each.text)) remember({ hash: written(asked), text: asked.text, outputs: panes.map((each) => each.text) });
  },
  failed(each, { status }) {
    if (status === 401) locked();
    if (status === 0) wait();
  },
};

async function run(which) {
  write();
  $("#stop").hidden = false;
  say("Translating.");
  await Promise.all(which.map((each) => each.run(asked)));
}

// A server that went away is asked for until it is back, and then what it owes.
async function wait() {
  if (waiting) return;
  waiting = true;
  tell("The server does not answer. Waiting for it …");
  do await pause(1.5);
  while (!(await ask("ready").then(() => true, () => false)));
  waiting = false;
  tell("");
  say("The server is back.");
  if (asked.text.trim()) run(panes);
}

function submit() {
  if (!panes.length) {
    early = true;
    return;
  }
  // Edits name places in a text, and another text has other places.
  if (text.value !== asked.text) for (const { what } of panes) Object.assign(what, { edits: [], prefix: null });
  asked = { ...asked, ...fields.read(), text: text.value };
  if (asked.text.trim()) return run(panes);
  panes.forEach((each) => each.clear());
  write();
  say("Write a text first.");
  text.focus();
}

const stop = () => panes.forEach((each) => each.stop());

function write() {
  const hash = asked.text || asked.panes.length > 1 ? written(asked) : "";
  if (hash !== location.hash) history.pushState(null, "", hash || location.pathname + location.search);
}

// ---------------------------------------------------------------- from the address to the page

function restore() {
  panes.forEach((each) => each.destroy());
  asked = read(location.hash);
  text.value = asked.text;
  fields.write(asked);
  panes = asked.panes.map((what) => pane(what, act));
  arrange();
  if (asked.text.trim()) run(panes);
  else act.settled();
}

function arrange() {
  work.append(...panes.map((each) => each.element));
  work.classList.toggle("two", panes.length > 1);
  panes.forEach((each) => each.removable(panes.length > 1));
  $("#compare").hidden = panes.length > 1;
  const first = models.find(({ name }) => name === panes[0]?.what.model);
  text.lang = first?.source_language ?? "";
  form.querySelector(".title").textContent = first?.source_language ? named(first.source_language) : "Text";
}

// The next model that is not there already, or the same again to compare what steering does.
$("#compare").addEventListener("click", () => {
  if (!panes.length) return;
  const used = panes[0].what.model;
  const what = { model: models.find(({ name }) => name !== used)?.name ?? used, edits: [], prefix: null };
  asked.panes = [panes[0].what, what];
  const added = pane(what, act);
  panes = [panes[0], added];
  arrange();
  if (asked.text.trim()) run([added]);
  else write();
  added.element.querySelector("select").focus();
});

$("#share").addEventListener("click", async () => {
  const button = $("#share");
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
    say("The link is copied.");
  } catch {
    prompt("The link to this page:", location.href); // no clipboard without HTTPS
  }
  setTimeout(() => (button.textContent = "Copy link"), 1600);
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
$("#stop").addEventListener("click", stop);
addEventListener("keydown", (event) => event.key === "Escape" && stop());
addEventListener("popstate", () => {
  closeChooser();
  if (models.length) restore();
});
start();
