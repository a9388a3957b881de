"use strict";
// The live page of a virtual board. Everything comes as server-sent events; everything done goes out as JSON posts.

const byId = (id) => document.getElementById(id);
const consoleBox = byId("console");
const logBox = byId("log");
const KEPT_LINES = 2000;

// -- console: the few terminal codes that MaixPy's line editor uses -----------------------------------------

let lines = [""];
let column = 0;
let escape = null;
let drawing = false;

function put(character) {
  const row = lines.length - 1;
  const line = lines[row].padEnd(column);
  lines[row] = line.slice(0, column) + character + line.slice(column + 1);
  column += 1;
}

function obey(code) {
  const count = parseInt(code, 10) || 1;
  const row = lines.length - 1;
  if (code.endsWith("D")) column = Math.max(0, column - count);
  else if (code.endsWith("C")) column += count;
  else if (code.endsWith("K")) lines[row] = lines[row].slice(0, column);
}

function print(text) {
  for (const character of text) {
    if (escape !== null) {
      escape += character;
      if (/^\[[\d;]*[@-~]$/.test(escape)) { obey(escape.slice(1)); escape = null; }
      else if (!/^\[[\d;]*$/.test(escape)) escape = null;
    } else if (character === "\x1b") escape = "";
    else if (character === "\n") { lines.push(""); column = 0; }
    else if (character === "\r") column = 0;
    else if (character === "\b") column = Math.max(0, column - 1);
    else if (character >= " " || character === "\t") put(character);
  }
  if (lines.length > KEPT_LINES) lines = lines.slice(-KEPT_LINES);
  if (!drawing) {
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      const follows = consoleBox.scrollTop + consoleBox.clientHeight > consoleBox.scrollHeight - 40;
      consoleBox.textContent = lines.join("\n");
      if (follows) consoleBox.scrollTop = consoleBox.scrollHeight;
    });
  }
}

// -- what is shown ------------------------------------------------------------------------------------------

const seconds = (ns) => (ns / 1e9).toFixed(3) + " s";

function say(state, text) {
  byId("live").dataset.state = state;
  byId("live").textContent = text;
}

function addToLog(entries) {
  const follows = logBox.scrollTop + logBox.clientHeight > logBox.scrollHeight - 40;
  for (const entry of entries) {
    const item = document.createElement("li");
    const time = document.createElement("time");
    const text = document.createElement("span");
    item.className = entry.kind;
    time.textContent = seconds(entry.ns);
    text.textContent = entry.text;
    item.append(time, text);
    logBox.append(item);
  }
  while (logBox.childElementCount > KEPT_LINES) logBox.firstElementChild.remove();
  if (follows) logBox.scrollTop = logBox.scrollHeight;
}

let panelNumber = 0;
let panelBusy = false;
let panelWanted = false;

function showPanel() {
  // One at a time: a fast board would otherwise queue more pictures than the browser can load.
  if (panelBusy) { panelWanted = true; return; }
  panelBusy = true;
  panelNumber += 1;
  byId("panel").src = "/panel.png?" + panelNumber;
}

function panelLoaded() {
  panelBusy = false;
  if (panelWanted) { panelWanted = false; showPanel(); }
}

byId("panel").addEventListener("load", panelLoaded);
byId("panel").addEventListener("error", panelLoaded);

let cardTimer = null;

function cardChanged() {
  // Files change in bursts of writes.
  if (cardTimer === null) cardTimer = setTimeout(() => { cardTimer = null; showCard(); }, 700);
}

async function showCard() {
  const answer = await fetch("/card.json").catch(() => null);
  if (!answer || !answer.ok) return;
  const card = await answer.json();
  const items = card.files.map((file) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    const size = document.createElement("span");
    link.href = "/card/" + file.path.split("/").map(encodeURIComponent).join("/");
    link.download = file.path.split("/").pop();
    link.textContent = file.path;
    size.className = "size";
    size.textContent = file.size.toLocaleString("en") + " B";
    item.append(link, size);
    return item;
  });
  byId("files").replaceChildren(...items);
  byId("count").textContent = card.present ? `${items.length}${card.more ? "+" : ""} files` : "no card in the slot";
}

// -- what is done -------------------------------------------------------------------------------------------

async function post(address, data) {
  const answer = await fetch(address, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data) }).catch(() => null);
  if (!answer || !answer.ok) say("off", answer ? (await answer.text()).trim() : "the board does not answer");
}

const typed = byId("typed");
const history = [];
let recalled = 0;

byId("line").addEventListener("submit", (event) => {
  event.preventDefault();
  post("/type", { text: typed.value + "\r" });
  if (typed.value) history.push(typed.value);
  recalled = history.length;
  typed.value = "";
});

typed.addEventListener("keydown", (event) => {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  recalled = Math.min(history.length, Math.max(0, recalled + step));
  typed.value = history[recalled] ?? "";
});

for (const button of document.querySelectorAll("button[data-code]")) {
  button.addEventListener("click", () => post("/type", { text: String.fromCharCode(button.dataset.code) }));
}

const boot = byId("boot");

function press(down) {
  if ((boot.getAttribute("aria-pressed") === "true") === down) return;
  boot.setAttribute("aria-pressed", String(down));
  post("/key", { down });
}

boot.addEventListener("pointerdown", (event) => { boot.setPointerCapture(event.pointerId); press(true); });
for (const end of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) {
  boot.addEventListener(end, () => press(false));
}
boot.addEventListener("keydown", (event) => { if (event.key === " " || event.key === "Enter") press(true); });
boot.addEventListener("keyup", () => press(false));
byId("reset").addEventListener("click", () => post("/reset", {}));

// -- events -------------------------------------------------------------------------------------------------

const events = new EventSource("/events");
const on = (kind, action) => events.addEventListener(kind, (event) => action(JSON.parse(event.data)));
let before = null;

on("hello", (about) => {
  lines = [""];
  column = 0;
  escape = null;
  before = null;
  logBox.replaceChildren();
  print("");
  byId("title").textContent = `${about.model}, ${about.engine}`;
  byId("at").textContent = `AT ${about.at}`;
  // A whole multiple of the panel's pixels stays crisp.
  const scale = about.width > 320 ? 1 : 2;
  byId("panel").width = about.width * scale;
  byId("panel").height = about.height * scale;
  say("on", "live");
});
on("console", (news) => print(news.text));
on("log", addToLog);
on("panel", showPanel);
on("card", cardChanged);
on("gone", () => say("off", "switched off"));
on("time", (time) => {
  byId("time").textContent = seconds(time.ns);
  const now = { real: performance.now(), virtual: time.ns };
  if (before === null) before = now;
  if (now.real - before.real > 900) {
    const factor = (now.virtual - before.virtual) / 1e6 / (now.real - before.real);
    byId("speed").textContent = `${factor < 10 ? factor.toFixed(2) : Math.round(factor)}× real time`;
    before = now;
  }
});
events.addEventListener("error", () => say("off", "the board is gone, trying again"));
