// What the page does beyond its HTML: looks again when told that something changed, checks names
// while they are typed, sends values, copies commands. Without it values are sent by the browser.
"use strict";

// A moment as the server tells it, counted on while the page stays open.
function relative(seconds) {
  const away = Math.abs(seconds);
  if (away < 10) return "just now";
  const units = [[60, 1, "second"], [3600, 60, "minute"], [86400, 3600, "hour"],
    [5184000, 86400, "day"], [63072000, 2592000, "month"], [Infinity, 31536000, "year"]];
  const [, size, unit] = units.find(([limit]) => away < limit);
  const count = Math.floor(away / size);
  const text = `${count} ${unit}${count === 1 ? "" : "s"}`;
  return seconds < 0 ? `${text} ago` : `in ${text}`;
}

setInterval(() => {
  for (const ago of document.querySelectorAll("time .ago")) {
    const moment = Date.parse(ago.parentElement.dateTime);
    const seconds = Math.trunc(moment / 1000) - Math.trunc(Date.now() / 1000);
    const text = relative(seconds);
    if (ago.textContent !== text) ago.textContent = text;
  }
}, 10000);

// Whether exact times are shown, on the next page, too.
const exact = document.getElementById("exact-times");
if (exact) {
  try {
    exact.checked = localStorage.getItem("exact-times") === "yes";
    exact.addEventListener("change", () => localStorage.setItem("exact-times", exact.checked ? "yes" : "no"));
  } catch {
    // A browser that keeps nothing: it is ticked on each page.
  }
}

function offerCopies(within) {
  for (const button of within.querySelectorAll("[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.onclick = async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    };
  }
}

const main = document.querySelector("main");
offerCopies(document);

// What has an id, and is not the same any more, takes the place of what was there; whoever types, has
// opened or has selected something there is left alone, until the focus or the selection is elsewhere.
const selection = getSelection();
let left = false;
function take(fresh) {
  left = false;
  offerCopies(fresh);
  addLines(document.getElementById("log"), fresh.getElementById("log"));
  for (const next of fresh.querySelectorAll("main [id]")) {
    const old = document.getElementById(next.id);
    if (!old || next.id === "notice" || next.id === "standing" || old.isEqualNode(next)) continue;
    const focused = document.activeElement;
    if ((old !== focused && old.contains(focused)) || old.querySelector("details[open]") || isSelected(old)) {
      left = true;
      continue;
    }
    if (next.closest("form")) continue;
    const place = document.importNode(next, true);
    const scrolled = isAtEnd(old);
    const aside = old.querySelector(".scroll")?.scrollLeft;
    old.replaceWith(place);
    if (scrolled) place.scrollTop = place.scrollHeight;
    if (aside) place.querySelector(".scroll")?.scrollTo(aside, 0);
    if (old === focused) place.focus({ preventScroll: true });
    offerCopies(place);
  }
}

const isSelected = (node) => !selection.isCollapsed && selection.containsNode(node, true);
const isAtEnd = (node) => node.scrollHeight - node.scrollTop - node.clientHeight < 4;

// A log only grows: what somebody has selected in it stays so.
function addLines(log, fresh) {
  if (!log || !fresh?.textContent.startsWith(log.textContent)) return;
  const scrolled = isAtEnd(log);
  log.firstChild.appendData(fresh.textContent.slice(log.textContent.length));
  if (scrolled) log.scrollTop = log.scrollHeight;
}

// Says that the page is not live any more, and what to do; or takes that back.
const standing = document.getElementById("standing");
function stands(text) {
  if (!standing || standing.dataset.said === text) return;
  standing.dataset.said = text;
  standing.replaceChildren();
  if (!text) return;
  const told = document.createElement("p");
  told.className = "callout";
  const link = document.createElement("a");
  link.href = location.pathname + location.search;
  link.textContent = "Load it again";
  told.append(text, " ", link, ", or log in by the newest link that leyden admin printed.");
  standing.append(told);
}
const NOT_LIVE = "This page is not live any more: what it shows may have changed.";
const NO_ANSWER = "This page is not live: the server does not answer.";

let refused = false;
let looking = false;
let again = false;
async function look() {
  if (looking) { again = true; return; }
  looking = true;
  try {
    const answer = await fetch(location.href, { headers: { "X-Leyden-Live": "1" } });
    // Nobody is logged in any more: nothing of the page may be left.
    if (answer.status === 401) return location.reload();
    if (answer.ok) take(new DOMParser().parseFromString(await answer.text(), "text/html"));
    stands(answer.ok && !refused ? "" : NOT_LIVE);
  } catch {
    // The connection that told us tries again by itself.
    stands(refused ? NOT_LIVE : NO_ANSWER);
  } finally {
    looking = false;
    if (again) { again = false; look(); }
  }
}

if (main && main.dataset.live) {
  let events = null;
  const listen = () => {
    const own = events = new EventSource(`/live?of=${main.dataset.live}`);
    own.addEventListener("changed", look);
    own.addEventListener("ended", () => { own.close(); location.reload(); });
    // Something may have changed since the page was made, or while there was no connection.
    own.onopen = () => { refused = false; main.dataset.connected = "yes"; look(); };
    own.onerror = () => {
      main.dataset.connected = "no";
      // A server that answers with anything else is not asked again; the page's own answer tells why.
      refused = own.readyState === EventSource.CLOSED;
      if (refused && events === own) events = null;
      if (refused) look(); else stands(NO_ANSWER);
    };
  };
  // Browsers have six connections for all tabs: one that nobody sees must not hold one.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && events) { events.close(); events = null; }
    if (!document.hidden && !events) listen();
  });
  if (!document.hidden) listen();
  // Once the focus has gone to where it goes.
  main.addEventListener("focusout", () => { if (left) setTimeout(look, 0); });
  document.addEventListener("selectionchange", () => { if (left && selection.isCollapsed) look(); });
}

