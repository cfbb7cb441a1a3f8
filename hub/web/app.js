// The status page: loads the fleet once, then follows the stream. Everything shown is put in as text, never as HTML.

import { NotAllowed, all, follow, forgetToken, get, logOut, setToken, takeTokenFromAddress, token, ways } from "/web/client.js";

const STATES = ["Failed", "Blocked", "Drifted", "Stale", "Progressing", "Waiting", "Paused", "Ready"];
const SIGNS = { Failed: "✕", Blocked: "!", Drifted: "≠", Stale: "?", Progressing: "↻", Waiting: "…", Paused: "‖", Ready: "✓" };
const MOST_UNITS = 20000;
const MOST_EVENTS = 50;

const $ = (id) => document.getElementById(id);
const fleet = { units: new Map(), clusters: new Map(), applications: new Map(), rollouts: new Map(), environments: [], events: [], drift: [] };
const cells = new Map();
let drawing = false;
let rebuild = true;

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const key = (unit) => `${unit.cluster}/${unit.namespace}/${unit.application}`;
const short = (sha) => (sha ?? "").slice(0, 8);

function age(at) {
  const seconds = Math.max(0, Date.now() / 1000 - at);
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"]]) if (seconds >= size) return `${Math.floor(seconds / size)}${unit}`;
  return `${Math.floor(seconds)}s`;
}

const since = (at) => el("time", { "data-at": at, title: new Date(at * 1000).toLocaleString() }, age(at));
const badge = (state) => el("span", { class: "badge", "data-state": state }, `${SIGNS[state] ?? ""} ${state}`);
const plural = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

function showSummary(summary) {
  const head = summary.head;
  $("head").textContent = head ? `${short(head.sha)} ${head.subject}${head.author ? ` · ${head.author}` : ""}` : "no commit yet";
  const away = summary.clusters.stale + summary.clusters.waiting;
  const numbers = [
    ["clusters", summary.clusters.total, away ? `${away} not heard` : "all heard", summary.clusters.stale ? "Stale" : ""],
    ["applications", summary.applications, plural(summary.environments, "environment"), ""],
    ["units", summary.units.total, `${summary.units.Ready} ready`, ""],
    ["drifted", summary.drifted, summary.drifted ? "being looked at" : "as in Git", summary.drifted ? "Drifted" : ""],
    ["problems", summary.problems.error, plural(summary.problems.warning, "warning"), summary.problems.error ? "Failed" : ""],
  ];
  $("numbers").replaceChildren(
    ...numbers.map(([name, value, note, state]) =>
      el("div", { "data-state": state }, el("dt", {}, name), el("dd", {}, String(value)), el("dd", { class: "quiet" }, note))),
  );
  const shown = STATES.filter((state) => summary.units[state]);
  $("bar").replaceChildren(
    ...shown.map((state) => {
      const part = el("i", { "data-state": state, title: `${summary.units[state]} ${state}` });
      part.style.flexGrow = summary.units[state];
      return part;
    }),
  );
  $("bar").setAttribute("aria-label", shown.map((state) => `${summary.units[state]} ${state}`).join(", ") || "no units");
  $("legend").replaceChildren(...shown.map((state) => el("li", {}, badge(state), ` ${summary.units[state]}`)));
  document.title = summary.units.Failed ? `(${summary.units.Failed} failed) Yardarm` : "Yardarm";
}

function showProblems(problems) {
  $("problems-box").hidden = problems.length === 0;
  $("problems").replaceChildren(
    ...problems.slice(0, 50).map((problem) => {
      const place = problem.place;
      const where = place ? `${place.file}${place.line ? `:${place.line}` : ""}${place.field ? ` ${place.field}` : ""}` : problem.application;
      return el("li", { "data-severity": problem.severity },
        el("b", {}, problem.severity), " ", el("code", {}, where), " ", problem.message,
        problem.hint ? el("span", { class: "quiet" }, ` ${problem.hint}`) : null);
    }),
  );
}

