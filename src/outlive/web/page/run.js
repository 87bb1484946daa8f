// The page of one run.

import { badge, commandOf, count, dropToken, duration, el, elapsed, getJSON, icon, now, outcome, say } from "./common.js";
import { Log } from "./log.js";
import { Panel } from "./panel.js";
import { Stream } from "./stream.js";

const TAIL = 5000;
const ENDED = {
  succeeded: ["succeeded", ""],
  failed: ["failed", ""],
  cancelled: ["was cancelled", ""],
  lost: ["was lost", ": the process that wrote it is gone, and so is how it ended"],
};

const $ = (id) => document.getElementById(id);
const log = new Log({ log: $("log"), top: $("earlier"), resume: $("resume"), empty: $("empty") });
const panel = new Panel({ panel: $("stages"), bars: $("bars"), finished: $("finished") });
let run = null, stream = null;

dropToken();
load();
setInterval(tick, 1000);
$("cancel").addEventListener("click", cancel);
$("retry").addEventListener("click", () => stream?.restart());

async function load() {
  try {
    show(await getJSON("?format=json"));
  } catch (error) {
    if (error.status === 404) return fail("There is no such run here, or it is gone.");
    if (error.status === 401 || error.status === 403) return fail("You may not read this run. Open it with the address that was printed.");
  }
  stream ??= new Stream({ entry, status, gone: fail, full }, { url: "?format=entries", fresh: `&tail=${TAIL}` });
}

// ---- the head

function show(record) {
  run = { ...run, ...record };
  const command = commandOf(run);
  const title = run.title || command || run.id || "Run";
  say($("title"), title);
  $("title").title = title;
  facts([
    command && el("code", {}, `$ ${command}`),
    run.owner && el("span", {}, `by ${run.owner}`),
    run.started_at && el("time", { dateTime: run.started_at }, `started ${new Date(run.started_at).toLocaleString()}`),
    ...Object.entries(run.labels ?? {}).map(([key, value]) => el("span", { className: "label" }, value === "" ? key : `${key}: ${value}`)),
  ]);
  const words = outcome(run);
  $("state").replaceChildren(badge(run.state));
  say($("outcome"), words);
  $("cancel").hidden = run.state !== "running";
  document.title = `${run.state === "running" ? "" : words && run.state === "failed" ? `failed (${run.exit_code ?? words}) · ` : `${run.state} · `}${$("title").textContent}`;
  $("icon").href = icon(run.state);
  tick();
}

function facts(items) {
  const list = items.filter(Boolean);
  $("facts").hidden = list.length === 0;
  $("facts").replaceChildren(...list);
}

function tick() {
  if (run?.started_at) say($("elapsed"), elapsed(run, now()));
  panel.tick();
}

function status(text, retry = false) {
  say($("notice-text"), text);
  $("notice").hidden = !text;
  $("retry").hidden = !retry;
}

function fail(sentence) {
  announce(sentence);
  if (run) return status(sentence);
  say($("title"), document.title = "No run");
  say($("empty"), sentence);
  $("text").hidden = true;
}

// Whether there is output, nobody has said yet.
function full() { if (!run?.began) say($("empty"), "Its output comes once there is a place."); }

function announce(text) { say($("announce"), text); }

// ---- entries

const decoder = new TextDecoder();
let decoding = false;

function textOf({ text, bytes }) {
  if (bytes === undefined) {
    const rest = decoding ? decoder.decode() : "";
    decoding = false;
    return rest + (text ?? "");
  }
  decoding = true;
  return decoder.decode(Uint8Array.from(atob(bytes), (char) => char.charCodeAt(0)), { stream: true });
}

const KINDS = {
  start(entry) {
    if (run?.began) return;
    say($("empty"), "No output yet.");
    if (entry.line > 1) log.begin(panel.since = entry.line);
    show({ ...entry, id: entry.run, state: run?.state ?? "running", started_at: run?.started_at ?? entry.time, began: true });
  },
  out(entry) { log.write(textOf(entry), entry); },
  err(entry) { log.write(textOf(entry), entry); },
  log(entry) { log.write(textOf(entry), entry); },
  stage(entry) { panel.take(entry); },
  event(entry) {
    const data = entry.data === null || entry.data === undefined ? "" : JSON.stringify(entry.data);
    log.mark({ kind: "event", text: `${entry.name} ${data.length > 500 ? `${data.slice(0, 500)}…` : data}` });
  },
  gap({ lines, bytes, entries, reason }) {
    const [n, word] = lines ? [lines, "line"] : bytes ? [bytes, "byte"] : [entries, "entry"];
    const what = n ? `${word === "entry" && n > 1 ? `${n.toLocaleString("en")} entries` : count(n, word)} ${n === 1 ? "is" : "are"}` : "Some output is";
    log.gap(`${what} missing here${reason ? ` (${reason})` : ""}`, lines ?? 0);
  },
  end(entry) {
    show({ state: entry.state, exit_code: entry.exit_code, signal: entry.signal, error: entry.error, ended_at: entry.time });
    const words = outcome(run), place = panel.end(run.state).join(" › ");
    const [verb, why] = ENDED[run.state] ?? [run.state, ""];
    const sentence = `The run ${verb}${words ? ` (${words})` : ""}${place ? ` in ${place.slice(0, 200)}` : ""}${why}`;
    announce(`${sentence}.`);
    say($("end"), `${sentence}${run.error ? `: ${run.error}` : ""} · ${duration(Date.parse(run.ended_at) - Date.parse(run.started_at))}`);
    $("end").className = `end ${run.state}`;
    $("end").hidden = false;
    say($("empty"), "It wrote no output.");
    log.schedule();
  },
};

function entry(object) { KINDS[object.kind]?.(object); }

// ---- cancel: the first click asks

let asked = 0;

async function cancel() {
  const button = $("cancel");
  if (!asked) {
    button.textContent = "Really cancel?";
    button.classList.add("asking");
    asked = setTimeout(calm, 4000);
    return;
  }
  calm();
  button.disabled = true;
  button.textContent = "Cancelling…";
  try {
    const answer = await fetch(`${location.pathname}/cancel`, { method: "POST", headers: { Accept: "application/json" } });
    if (answer.ok || answer.status === 409) return;
    throw new Error(answer.status === 403 || answer.status === 401 ? "You may not cancel this run." : `The run could not be cancelled (HTTP ${answer.status}).`);
  } catch (error) {
    status(error instanceof TypeError ? "The server did not answer; the run was not cancelled." : error.message);
    button.disabled = false;
    button.textContent = "Cancel";
  }
}

function calm() {
  clearTimeout(asked);
  asked = 0;
  $("cancel").textContent = "Cancel";
  $("cancel").classList.remove("asking");
}
