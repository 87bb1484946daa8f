// The list of runs: connects to the activity, gets the newest runs, and applies what happened since it connected.

import { count, dropToken, getJSON, now, say } from "./common.js";
import { Row } from "./row.js";
import { Stream } from "./stream.js";

const RETRY = 3000;
const PAINT = 200;
const FRESH = 1000;            // runs that were added live; with more the list begins anew, for it must not grow for ever

const rows = new Map();
const $ = (id) => document.getElementById(id);
let waiting = [];              // what happened while the list is on its way; null once it is there
let older = null, fresh = 0, painting = 0, retrying = 0;
let notice = "";               // what the connection says
const moved = new Set();

dropToken();
recall();
const stream = new Stream({ entry, status, gone, full }, { url: "activity?format=entries" });
setInterval(tick, 1000);
$("older").addEventListener("click", more);
$("filter").addEventListener("input", search);
addEventListener("hashchange", recall);
document.addEventListener("keydown", pressed);

// ---- what happens

function entry(object) {
  // The first of a connection that does not resume; a gap may be in what changed.
  if (object.kind === "start" || object.kind === "gap") load();
  else if (waiting) waiting.push(object);
  else apply(object);
}

function apply({ kind, run, name, data, ...facts }) {
  if (kind === "stage") {
    if (!rows.has(run)) return;
    rows.get(run).take({ ...facts, name });
    moved.add(rows.get(run));
  } else if (kind === "event" && run === undefined) {
    if (name === "run") changed(data);
    if (name === "removed") forget(data.id);
  }
  soon();
}

async function load() {
  const mine = waiting = [];
  clearTimeout(retrying);
  try {
    const list = await getJSON("./");
    if (mine !== waiting) return;
    waiting = null;
    fill(list);
    mine.forEach(apply);
    trouble(notice);
  } catch (error) {
    if (mine !== waiting) return;
    if (error.status === 401 || error.status === 403) return stream.stop(), trouble(REFUSED);
    trouble("The list of runs could not be read. Trying again…");
    retrying = setTimeout(load, RETRY);
  }
  paint();
}

const REFUSED = "You may not see the runs here. Open this page with the address that was printed.";

function gone(sentence, status) {
  if (status !== 404) return trouble(REFUSED);
  stream.begin();              // the place is gone, and with it what was missed: anew
}

function status(text) { trouble(notice = text); }

// Without a place there is no news; the list as it is now is better than none.
function full() { if (waiting) load(); }

function trouble(text) {
  say($("notice-text"), text);
  $("notice").hidden = !text;
}

// ---- the rows, the newest first

function fill(list) {
  const ids = new Set(list.runs.map((run) => run.id));
  for (const id of rows.keys()) if (!ids.has(id)) forget(id);
  older = list.older;
  fresh = 0;
  list.runs.forEach(show);
}

function changed(run) {
  const last = $("rows").lastElementChild?.row.run;
  if (!rows.has(run.id) && older && last && run.started_at < last.started_at) return;    // it is among the older ones
  if (!rows.has(run.id) && ++fresh > FRESH) return load();
  show(run);
}

function show(run) {
  const known = rows.get(run.id);
  if (known) return known.update(run);
  const row = new Row(run);
  row.element.row = row;
  let next = $("rows").firstElementChild;
  while (next && next.row.run.started_at >= run.started_at) next = next.nextElementSibling;
  $("rows").insertBefore(row.element, next);
  rows.set(run.id, row);
}

function forget(id) {
  rows.get(id)?.element.remove();
  rows.delete(id);
}

async function more() {
  $("older").disabled = true;
  try {
    const list = await getJSON(`./?before=${encodeURIComponent(older)}`);
    list.runs.forEach(show);
    older = list.older;
    trouble("");
  } catch {
    trouble("The older runs could not be read.");
  }
  $("older").disabled = false;
  paint();
}

// ---- drawing: at most five times a second

function soon() { painting ||= setTimeout(paint, PAINT); }

function paint() {
  clearTimeout(painting);
  painting = 0;
  for (const row of moved) row.draw();
  moved.clear();
  filter();
  tick();
}

function tick() {
  if (document.hidden) return;
  const at = now();
  for (const row of rows.values()) row.tick(at);
}

function filter() {
  const wanted = $("filter").value.trim(), words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0, running = 0;
  for (const row of rows.values()) {
    row.filter(words);
    if (row.element.hidden) continue;
    shown++;
    if (row.run.state === "running") running++;
  }
  const loaded = !waiting && !retrying;
  $("table").hidden = shown === 0;
  $("empty").hidden = !loaded || rows.size > 0;
  $("none").hidden = shown > 0 || rows.size === 0;
  say($("none"), `None of the ${older ? "newest " : ""}${count(rows.size, "run")} has “${wanted}”.`);
  $("tools").hidden = rows.size === 0;
  $("older").hidden = !older;
  say($("summary"), rows.size ? `${shown.toLocaleString("en")}${shown < rows.size ? ` of ${rows.size.toLocaleString("en")}` : ""}${older ? " newest" : ""} · ${running} running` : "");
  document.title = running ? `Runs (${running} running)` : "Runs";
}

// ---- the filter, which the address keeps

function search() {
  const wanted = $("filter").value.trim();
  history.replaceState(history.state, "", wanted ? `#${encodeURIComponent(wanted)}` : location.pathname + location.search);
  filter();
}

function recall() {
  try {
    $("filter").value = decodeURIComponent(location.hash.slice(1));
  } catch {
    $("filter").value = "";
  }
  soon();
}

// ---- keyboard: / to filter, arrows from run to run; elsewhere they scroll

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const typing = event.target === $("filter");
  if (event.key === "/" && !typing) $("filter").focus(), $("filter").select();
  else if (event.key === "Escape" && typing) {
    $("filter").value = "";
    $("filter").blur();
    search();
  } else if (event.key === "ArrowDown" && (typing || onRow())) step(1);
  else if (event.key === "ArrowUp" && onRow()) step(-1);
  else return;
  event.preventDefault();
}

function onRow() { return $("rows").contains(document.activeElement); }

function step(by) {
  const links = [...$("rows").children].filter((element) => !element.hidden).map((element) => element.row.link);
  const at = links.indexOf(document.activeElement) + by;
  (at < 0 ? $("filter") : links[Math.min(at, links.length - 1)])?.focus();
}