function showRollouts() {
  const rollouts = [...fleet.rollouts.values()].sort((a, b) => a.application.localeCompare(b.application));
  $("rollouts-box").hidden = rollouts.length === 0;
  $("rollouts").replaceChildren(
    ...rollouts.slice(0, 50).map((rollout) => {
      const { clusters, phase, by } = rollout;
      const stopped = phase === "Paused" && !by;
      const state = stopped ? "Failed" : phase === "RollingBack" ? "Drifted" : phase;
      const waits = rollout.stages.flatMap((stage) => stage.waitsFor);
      const wait = waits[0];
      const notes = [
        `${clusters.done + clusters.restored} of ${clusters.total}`,
        clusters.failed ? `${clusters.failed} failed` : "", clusters.offline ? `${clusters.offline} offline` : "", rollout.reason,
      ];
      return el("li", {},
        el("span", { class: "badge", "data-state": state }, phase), " ", el("b", {}, rollout.application), " ",
        el("code", {}, short(rollout.commit.sha)), rollout.stage ? ` at ${rollout.stage}` : "", ` · ${notes.filter(Boolean).join(" · ")}`,
        wait ? el("span", { class: "quiet" }, ` · waits for ${wait.kind}: ${wait.reason}`, wait.since ? " for " : "", wait.since ? since(wait.since) : null) : null);
    }),
  );
}

function showDrift() {
  $("drift").replaceChildren(
    ...fleet.drift.slice(0, 50).map((drift) => {
      const ref = drift.object;
      const fields = drift.fields.slice(0, 8).map((field) =>
        el("tr", {}, el("td", {}, el("code", {}, field.path)), el("td", {}, el("code", {}, JSON.stringify(field.want) ?? "unset")),
          el("td", {}, el("code", {}, JSON.stringify(field.have) ?? "unset")), el("td", {}, field.manager)));
      const fate = drift.corrected ? [el("span", { class: "badge", "data-state": "Ready" }, "✓ corrected"), " ", since(drift.corrected), " ago"]
        : [badge("Drifted"), drift.mode === "correct" ? " being corrected, since " : " only reported, since ", since(drift.since)];
      return el("li", {},
        el("p", {}, el("b", {}, `${ref.kind} ${ref.namespace ? `${ref.namespace}/` : ""}${ref.name}`),
          ` on ${drift.cluster} · ${drift.application}`, drift.deleted ? " · deleted" : ""),
        el("p", {}, ...fate),
        fields.length ? el("div", { class: "scroll" }, el("table", {},
          el("thead", {}, el("tr", {}, ...["field", "want", "have", "changed by"].map((name) => el("th", { scope: "col" }, name)))),
          el("tbody", {}, ...fields))) : null);
    }),
  );
  if (!fleet.drift.length) $("drift").replaceChildren(el("li", { class: "quiet" }, "Every cluster is as Git says."));
}

function showEvents() {
  $("events").replaceChildren(
    ...fleet.events.map((event) =>
      el("li", { "data-severity": event.severity }, since(event.at), " ", el("b", {}, event.type), " ",
        el("span", { class: "quiet" }, [event.cluster, event.application].filter(Boolean).join(" · ")), " ", event.message)),
  );
  if (!fleet.events.length) $("events").replaceChildren(el("li", { class: "quiet" }, "Nothing has happened yet."));
}

function environmentOf(cluster) {
  return fleet.clusters.get(cluster)?.environment ?? "";
}

function buildMatrix() {
  cells.clear();
  const order = new Map(fleet.environments.map((environment, place) => [environment.name, place]));
  const names = [...fleet.clusters.keys()].sort();
  const environments = [...new Set(names.map(environmentOf))].sort((a, b) => (order.get(a) ?? 999) - (order.get(b) ?? 999));
  const placed = new Map();
  for (const unit of fleet.units.values()) {
    if (!placed.has(unit.application)) placed.set(unit.application, new Map());
    placed.get(unit.application).set(unit.cluster, unit);
  }
  for (const application of fleet.applications.keys()) if (!placed.has(application)) placed.set(application, new Map());
  const applications = [...placed.keys()].sort();
  $("matrix").replaceChildren(
    ...environments.map((environment) => {
      const clusters = names.filter((name) => environmentOf(name) === environment);
      const rows = applications.filter((name) => clusters.some((cluster) => placed.get(name).has(cluster)) || environments.length === 1);
      return el("section", { class: "scroll" }, el("table", {},
        el("caption", {}, environment || "no environment", el("span", { class: "quiet" }, ` ${plural(clusters.length, "cluster")}`)),
        el("thead", {}, el("tr", {}, el("td"), ...clusters.map(clusterHead))),
        el("tbody", {}, ...rows.map((name) => el("tr", {}, el("th", { scope: "row" }, name),
          ...clusters.map((cluster) => el("td", {}, cell(placed.get(name).get(cluster)))))))));
    }),
  );
  if (!names.length) $("matrix").replaceChildren(el("p", { class: "quiet" }, "No clusters yet: add a Cluster document to the fleet repository."));
}

