// What both pages share: the words and pictures of a state, times, small DOM helpers.

export const STATES = ["running", "succeeded", "failed", "cancelled", "lost"];

/** An element with properties and children; children are nodes or text, never markup. */
export function el(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Sets text only where it differs, so that selections and screen readers are left alone. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The icon and the word of a state. */
export function badge(state) {
  const known = STATES.includes(state) ? state : "lost";
  return el("span", { className: `state ${known}` },
    el("img", { src: icon(known), alt: "", width: 16, height: 16 }), el("span", {}, state));
}

/** The address of a state's icon. */
export function icon(state) {
  return new URL(`state-${state}.svg`, import.meta.url).href;
}

/** How a run ended, in a few words: `exit code 2`, `SIGKILL`, or nothing. */
export function outcome({ state, exit_code, signal }) {
  if (signal) return signal;
  return state !== "running" && exit_code !== null && exit_code !== undefined && (state !== "succeeded" || exit_code)
    ? `exit code ${exit_code}` : "";
}

// As a POSIX shell would want it, to be copied into one.
function quote(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}

/** The command, where it says more than the title does. */
export function commandOf({ title, command }) {
  const bare = (text) => (text ?? "").replace(/['"\\\s]+/g, "");
  const text = command?.map(quote).join(" ") ?? "";
  return bare(text) === bare(title) ? "" : text;
}

/** `0.4s`, `12s`, `3m 07s`, `2h 05m`, `3d 4h`. */
export function duration(ms, ticking = false) {
  const s = Math.max(0, ms) / 1000;
  if (s < 10 && !ticking) return `${s.toFixed(1)}s`;
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  if (s < 60) return `${Math.floor(s)}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h ${two((s % 3600) / 60)}m`;
  return `${Math.floor(s / 86400)}d ${Math.floor((s % 86400) / 3600)}h`;
}

/** `just now`, `5 min ago`, `yesterday, 14:02`, a date. */
export function ago(date, now) {
  const s = (now - date) / 1000;
  if (s < 10) return "just now";
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return new Date(date).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

/** How long a run took or has taken. */
export function elapsed(run, now) {
  const running = run.state === "running";
  const end = running ? now : Date.parse(run.ended_at ?? "");
  return Number.isNaN(end) ? "" : duration(end - Date.parse(run.started_at), running);
}

/** `1 line`, `1,234 lines`. */
export function count(n, word) {
  return `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
}

let skew = 0;

/** The server's time now, as far as its last answer tells. */
export function now() { return Date.now() + skew; }

/** GETs JSON, keeping the clocks aligned; an error carries `status`. */
export async function getJSON(url) {
  const answer = await fetch(url, { headers: { Accept: "application/json" }, cache: "no-store" });
  const date = Date.parse(answer.headers.get("Date") ?? "");
  if (Math.abs(date - Date.now()) > 3000) skew = date - Date.now();
  if (!answer.ok) throw Object.assign(new Error(`HTTP ${answer.status}`), { status: answer.status });
  return answer.json();
}

/** Takes the token out of the address bar; the cookie has taken its place. */
export function dropToken() {
  const url = new URL(location.href);
  if (!url.searchParams.has("token")) return;
  url.searchParams.delete("token");
  history.replaceState(history.state, "", url);
}
