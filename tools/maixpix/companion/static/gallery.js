"use strict";
// Shows uploads as they arrive and removes deleted ones. Without this script the page works by reloading.

const cards = document.getElementById("cards");
const live = document.getElementById("live");
const count = document.getElementById("count");
const news = document.getElementById("news");
const secret = cards.dataset.secret;

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function find(file) {
  return cards.querySelector(`figure[data-file="${CSS.escape(file)}"]`);
}

function makeForm(action, fields, button) {
  const inputs = Object.entries({ secret, ...fields }).map(
    ([name, value]) => element("input", { type: "hidden", name, value }));
  return element("form", { method: "post", action }, ...inputs, button);
}

function makeCard(upload) {
  const look = upload.picture
    ? element("a", { href: upload.url },
      element("img", { src: upload.url + "?size=320x240", width: 320, height: 240, alt: upload.name }))
    : element("a", { href: upload.url, className: "file" }, upload.kind);
  const when = element("time", { dateTime: upload.when }, upload.when.slice(0, 19).replace("T", " "));
  const actions = element("div", { className: "actions" },
    element("a", { href: upload.url + "?download=1", download: "" }, "Download"));
  if (cards.dataset.deletes === "yes") {
    actions.append(makeForm("/gallery/delete", { file: upload.file },
      element("button", { className: "delete" }, "Delete")));
  }
  const figure = element("figure", { className: "new" },
    look,
    element("figcaption", {},
      element("b", {}, upload.name), element("br", {}),
      (upload.board || upload.from) + " · ", when, " · " + upload.sizeText,
      element("p", { className: "note" }, upload.note), actions));
  figure.dataset.file = upload.file;
  return figure;
}

function tidy(change) {
  count.textContent = Number(count.textContent) + change;
  document.getElementById("empty").hidden = cards.querySelector("figure") !== null;
}

cards.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const figure = form.closest("figure");
  const name = figure.querySelector("b").textContent;
  if (!window.confirm(`Delete ${name}? It cannot be brought back.`)) return;
  const url = figure.querySelector("a").getAttribute("href");
  const answer = await fetch(url, { method: "DELETE", headers: { "X-Maixpix-Secret": secret } }).catch(() => null);
  if (!answer || (!answer.ok && answer.status !== 404)) {
    window.alert(answer ? await answer.text() : "The companion does not answer.");
  }
});

tidy(0);

if (cards.dataset.live === "yes") {
  let lost = false;
  const events = new EventSource("/events");
  const say = (state, text) => { live.dataset.state = state; live.textContent = text; };
  events.addEventListener("hello", () => {
    // What happened while the connection was down is only known to a fresh page.
    if (lost) window.location.reload();
    say("on", "live");
  });
  events.addEventListener("error", () => { lost = true; say("off", "connection lost, trying again"); });
  events.addEventListener("reload", () => window.location.reload());
  events.addEventListener("added", (event) => {
    const upload = JSON.parse(event.data);
    if (find(upload.file)) return;
    cards.prepend(makeCard(upload));
    tidy(1);
  });
  events.addEventListener("board", (event) => {
    const { name } = JSON.parse(event.data);
    const boards = document.getElementById("boards");
    if (boards.querySelector(`form[data-board="${CSS.escape(name)}"]`)) return;
    const form = makeForm("/gallery/snap", { board: name }, element("button", {}, `Take a picture: ${name}`));
    form.dataset.board = name;
    boards.append(form);
  });
  events.addEventListener("deleted", (event) => {
    const upload = JSON.parse(event.data);
    const figure = find(upload.file);
    if (figure) { figure.remove(); tidy(-1); }
    news.textContent = `${upload.name} was deleted`;
  });
  events.addEventListener("again", (event) => {
    const upload = JSON.parse(event.data);
    const figure = find(upload.file);
    if (figure) figure.querySelector(".note").textContent = upload.again;
    news.textContent = `${upload.name} came once more and is here as ${upload.file}`;
  });
} else {
  live.textContent = "live on the first page";
}
