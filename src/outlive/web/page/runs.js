// The list of runs: asks every two seconds while someone looks, and touches only the rows that changed.

import { ago, badge, commandOf, dropToken, el, elapsed, getJSON, now, outcome, say } from "./common.js";

const EVERY = 2000;
const rows = new Map();
const $ = (id) => document.getElementById(id);
let last = "", timer = 0, asking = false;

dropToken();
poll();
setInterval(tick, 1000);
document.addEventListener("visibilitychange", () => document.hidden || poll());
addEventListener("online", poll);

async function poll() {
  clearTimeout(timer);
  if (asking || document.hidden) return;
  asking = true;
  const began = performance.now();
  try {
    const { runs } = await getJSON("./");
    draw(runs);
    trouble("");
  } catch (error) {
    trouble(error.status === 401 || error.status === 403 ? "You may not see the runs here. Open this page with the address that was printed."
      : "The server does not answer. Trying again…");
  }
  asking = false;
  timer = setTimeout(poll, Math.max(EVERY, 10 * (performance.now() - began)));   // a slow server is asked less often
}

function trouble(text) {
  say($("notice-text"), text);
  $("notice").hidden = !text;
}

function draw(runs) {
  const text = JSON.stringify(runs);
  if (text === last) return;
  last = text;
  const ids = new Set(runs.map((run) => run.id));
  for (const [id, row] of rows) {
    if (!ids.has(id)) row.element.remove(), rows.delete(id);
  }
  let after = null;
  for (const run of runs) {
    const element = rowOf(run);
    const place = after ? after.nextElementSibling : $("rows").firstElementChild;
    if (place !== element) $("rows").insertBefore(element, place);
    after = element;
  }
  $("table").hidden = runs.length === 0;
  $("empty").hidden = runs.length > 0;
  const running = runs.filter((run) => run.state === "running").length;
  say($("summary"), runs.length ? `${runs.length.toLocaleString("en")} · ${running} running` : "");
  document.title = running ? `Runs (${running} running)` : "Runs";
}

function rowOf(run) {
  const text = JSON.stringify(run);
  const known = rows.get(run.id);
  if (known?.text === text) return known.element;
  const element = el("tr", {}, ...cells(run));
  if (known) known.element.replaceWith(element);
  rows.set(run.id, { element, run, text });
  times(element, run);
  return element;
}

function cells(run) {
  const command = commandOf(run);
  const started = new Date(run.started_at);
  const name = el("td", { className: "title" }, el("a", { href: `runs/${encodeURIComponent(run.id)}` }, run.title || command || run.id));
  if (command && run.title) name.append(el("code", {}, command));
  if (run.error) name.append(el("span", { className: "why" }, run.error));
  const words = outcome(run);
  const state = el("td", { className: "is" }, badge(run.state));
  if (words) state.append(el("span", { className: "outcome" }, words));
  const labels = Object.entries(run.labels ?? {}).map(([key, value]) => el("span", { className: "label" }, value === "" ? key : `${key}: ${value}`));
  return [state, name, el("td", { className: "labels" }, ...labels), el("td", { className: "took" }),
    el("td", { className: "when" }, el("time", { dateTime: run.started_at, title: started.toLocaleString() }))];
}

function times(element, run) {
  say(element.querySelector(".took"), elapsed(run, now()));
  say(element.querySelector("time"), ago(Date.parse(run.started_at), now()));
}

function tick() {
  if (document.hidden) return;
  for (const { element, run } of rows.values()) times(element, run);
}
