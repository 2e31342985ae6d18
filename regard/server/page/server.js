// What the page asks the server, and how it is answered: JSON, a stream of events, or one sentence that says why not.

const ROOT = new URL("..", import.meta.url);
const KEY = "regard-key";
const GONE = "The server does not answer.";

// `status` is 0 where no answer came at all.
export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

export function keep(key) {
  sessionStorage.setItem(KEY, key);
}

async function request(path, { body, signal } = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...(key ? { Authorization: `Bearer ${key}` } : {}), ...(body ? { "Content-Type": "application/json" } : {}) };
  let reply;
  try {
    reply = await fetch(new URL(path, ROOT), { method: body ? "POST" : "GET", body: body && JSON.stringify(body), headers, signal });
  } catch (problem) {
    throw problem.name === "AbortError" ? problem : new Refused(0, GONE);
  }
  if (reply.ok) return reply;
  const told = await reply.json().catch(() => ({}));
  throw new Refused(reply.status, told.error ?? `The server answered with status ${reply.status}.`);
}

export async function ask(path, options) {
  return (await request(path, options)).json();
}

// The events of an answer as [kind, data], the last one "done". An "error" among them is thrown.
export async function* events(path, body, signal) {
  const reader = (await request(path, { body, signal })).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let kind = null;
  try {
    while (kind !== "done") {
      const { value, done } = await reader.read();
      if (done) throw new Refused(0, "The answer broke off.");
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const data = JSON.parse(block.slice(block.indexOf("data: ") + 6));
        kind = block.slice(7, block.indexOf("\n"));
        if (kind === "error") throw new Refused(503, data.error);
        yield [kind, data];
      }
    }
  } catch (problem) {
    throw problem instanceof Refused || problem.name === "AbortError" ? problem : new Refused(0, GONE);
  } finally {
    reader.cancel().catch(() => {});
  }
}
