// The connection to the entries of one run, or of the activity. EventSource gives up for good on an HTTP error, and says nothing
// when a laptop wakes up on another network; so this closes it on any trouble and comes back by itself.

const FIRST = 1000, LONGEST = 30000, ASLEEP = 60000;

/** Follows `url`, in `entries`, with `fresh` behind it where nothing is known yet; calls `entry(object)`,
 *  `status(text, retry?)`, `gone(sentence, status)`, and `full()` whenever there is no place for one more viewer. */
export class Stream {
  constructor(handlers, { url, fresh = "" }) {
    Object.assign(this, handlers, { url, fresh, id: null, wait: FIRST, ended: false });
    addEventListener("online", () => this.restart());
    addEventListener("offline", () => !this.ended && this.status("No network. Waiting for it…"));
    document.addEventListener("visibilitychange", () => this.#visible());
    this.connect();
  }

  connect() {
    const source = this.source = new EventSource(this.#url());
    source.onopen = () => {
      this.wait = FIRST;
      this.status("");
    };
    source.onmessage = (event) => {
      const entry = JSON.parse(event.data);
      if (event.lastEventId) this.id = event.lastEventId;
      if (entry.kind === "end") {
        this.stop();
        // A server that goes with its run waits for its viewers to come back once (204).
        fetch(this.#url()).catch(() => {});
      }
      this.entry(entry);
    };
    source.onerror = () => this.#failed(source.readyState === EventSource.CLOSED);
  }

  /** Connects at once, from where it was. */
  restart() {
    if (this.ended) return;
    this.#close();
    this.connect();
  }

  /** Forgets where it was. */
  begin() {
    this.ended = false;
    this.id = null;
    this.restart();
  }

  stop() {
    this.ended = true;
    this.#close();
    this.status("");
  }

  #url() {
    return this.url + (this.id === null ? this.fresh : `&from=${encodeURIComponent(this.id)}`);
  }

  #close() {
    clearTimeout(this.timer);
    this.source.close();
  }

  #visible() {
    if (document.hidden) this.hiddenAt = Date.now();
    else if (this.timer || Date.now() - this.hiddenAt > ASLEEP) this.restart();
  }

  async #failed(refused) {
    this.#close();
    const wait = this.wait;
    this.wait = Math.min(this.wait * 2, LONGEST);
    const attempt = this.source;
    if (!refused) this.status("Connection lost. Reconnecting…", true);
    const { gone, places, full } = refused ? await this.#why() : {};
    if (attempt !== this.source || this.ended) return;
    if (gone) {
      this.stop();
      return this.gone(...gone);
    }
    if (places) this.full?.();
    if (refused) this.status(places ? `${full}. Waiting for a place…` : "Connection lost. Reconnecting…", true);
    // Never all at once: those who wait were sent away together.
    const least = places ? Math.max(places, wait) : wait / 2;
    this.timer = setTimeout(() => this.restart(), Math.max(least * (1 + Math.random()), FIRST));
  }

  // EventSource hides the status, so it is asked for once more: what is `gone`, or when `places` may be free, in ms, and what is `full`.
  async #why() {
    const abort = new AbortController();
    try {
      const answer = await fetch(this.#url(), { headers: { Accept: "text/event-stream" }, signal: abort.signal });
      const { status, headers } = answer;
      if (status === 404) return { gone: ["This run, or this place in it, is gone.", status] };
      if (status === 401 || status === 403) return { gone: ["You may not read this run any more. Open it again with the address that was printed.", status] };
      if (status === 204) return { gone: ["This run has ended.", status] };
      if (status === 503 && headers.has("Retry-After")) {
        // Which limit it is, without how it is set, which is for whoever runs the server.
        const [full] = /^as many watch [a-z ]+\b/.exec(await answer.text()) ?? ["as many watch as may at once"];
        return { places: 1000 * (Number(headers.get("Retry-After")) || 1), full: full[0].toUpperCase() + full.slice(1) };
      }
    } catch {
      // no answer at all: worth another try
    } finally {
      abort.abort();
    }
    return {};
  }
}
