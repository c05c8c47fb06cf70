// The dashboard: what `status` says, again and again, and every command the monitor knows. It asks the same
// addresses as any other client, so it may do what its user may.
"use strict";

const REFRESH_MS = 2000;
const OUTPUT_MAX = 400000; // characters kept of a log that is followed
const BUTTONS = ["start", "stop", "restart", "grestart"];
const ELSEWHERE = new Set([...BUTTONS, "status", "history", "log", "events", "why", "metrics", "help", "version"]);
const TABS = {
  why: { command: "why" },
  history: { command: "history", lines: "200" },
  log: { command: "log", lines: "200", follow: "1" },
};

const $ = (id) => document.getElementById(id);
const rows = new Map(); // name -> what is shown of it
const chosen = new Set(); // names
let commands = [];
let offered = ""; // the help they were made from
let shown = null; // the service whose story is on the panel
let reading = null; // what fills the panel: an AbortController
let facts = { cpu: new Map(), memory: new Map() };

// ---- what people read

function duration(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  const first = units.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0s";
  let text = "";
  let left = Math.floor(seconds);
  for (const [size, unit] of units.slice(first, first + 2)) {
    text += Math.floor(left / size) + unit + " ";
    left %= size;
  }
  return text.trimEnd();
}

function bytes(n) {
  return n >= 2 ** 30 ? (n / 2 ** 30).toFixed(1) + " GB" : (n / 2 ** 20).toFixed(1) + " MB";
}

function countsOf(services) {
  const counts = new Map();
  for (const s of services) counts.set(s.state, (counts.get(s.state) || 0) + 1);
  return [...counts].map(([state, n]) => `${n} ${state}`).join(", ");
}

// One sample of the Prometheus format: name, service, value.
function sampleOf(line) {
  const m = /^fota_monitor_service_(cpu_seconds_total|resident_memory_bytes)\{service="((?:[^"\\]|\\.)*)"\} (\S+)$/.exec(line);
  return m && { what: m[1], service: m[2].replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c)), value: Number(m[3]) };
}

function factsOf(text) {
  const found = { cpu: new Map(), memory: new Map() };
  for (const line of text.split("\n")) {
    const sample = sampleOf(line);
    if (sample) (sample.what[0] === "c" ? found.cpu : found.memory).set(sample.service, sample.value);
  }
  return found;
}

// ---- asking

function request(path, params, post) {
  const body = new URLSearchParams(params);
  return post
    ? fetch(path, { method: "POST", body, cache: "no-store", signal: post.signal })
    : fetch(path + "?" + body, { cache: "no-store" });
}

async function ask(params) {
  const reply = await request("/", { ...params, format: "json" });
  const answer = await reply.json();
  if (answer.error) throw new Error(answer.error.message);
  return answer;
}

// Writes an answer to the panel as it comes, and keeps its end in sight unless somebody has scrolled away from it.
async function pour(params, control) {
  const output = $("output");
  output.textContent = "";
  try {
    const reply = await request("/", params, { signal: control.signal });
    const reader = reply.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const follows = params.command !== "why" && output.scrollTop + output.clientHeight >= output.scrollHeight - 30;
      output.append(decoder.decode(value, { stream: true }));
      if (output.textContent.length > 2 * OUTPUT_MAX) output.textContent = output.textContent.slice(-OUTPUT_MAX);
      if (follows) output.scrollTop = output.scrollHeight;
    }
  } catch (e) {
    if (e.name !== "AbortError") output.append(`\nError: ${e.message}`);
  }
}

function fill(params) {
  if (reading) reading.abort();
  reading = new AbortController();
  return pour(params, reading);
}

// ---- the table

function cell(row, text, className) {
  const td = document.createElement("td");
  td.className = className || "";
  td.append(text);
  row.append(td);
  return td;
}

function makeRow(name) {
  const tr = document.createElement("tr");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.ariaLabel = `choose ${name}`;
  box.onchange = () => choose([name], box.checked);
  const button = document.createElement("button");
  button.className = "name";
  button.textContent = name;
  button.onclick = () => show(name, "why");
  cell(tr, box);
  cell(tr, button);
  const cells = {};
  for (const key of ["state", "pid", "uptime", "restarts", "cpu", "memory", "exit"])
    cells[key] = cell(tr, "", ["state", "exit"].includes(key) ? "" : "n");
  return { tr, box, cells };
}

function set(td, text) {
  if (td.textContent !== text) td.textContent = text;
}

function fillRow({ cells }, s) {
  const cpu = facts.cpu.get(s.name);
  const memory = facts.memory.get(s.name);
  set(cells.state, s.state === "waiting" && s.next_try ? `waiting, next try in ${duration(s.next_try)}` : s.state);
  cells.state.className = s.state === "down" && s.wanted ? "problem" : s.state;
  set(cells.pid, s.pid ? String(s.pid) : "");
  set(cells.uptime, s.pid ? duration(s.uptime) : "");
  set(cells.restarts, String(s.restarts));
  set(cells.cpu, s.pid && cpu !== undefined ? `${cpu.toFixed(1)} s` : "");
  set(cells.memory, s.pid && memory !== undefined ? bytes(memory) : "");
  set(cells.exit, s.last_exit ? s.last_exit.reason : "");
  cells.exit.title = s.last_exit ? `${new Date(s.last_exit.at * 1000).toLocaleString()}\n${s.last_exit.tail.join("\n")}` : "";
}

