"use strict";
// A thumbnail that cannot be made is replaced by what the companion says about it.

async function explain(image) {
  const told = await fetch(image.src).then((answer) => (answer.ok ? "" : answer.text())).catch(() => "");
  const place = document.createElement("span");
  place.className = "broken";
  place.textContent = told.split(";")[0].trim() || "the picture cannot be shown";
  image.replaceWith(place);
}

document.addEventListener("error", (event) => {
  if (event.target.tagName === "IMG") explain(event.target);
}, true);

// Those that failed before this script ran.
for (const image of document.images) {
  if (image.complete && !image.naturalWidth) explain(image);
}