function clusterHead(name) {
  const cluster = fleet.clusters.get(name);
  return el("th", { scope: "col", "data-connection": cluster.connection, title: cluster.heard ? `${cluster.connection}, agent ${cluster.agent}` : "no agent has connected yet" },
    name, cluster.stale ? el("small", {}, "heard ", since(cluster.heard), " ago") : null);
}

function cell(unit) {
  if (!unit) return el("span", { class: "none", "aria-label": "not placed here" }, "·");
  const made = el("button", { type: "button", class: "cell" });
  made.addEventListener("click", () => openUnit(unit));
  cells.set(key(unit), made);
  paint(made, unit);
  return made;
}

function paint(made, unit) {
  made.dataset.state = unit.state;
  made.textContent = SIGNS[unit.state] ?? unit.state;
  const label = `${unit.application} on ${unit.cluster}: ${unit.state}${unit.reason ? `, ${unit.reason}` : ""} (${short(unit.have.commit) || "nothing yet"})`;
  made.title = label;
  made.setAttribute("aria-label", label);
}

async function openUnit({ cluster, namespace, application }) {
  const unit = await get(`units/${cluster}/${namespace}/${application}`);
  $("unit-name").textContent = `${application} on ${cluster}`;
  const line = (name, ...content) => [el("dt", {}, name), el("dd", {}, ...content)];
  $("unit-body").replaceChildren(
    el("p", {}, badge(unit.state), " since ", since(unit.since), unit.reason ? ` · ${unit.reason}` : ""),
    el("dl", { class: "facts" },
      ...line("wants", el("code", {}, short(unit.want.commit)), ` ${short(unit.want.digest)}, ${plural(unit.want.objects, "object")}`),
      ...line("has", el("code", {}, short(unit.have.commit) || "nothing"), ` ${short(unit.have.digest)} ${unit.have.phase}`),
      ...line("trace", el("code", {}, unit.trace || "none"))),
    el("ol", { class: "steps" }, ...unit.conditions.map((step) =>
      el("li", { "data-status": step.status, title: step.reason }, step.type, step.at ? el("small", {}, " ", since(step.at)) : null))),
    el("div", { class: "scroll" }, el("table", {}, el("tbody", {}, ...unit.objects.map((one) => el("tr", {},
      el("td", {}, el("span", { class: "badge", "data-health": one.health }, one.health)),
      el("th", { scope: "row" }, `${one.object.kind} ${one.object.name}`), el("td", { class: "quiet" }, one.reason || one.action)))))),
    el("ol", { class: "events" }, ...unit.events.slice(0, 10).map((event) =>
      el("li", { "data-severity": event.severity }, since(event.at), " ", el("b", {}, event.type), " ", event.message))),
  );
  if (!$("unit").open) $("unit").showModal();
}

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (rebuild) buildMatrix();
    rebuild = false;
    showEvents();
  });
}

async function load() {
  const [summary, units, clusters, applications, rollouts, environments, drift, events, problems] = await Promise.all([
    get("summary"), all("units", MOST_UNITS), all("clusters", 5000), all("applications", 5000), all("rollouts?active=true", 5000), get("environments"),
    get("drift?limit=50"), get(`events?limit=${MOST_EVENTS}`), get("problems?limit=50"),
  ]);
  fleet.units = new Map(units.map((unit) => [key(unit), unit]));
  fleet.clusters = new Map(clusters.map((cluster) => [cluster.name, cluster]));
  fleet.applications = new Map(applications.map((application) => [application.name, application]));
  fleet.rollouts = new Map(rollouts.map((rollout) => [rollout.id, rollout]));
  fleet.environments = environments.items;
  fleet.drift = drift.items;
  fleet.events = events.items;
  rebuild = true;
  showSummary(summary);
  showProblems(problems.items);
  showRollouts();
  showDrift();
  draw();
  $("login").hidden = true;
  $("fleet").hidden = false;
}