function render(status) {
  const services = [...status.services].sort((a, b) => (a.name < b.name ? -1 : 1));
  const names = new Set(services.map((s) => s.name));
  $("env").textContent = status.env;
  document.title = `${status.env} - fota_monitor`;
  $("counts").textContent = countsOf(services);
  for (const [name, row] of rows)
    if (!names.has(name)) {
      row.tr.remove();
      rows.delete(name);
      chosen.delete(name);
    }
  let before = null;
  for (const s of services) {
    let row = rows.get(s.name);
    if (!row) {
      row = makeRow(s.name);
      rows.set(s.name, row);
      if (before) before.after(row.tr);
      else $("rows").prepend(row.tr);
    }
    row.words = `${s.name} ${s.state}`.toLowerCase();
    fillRow(row, s);
    before = row.tr;
  }
  filter();
}

function filter() {
  const words = $("filter").value.toLowerCase().split(/\s+/);
  let seen = 0;
  for (const row of rows.values()) {
    row.tr.hidden = !words.every((word) => row.words.includes(word));
    seen += row.tr.hidden ? 0 : 1;
  }
  $("none").hidden = seen > 0;
  showChosen();
}

function choose(names, on) {
  for (const name of names) {
    if (on) chosen.add(name);
    else chosen.delete(name);
    rows.get(name).box.checked = on;
  }
  showChosen();
}

function showChosen() {
  const visible = [...rows].filter(([, row]) => !row.tr.hidden).map(([name]) => name);
  $("chosen").textContent = chosen.size ? `${chosen.size} chosen` : "nothing chosen";
  $("all").checked = visible.length > 0 && visible.every((name) => chosen.has(name));
  for (const button of $("actions").children) button.disabled = !chosen.size;
}

// ---- the panel

function open(title, tab) {
  $("panel").hidden = false;
  $("form").hidden = true;
  $("title").textContent = title;
  for (const button of $("tabs").children) {
    button.hidden = !tab;
    button.ariaPressed = String(button.textContent === tab);
  }
  for (const [name, row] of rows) row.tr.className = tab && name === shown ? "shown" : "";
}

function show(name, tab) {
  shown = name;
  open(name, tab);
  return fill({ ...TABS[tab], service: name });
}

function close() {
  if (reading) reading.abort();
  shown = null;
  open("", null);
  $("panel").hidden = true;
}

async function run(command, args) {
  const service = command.service !== "none" && chosen.size ? { service: [...chosen].join(",") } : {};
  const whom = service.service ? ` ${service.service}` : "";
  open(`${command.name}${whom}`, null);
  await fill({ ...args, ...service, command: command.name });
  await refresh();
}

function ready(command) {
  open(command.name + (command.help ? ": " + command.help : ""), null);
  const form = $("form");
  form.replaceChildren();
  const inputs = new Map();
  for (const [name, help] of Object.entries(command.args || {})) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    label.append(`${name}: ${help}`, input);
    form.append(label);
    inputs.set(name, input);
  }
  const go = document.createElement("button");
  go.textContent = `run ${command.name}`;
  form.append(go);
  form.onsubmit = (event) => {
    event.preventDefault();
    run(command, Object.fromEntries([...inputs].map(([name, input]) => [name, input.value]).filter(([, v]) => v)));
  };
  if (reading) reading.abort();
  $("output").textContent = "";
  form.hidden = false;
}

// ---- all the time

// A script may have brought another command since.
function offer(help) {
  if (JSON.stringify(help) === offered) return;
  offered = JSON.stringify(help);
  commands = help.commands;
  $("actions").replaceChildren(
    ...commands.filter((c) => BUTTONS.includes(c.name)).map((c) => {
      const button = document.createElement("button");
      button.textContent = c.name;
      button.title = c.help;
      button.onclick = () => run(c, {});
      return button;
    }));
  const more = commands.filter((c) => !ELSEWHERE.has(c.name));
  $("more").replaceChildren(...["more…", ...more.map((c) => c.name)].map((name) => new Option(name)));
  showChosen();
}

async function refresh() {
  try {
    render(await ask({ command: "status" }));
    $("trouble").hidden = true;
  } catch (e) {
    $("trouble").textContent = `The monitor does not answer: ${e.message}`;
    $("trouble").hidden = false;
  }
}

async function measure() {
  try {
    facts = factsOf(await (await fetch("/metrics", { cache: "no-store" })).text());
  } catch {
    facts = { cpu: new Map(), memory: new Map() }; // refresh() says what is wrong
  }
}

async function turn() {
  if (!document.hidden) {
    await measure();
    await refresh();
    await ask({ command: "help" }).then(offer, () => {}); // refresh() has said what is wrong
  }
  setTimeout(turn, REFRESH_MS);
}

function begin() {
  for (const tab of Object.keys(TABS)) {
    const button = document.createElement("button");
    button.textContent = tab;
    button.onclick = () => show(shown, tab);
    $("tabs").append(button);
  }
  $("filter").oninput = filter;
  $("all").onchange = () => choose([...rows].filter(([, row]) => !row.tr.hidden).map(([name]) => name), $("all").checked);
  $("close").onclick = close;
  $("more").onchange = () => {
    const command = commands.find((c) => c.name === $("more").value);
    $("more").selectedIndex = 0;
    if (command) ready(command);
  };
  document.onkeydown = (event) => {
    if (event.key === "Escape") close();
    if (event.key === "/" && document.activeElement.tagName !== "INPUT") {
      event.preventDefault();
      $("filter").focus();
    }
  };
  turn();
}

begin();