for (const input of document.querySelectorAll("input[data-check]")) {
  const told = document.getElementById(`${input.id}-check`);
  let waiting;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    // What was wrong was wrong with another name: this one can be sent before it is checked.
    input.setCustomValidity("");
    waiting = setTimeout(async () => {
      const typed = input.value;
      const show = (text, fine) => {
        told.textContent = text;
        told.classList.toggle("fine", fine);
        input.setCustomValidity(fine ? "" : text);
        if (text && !fine) input.setAttribute("aria-invalid", "true");
        else input.removeAttribute("aria-invalid");
      };
      if (!typed) return show("", true);
      try {
        const answer = await fetch(`${input.dataset.check}?name=${encodeURIComponent(typed)}`);
        if (!answer.ok || input.value !== typed) return;
        const wrong = await answer.text();
        show(wrong || "This name can be had.", !wrong);
      } catch {
        // The server checks again when the form is sent.
      }
    }, 150);
  });
}

// What a form posts stays in the browser's history, which is on disk, where nobody answers: a value is
// sent from here, and the form goes on to where the answer says.
const MOST = 1048576;
for (const typed of document.querySelectorAll("textarea.masked")) {
  const form = typed.form;
  let sending = false;
  const wrong = (text) => {
    document.getElementById("wrong")?.remove();
    const told = document.createElement("p");
    told.className = "error";
    told.id = "wrong";
    told.setAttribute("role", "alert");
    told.textContent = text;
    form.prepend(told);
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (sending) return;
    const [file] = form.elements.file.files;
    if (file && file.size > MOST) return wrong("The file is too large: a value has 1 MiB at most. Nothing was sent.");
    sending = true;
    try {
      const body = new FormData(form, event.submitter);
      const answer = await fetch(form.action, { method: "POST", headers: { "X-Leyden-Form": "1" }, body });
      location.assign(answer.headers.get("X-Leyden-Go") || "/secrets");
    } catch {
      sending = false;
      wrong("The server does not answer: look whether leyden admin runs, and then whether the value was stored.");
    }
  });
}