const later = { drift: 0, problems: 0 };
function soon(what, ask) {
  if (later[what]) return;
  later[what] = setTimeout(async () => {
    later[what] = 0;
    await ask().catch(() => {});
  }, 300);
}

async function changed(name, data) {
  switch (name) {
    case "ready":
    case "reload":
      await load();
      break;
    case "summary":
      showSummary(data);
      break;
    case "unit": {
      const before = fleet.units.get(key(data));
      fleet.units.set(key(data), data);
      const made = cells.get(key(data));
      if (made) paint(made, data);
      else rebuild = true;
      if (data.flags.includes("Drifted") || before?.flags.includes("Drifted") || fleet.drift.some((one) => !one.corrected && key(one) === key(data)))
        soon("drift", async () => { fleet.drift = (await get("drift?limit=50")).items; showDrift(); });
      break;
    }
    case "unit-removed":
      fleet.units.delete(key(data));
      rebuild = true;
      break;
    case "cluster":
      fleet.clusters.set(data.name, data);
      rebuild = true;
      break;
    case "cluster-removed":
      fleet.clusters.delete(data.name);
      rebuild = true;
      break;
    case "application":
    case "application-removed":
      if (name === "application") fleet.applications.set(data.name, data);
      else fleet.applications.delete(data.name);
      rebuild = true;
      soon("problems", async () => showProblems((await get("problems?limit=50")).items));
      break;
    case "rollout":
      if (data.active) fleet.rollouts.set(data.id, data);
      else fleet.rollouts.delete(data.id);
      showRollouts();
      break;
    case "rollout-removed":
      fleet.rollouts.delete(data.id);
      showRollouts();
      break;
    case "fleet":
      fleet.environments = data.environments;
      rebuild = true;
      soon("problems", async () => showProblems((await get("problems?limit=50")).items));
      break;
    case "event":
      fleet.events = [data, ...fleet.events.filter((one) => one.id !== data.id)].sort((a, b) => b.at - a.at).slice(0, MOST_EVENTS);
      if (["drift", "corrected"].includes(data.type)) soon("drift", async () => { fleet.drift = (await get("drift?limit=50")).items; showDrift(); });
      break;
  }
  draw();
}

function connection(connected) {
  $("live").dataset.state = connected ? "on" : "off";
  $("live").textContent = connected ? "live" : "connection lost, trying again; what you see may be old";
}

async function askToken(why) {
  forgetToken();
  $("fleet").hidden = true;
  $("login").hidden = false;
  $("live").dataset.state = "off";
  $("live").textContent = "not signed in";
  $("me").hidden = $("logout").hidden = true;
  if (why) $("login-why").textContent = why;
  $("token").focus();
  const { issuer } = await ways();
  $("login-provider").hidden = !issuer;
  if (issuer) $("login-provider").querySelector("span").textContent = `at ${new URL(issuer).host}, or with a token:`;
}

async function showMe() {
  const me = await get("self");
  $("me").textContent = me.name;
  $("me").title = me.grants.map((grant) => `${grant.role} in projects ${grant.projects.join(", ")} and environments ${grant.environments.join(", ")}`).join("; ");
  $("me").hidden = false;
  $("logout").hidden = !me.csrf;
  $("logout").onclick = async () => {
    await logOut(me.csrf);
    location.reload();
  };
}

// Without a token there may be a session, which no script can see: only where there is a provider is it tried.
async function start() {
  if (!token() && !(await ways()).issuer) return askToken();
  try {
    await showMe();
    await follow(changed, connection);
  } catch (error) {
    if (!(error instanceof NotAllowed)) throw error;
    askToken(token() ? error.message : "");
  }
}

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken($("token").value.trim());
  start();
});
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("yardarm-theme", root.dataset.theme);
});
addEventListener("hashchange", () => { takeTokenFromAddress(); if ($("fleet").hidden && token()) start(); });
setInterval(() => document.querySelectorAll("time[data-at]").forEach((time) => { time.textContent = age(Number(time.dataset.at)); }), 1000);

const theme = localStorage.getItem("yardarm-theme");
if (theme) document.documentElement.dataset.theme = theme;
takeTokenFromAddress();
start();
