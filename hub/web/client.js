// The API: by the token in this tab's session, or else by the cookie of a login; and the event stream, read by fetch
// (EventSource cannot send a token).

const KEY = "yardarm-token";

export class NotAllowed extends Error {}

export function takeTokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, "", location.pathname + location.search);
  }
}

export const token = () => sessionStorage.getItem(KEY);
export const setToken = (value) => sessionStorage.setItem(KEY, value);
export const forgetToken = () => sessionStorage.removeItem(KEY);

const shown = () => (token() ? { Authorization: `Bearer ${token()}` } : {});

async function request(path, headers = {}) {
  const answer = await fetch(`/api/v1/${path}`, { headers: { ...shown(), ...headers } });
  if (answer.status === 401) throw new NotAllowed((await answer.json()).detail);
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `the hub answered ${answer.status}`);
  return answer;
}

// How to log in: `issuer` is null where only tokens open this hub.
export const ways = async () => (await fetch("/api/v1/login")).json().catch(() => ({ issuer: null }));

export async function logOut(csrf) {
  const answer = await fetch("/logout", { method: "POST", headers: { "X-CSRF-Token": csrf } });
  if (!answer.ok) throw new Error((await answer.json()).detail);
}

export const get = async (path) => (await request(path)).json();

export async function all(path, most) {
  const items = [];
  let cursor = "";
  do {
    const page = await get(`${path}${path.includes("?") ? "&" : "?"}limit=1000${cursor && `&cursor=${cursor}`}`);
    items.push(...page.items);
    cursor = page.next ?? "";
  } while (cursor && items.length < most);
  return items;
}

// Calls `on(name, data)` for every event, `state(connected)` when the connection changes; resumes where it broke off.
export async function follow(on, state) {
  let last = "";
  let wait = 500;
  for (;;) {
    try {
      const answer = await request("stream", last ? { "Last-Event-ID": last } : {});
      state(true);
      wait = 500;
      for await (const event of events(answer.body)) {
        await on(event.name, event.data);
        if (event.id) last = event.id; // only now: what could not be shown is asked for again
      }
    } catch (error) {
      if (error instanceof NotAllowed) throw error;
    }
    state(false);
    await new Promise((done) => setTimeout(done, wait * (0.5 + Math.random())));
    wait = Math.min(wait * 2, 15000);
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { name: "message", data: "", id: "" };
      for (const line of block.split("\n")) {
        if (line.startsWith("event: ")) event.name = line.slice(7);
        else if (line.startsWith("data: ")) event.data += line.slice(6);
        else if (line.startsWith("id: ")) event.id = line.slice(4);
      }
      if (event.data) yield { ...event, data: JSON.parse(event.data) };
    }
  }
}
