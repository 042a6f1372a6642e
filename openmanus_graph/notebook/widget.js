// Widget: the page's side of a stepper. It draws what the kernel sends and sends back what a person does; it decides nothing.

const BUTTONS = [
  ["step", "s", "Step", "Run one node of the branch that is next"],
  ["next", "n", "Next", "Run one node with all that is inside of it"],
  ["out", "o", "Out", "Run to the end of the subtask that was stepped last"],
  ["run", "r", "Run", "Run all branches to a breakpoint, a question or the end"],
  ["pause", "p", "Pause", "Stop every branch before its next node"],
  ["back", "b", "Back", "Look at the point before; nothing runs"],
  ["head", "h", "Head", "Look at where the thread goes on; nothing runs"],
  ["rerun", "x", "Rerun", "Run the last step again"],
];
const HELP = "Click a node to run to it, right-click for a breakpoint. Tab moves to a node: Enter runs to it, k sets a breakpoint.";
const SIGNS = { completed: "✓", failed: "✗", running: "▶", next: "▷", waiting: "?", blocked: "⊘", skipped: "»", pending: "○", done: "✓" };
const LIVELY = ["next", "waiting", "running", "failed"]; // what is looked for in a picture that is larger than its pane
const SMALLEST = 0.75; // of the size in which labels are drawn
const [LOWEST, TALLEST] = [120, 360]; // pixels of a picture's pane, unless a person resizes it
const OPEN_UP_TO = 800; // characters of a change that is shown unfolded
const BUSY_MS = 1500; // how long the kernel may take to answer before the page says that it is busy
const QUESTIONS = {
  approve: { buttons: [["Approve", "yes"], ["Refuse", "no"]], hint: "yes, no: REASON, edit {JSON}, or = RESULT" },
  effect: { buttons: [["It happened", "happened"], ["It did not", "no"]], hint: "happened, no, or = RESULT" },
  answer: { buttons: [], hint: "your answer" },
};

// Control characters, and those that turn the direction of what follows: what is approved must be what is read.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;
const shown = (text) => String(text).replace(HIDDEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** An element with attributes, listeners (functions) and children (elements and texts). */
function h(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  const there = children.flat().filter((child) => child != null && child !== false);
  element.append(...there.map((child) => (child instanceof Node ? child : shown(child))));
  return element;
}

/** The style by which the picture that a saved notebook keeps of this very stepper is not shown beside the live view. */
function hiding(mark) {
  const still = `:is(img[src*="${mark}"], svg.${mark})`;
  return `${still}, div:has(> ${still}) { display: none; }`;
}

/** Whether the page is dark: what JupyterLab, VS Code or Colab say of themselves, else what the system prefers. */
function isDark() {
  const { body, documentElement: html } = document;
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false";
  if (body.classList.contains("vscode-light")) return false;
  if (/\bvscode-(dark|high-contrast)\b/.test(body.className)) return true;
  if (html.getAttribute("theme")) return html.getAttribute("theme") === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** One view of the widget. */
class View {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.sent = 0;
    this.lost = false;
    this.build();
    this.listeners = [
      ["change:head", () => { this.drawHead(); this.time(); }],
      ["change:graph", () => this.drawPicture("graph")],
      ["change:plan", () => this.drawPicture("plan")],
      ["change:states", () => this.drawStates()],
      ["change:panel", () => this.drawPanel()],
      ["comm_live_update", () => this.setLost(model.comm_live !== true)],
      ["comm:close", () => this.setLost(true)],
    ];
    for (const [name, listener] of this.listeners) model.on(name, listener);
    this.followTheme();
    this.sizes = new ResizeObserver(() => Object.values(this.pictures).forEach((pane) => this.fit(pane)));
    this.sizes.observe(root);
    this.drawPicture("graph");
    this.drawPicture("plan");
    this.drawHead();
    this.drawPanel();
  }

  close() {
    for (const [name, listener] of this.listeners) this.model.off(name, listener);
    this.watcher.disconnect();
    this.sizes.disconnect();
    this.system.removeEventListener("change", this.recolour);
  }

  followTheme() {
    this.recolour = () => {
      const dark = isDark();
      this.root.classList.toggle("dark", dark);
      this.root.classList.toggle("light", !dark);
    };
    this.watcher = new MutationObserver(this.recolour);
    this.watcher.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light"] });
    this.system = matchMedia("(prefers-color-scheme: dark)");
    this.system.addEventListener("change", this.recolour);
    this.recolour();
  }

  build() {
    const { root } = this;
    root.classList.add("omgw");
    root.tabIndex = 0;
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Stepper");
    root.setAttribute("data-lm-suppress-shortcuts", "true"); // or JupyterLab takes the keys for its own
    this.title = h("div", { class: "head" });
    this.buttons = BUTTONS.map(([verb, key, label, told]) =>
      h("button", { type: "button", "data-do": verb, title: `${told} (${key})`, click: () => this.press(verb) },
        label, " ", h("kbd", {}, key)));
    this.told = h("div", { class: "told", "aria-live": "polite" });
    this.asks = h("div", { class: "asks" });
    this.branches = h("div", { class: "branches" });
    this.pictures = { graph: h("div", { class: "picture" }), plan: h("div", { class: "picture" }) };
    this.panes = Object.entries(this.pictures).map(([name, pane]) =>
      h("figure", { "data-picture": name }, h("figcaption", {}, name === "graph" ? "Graph" : "Plan"), pane));
    const id = `omgw-${Math.random().toString(36).slice(2)}`;
    this.panel = h("div", { class: "panel", role: "tabpanel", tabindex: 0, id });
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Details", keydown: (event) => this.turned(event) },
      Object.entries(this.model.get("tabs")).map(([name, title]) =>
        h("button", { type: "button", role: "tab", "data-tab": name, id: `${id}-${name}`, "aria-controls": id, click: () => this.open(name) }, title)));
    root.replaceChildren(
      this.title, h("div", { class: "bar", role: "toolbar", "aria-label": "Verbs" }, this.buttons), this.told, this.asks,
      this.branches, h("div", { class: "panes" }, this.panes), this.tabs, this.panel, h("div", { class: "help" }, HELP),
      h("style", {}, hiding(this.model.get("mark"))));
    for (const [name, pane] of Object.entries(this.pictures)) this.point(name, pane);
    root.addEventListener("keydown", (event) => this.pressed(event));
  }

  /** Take clicks and keys on the boxes of a picture. */
  point(picture, pane) {
    const key = (event) => event.target.closest("[data-key]")?.dataset.key;
    pane.addEventListener("click", (event) => key(event) && this.send({ do: "to", picture, key: key(event) }));
    pane.addEventListener("contextmenu", (event) => {
      if (!key(event)) return;
      event.preventDefault();
      event.stopPropagation();
      this.send({ do: "break", picture, key: key(event) });
    });
    pane.addEventListener("keydown", (event) => {
      const verb = { Enter: "to", k: "break" }[event.key];
      if (!verb || !key(event)) return;
      event.preventDefault();
      event.stopPropagation();
      this.send({ do: verb, picture, key: key(event) });
    });
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    const found = BUTTONS.find(([, key]) => key === event.key);
    if (!found) return;
    event.preventDefault();
    event.stopPropagation();
    this.send({ do: found[0] }); // also of a button that is off: the kernel may be further than what is shown
  }

  press(verb) {
    const button = this.buttons.find((one) => one.dataset.do === verb);
    if (button.getAttribute("aria-disabled") !== "true") this.send({ do: verb });
  }

  send(message) {
    if (this.lost) return;
    const sent = Date.now();
    this.sent = sent;
    this.model.send({ ...message, sent });
    setTimeout(() => {
      if (this.sent === sent && this.model.get("head").acknowledged < sent && !this.lost) {
        this.told.append(h("div", { class: "busy" }, "The kernel does not answer. If it is busy, this is done as soon as it is free; if it is gone, run the cell again."));
      }
    }, BUSY_MS);
  }

  /** Say that the kernel is gone, and take no more clicks. */
  setLost(lost) {
    this.lost = lost;
    this.root.classList.toggle("lost", lost);
    this.drawHead();
  }

  drawHead() {
    const head = this.model.get("head");
    const { root } = this;
    Object.assign(root.dataset, { thread: head.thread, status: head.status, reason: head.reason, cursor: head.cursor ?? "head" });
    root.dataset.lost = this.lost;
    const running = head.status === "running";
    for (const button of this.buttons) {
      const verb = button.dataset.do;
      const idle = this.lost || (verb === "pause" ? !running : verb === "head" ? head.cursor == null : false);
      button.setAttribute("aria-disabled", String(idle)); // and not `disabled`, which would take the focus, and the keys, away
    }
    this.drawTitle(head);
    this.drawTold(head, running);
    this.drawQuestions(head.questions);
    this.drawBranches(head);
    this.drawTabs(head.tab);
  }

  /** Note how long ago the kernel drew what is now painted. */
  time() {
    const drawn = this.model.get("head").drawn_at;
    requestAnimationFrame(() => { this.root.dataset.latencyMs = Math.max(Date.now() - drawn, 0).toFixed(1); });
  }

  /** Fill an element anew if what it shows is another; who is on one of its buttons stays there, or at least in the view. */
  refill(element, given, made) {
    const told = JSON.stringify(given);
    if (element.told === told) return;
    element.told = told;
    const active = this.root.getRootNode().activeElement;
    const held = element.contains(active) ? active.dataset.held ?? "" : null;
    element.replaceChildren(...made().flat().filter(Boolean));
    if (held === null) return;
    const same = [...element.querySelectorAll("[data-held]")].find((one) => one.dataset.held === held);
    (same ?? this.root).focus({ preventScroll: true });
  }

  drawTitle(head) {
    const { thread, threads, status, sign, cursor, done, subtasks, granularity, breakpoints } = head;
    const told = { thread, threads, status, sign, cursor, done, subtasks, granularity, breakpoints };
    this.refill(this.title, told, () => this.titled(head));
  }

  titled(head) {
    const at = head.cursor == null ? null : h("span", { class: "at" }, `looking at point ${head.cursor}`);
    const count = head.subtasks ? h("span", {}, `${head.done}/${head.subtasks} subtasks`) : null;
    const from = head.threads.length > 1 ? h("span", {}, `forked from ${head.threads.slice(0, -1).join(", ")}`) : null;
    const stops = head.breakpoints.map((place) =>
      h("button", { type: "button", class: "stop", "data-held": place, title: "Remove this breakpoint", "aria-label": `Remove the breakpoint ${place}`, click: () => this.send({ do: "break", place }) },
        "● ", place, " ×"));
    return [
      h("b", {}, head.thread), h("span", { class: `status ${head.status}` }, `${head.sign} ${head.status}`), at, count, from,
      h("span", { title: head.granularity === "node" ? "Every branch stops before each of its nodes"
        : "This graph knows nothing of the stepper: the nodes of a super-step are let go one by one, the next come when all have run" },
        `by ${head.granularity}`), ...stops,
    ];
  }

  drawTold(head, running) {
    const { notice, error, reason, text } = head;
    const problem = notice?.message ? { ...notice, can: [] } : error;
    const said = running ? "Running …" : reason === "waiting" ? "Only a person can go on: answer below." : text;
    this.refill(this.told, { lost: this.lost, problem, said, acknowledged: head.acknowledged }, () => [
      this.lost && h("div", { class: "error" }, h("b", {}, "The kernel is gone. "),
        "The thread is intact: run the cell again to go on from the last committed step."),
      problem && this.problem(problem),
      (running || !problem) && h("div", {}, said),
    ]);
  }

  problem(problem) {
    const can = problem.can ?? [];
    const buttons = [];
    if (can.includes("rerun")) {
      buttons.push(h("button", { type: "button", "data-held": "rerun", click: () => this.send({ do: "rerun" }) }, "Rerun this step"));
    }
    if (can.includes("edit")) {
      buttons.push(h("button", { type: "button", "data-held": "edit", click: () => this.open("edit") }, "Edit input and rerun"));
    }
    if (/\brefresh\(\)/.test(problem.hint)) {
      buttons.push(h("button", { type: "button", "data-held": "refresh", click: () => this.send({ do: "refresh" }) }, "Look again"));
    }
    const hint = buttons.length && /^\w+\(/.test(problem.hint) ? "" : `${problem.hint} `; // a verb that has a button
    return h("div", { class: "error" }, h("b", {}, "✗ ", problem.message), " ", hint, buttons);
  }

  drawQuestions(questions) {
    const ids = questions.map((one) => `${one.id} ${one.refused ?? ""}`).join();
    if (this.asks.dataset.ids === ids) return; // what a person is typing stays
    const held = this.asks.contains(this.root.getRootNode().activeElement);
    this.asks.dataset.ids = ids;
    this.asks.replaceChildren(...questions.map((one) => this.question(one)));
    if (held) this.root.focus({ preventScroll: true }); // or the keys would go to the notebook
  }

  question(question) {
    const { buttons, hint } = QUESTIONS[question.kind] ?? QUESTIONS.answer;
    const answer = (value) => this.send({ do: "answer", question: question.id, value });
    const field = h("textarea", { placeholder: hint, "aria-label": "Answer", rows: 1, spellcheck: "false", keydown: (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      field.form.requestSubmit();
    } });
    const edit = () => {
      field.value = `edit ${JSON.stringify(question.args, null, 1)}`;
      field.rows = Math.min(field.value.split("\n").length + 1, 12);
      field.focus();
    };
    const call = question.tool ? h("pre", {}, `${question.tool} ${JSON.stringify(question.args ?? {}, null, 1)}`) : null;
    // The call stands below, so that it need not be in the sentence, too.
    const asked = call && question.kind === "approve" ? [`May it call ${question.tool}? `, question.reason ? h("span", { class: "quiet" }, question.reason) : null] : [question.question];
    const steps = question.plan?.subtasks?.map((one) => `${one.id}: ${one.goal || one.tool || ""}${one.needs?.length ? ` (after ${one.needs.join(", ")})` : ""}`);
    const plan = steps ? h("pre", {}, steps.join("\n")) : null;
    return h("form", { class: "question", "data-question": question.id, submit: (event) => {
      event.preventDefault();
      if (field.value.trim()) answer(field.value);
    } },
    h("div", {}, h("b", {}, `? ${question.subtask ? `${question.subtask} asks` : "Asked"}: `), asked),
    question.refused ? h("div", { class: "error" }, question.refused) : null, call, plan,
    buttons.map(([label, value]) => h("button", { type: "button", click: () => answer(value) }, label)),
    question.kind === "approve" && question.args ? h("button", { type: "button", title: "Approve it with other arguments", click: edit }, "Edit …") : null,
    field, h("button", {}, "Answer"));
  }

  drawBranches(head) {
    this.refill(this.branches, head.branches, () => head.branches.map((one) => {
      const label = `${one.sign} ${one.name || "graph"} · ${one.call || one.node || "asks a person"}`;
      if (one.status !== "next") return h("span", { class: `branch ${one.status}` }, label);
      const click = () => this.send({ do: "step", subtask: one.name });
      const given = { class: "branch next", "data-branch": one.name, "data-held": one.name, title: "Step only this branch", click };
      return h("button", { type: "button", ...given }, label);
    }));
  }

  drawPicture(name) {
    const pane = this.pictures[name];
    pane.innerHTML = this.model.get(name); // drawn by the kernel, in which every label is escaped
    pane.closest("figure").hidden = !pane.firstElementChild;
    pane.boxes = new Map();
    pane.firstElementChild?.setAttribute("role", "group"); // an image would hide its buttons from readers of the screen
    for (const element of pane.querySelectorAll(".b[data-key]")) {
      if (!element.querySelector(":scope > rect")) continue; // where a graph begins and ends
      element.setAttribute("tabindex", "0");
      element.setAttribute("role", "button");
      const [first, ...rest] = element.querySelector("title").textContent.split("\n");
      pane.boxes.set(element.dataset.key, { element, state: "pending", stop: false, label: first.replace(/ \(pending\)$/, ""), rest });
    }
    this.drawStates(name);
    this.fit(pane);
  }

  /** Show what the boxes stand at; those that did not change are left alone. */
  drawStates(only) {
    const all = this.model.get("states");
    for (const [name, pane] of Object.entries(this.pictures)) {
      if (only && only !== name) continue;
      const { states = {}, stops = [] } = all[name] ?? {};
      const stopping = new Set(stops);
      for (const [key, box] of pane.boxes ?? []) this.drawBox(box, states[key] ?? "pending", stopping.has(key));
      this.follow(pane);
    }
  }

  drawBox(box, state, stop) {
    if (box.state === state && box.stop === stop) return;
    const { element } = box;
    element.classList.replace(box.state, state);
    element.querySelector(":scope > g").innerHTML = this.model.get("signs")[state].replace(/^<g[^>]*>|<[/]g>$/g, "");
    element.querySelector("title").textContent = [`${box.label} (${state})${stop ? " (stops here)" : ""}`, ...box.rest].join("\n");
    element.querySelector(":scope > .h")?.remove();
    if (stop) {
      const { x, y } = element.querySelector(":scope > rect");
      const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
      for (const [name, value] of Object.entries({ class: "h", cx: x.baseVal.value + 2, cy: y.baseVal.value + 2, r: 6 })) dot.setAttribute(name, value);
      element.append(dot);
    }
    Object.assign(box, { state, stop });
  }

  /** Draw a large picture smaller, as long as it can be read. */
  fit(pane) {
    const svg = pane.firstElementChild;
    if (!svg || !pane.clientWidth) return;
    const { width, height } = svg.viewBox.baseVal;
    if (pane.dataset.tall !== String(height)) { // only for another picture: a person may have resized the pane
      pane.dataset.tall = height;
      pane.style.height = `${Math.min(Math.max(height + 6, LOWEST), TALLEST)}px`;
    }
    const scale = Math.max(Math.min(1, (pane.clientWidth - 4) / width, (pane.clientHeight - 4) / height), SMALLEST);
    svg.setAttribute("width", width * scale);
    svg.setAttribute("height", height * scale);
    this.follow(pane);
  }

  /** Show the part of a picture where the run is. */
  follow(pane) {
    const boxes = [...(pane.boxes?.values() ?? [])].filter((box) => LIVELY.includes(box.state));
    const at = (boxes.find((box) => box.state === "next") ?? boxes.at(-1))?.element;
    if (!at || !pane.clientWidth || pane.dataset.at === at.dataset.key) return;
    pane.dataset.at = at.dataset.key; // only when it moves: a person may have scrolled
    const [box, frame] = [at.getBoundingClientRect(), pane.getBoundingClientRect()];
    if (box.top < frame.top || box.bottom > frame.bottom) pane.scrollTop += box.top + box.height / 2 - frame.top - frame.height / 2;
    if (box.left < frame.left || box.right > frame.right) pane.scrollLeft += box.left + box.width / 2 - frame.left - frame.width / 2;
  }

  drawTabs(open) {
    for (const tab of this.tabs.children) {
      const chosen = tab.dataset.tab === open;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) this.panel.setAttribute("aria-labelledby", tab.id);
    }
  }

  /** Arrow keys go from tab to tab, as elsewhere. */
  turned(event) {
    const tabs = [...this.tabs.children];
    const here = tabs.indexOf(event.target);
    const there = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (there === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const tab = tabs[(there + tabs.length) % tabs.length];
    tab.focus();
    this.open(tab.dataset.tab);
  }

  open(tab) {
    this.send({ do: "tab", tab });
  }

  drawPanel() {
    const panel = this.model.get("panel");
    if (!panel.tab) return;
    if (panel.tab === "edit" && this.panel.dataset.tab === "edit" && this.panel.dataset.at === `${panel.at} ${panel.suggested}`) return; // being typed in
    this.panel.dataset.tab = panel.tab;
    this.panel.dataset.at = `${panel.at} ${panel.suggested}`;
    const draw = { changes, state, messages: entries, calls: entries, files, timings }[panel.tab];
    if (panel.error) this.panel.replaceChildren(h("div", { class: "error" }, panel.error));
    else if (panel.tab === "history") this.drawHistory(panel);
    else if (panel.tab === "edit") this.panel.replaceChildren(editor(panel, (message) => this.send(message)));
    else this.panel.replaceChildren(...draw(panel));
    if (panel.left_out) this.panel.prepend(h("div", { class: "quiet" }, `${panel.left_out} older ones are left out.`));
  }

  drawHistory(panel) {
    const go = (event) => {
      const key = event.target.closest("[data-key]")?.dataset.key;
      if (!/^\d+$/.test(key ?? "") || (event.type === "keydown" && event.key !== "Enter")) return;
      event.preventDefault();
      this.send({ do: "goto", point: Number(key) });
    };
    const active = this.root.getRootNode().activeElement;
    const held = this.panel.contains(active) ? active.dataset.key : undefined;
    const box = h("div", { class: "picture history", click: go, keydown: go });
    box.innerHTML = panel.svg;
    box.firstElementChild?.setAttribute("role", "group");
    for (const point of box.querySelectorAll("[data-key]")) {
      if (!/^\d+$/.test(point.dataset.key)) continue; // a fork
      point.setAttribute("tabindex", "0");
      point.setAttribute("role", "button");
    }
    this.panel.replaceChildren(h("div", { class: "quiet" }, "Click a point to look at it; nothing runs."), box);
    if (held !== undefined) box.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
    const here = box.querySelector(".m");
    if (here) box.scrollTop = Math.max(here.cy.baseVal.value - box.clientHeight / 2, 0);
  }
}

const none = (text) => [h("div", { class: "quiet" }, text)];

function changes(panel) {
  if (!panel.changes.length) return none("Nothing changed since the last stop.");
  const signs = { added: "+", removed: "−", changed: "~" };
  const short = (one) => one.lines.length + one.before.length + one.after.length < OPEN_UP_TO;
  return panel.changes.map((one) => h("details", { class: `change ${one.kind}`, open: short(one), "data-name": one.name },
    h("summary", {}, `${signs[one.kind]} ${one.name} `, h("span", { class: "quiet" }, `${one.group}, ${one.kind}`)),
    one.lines ? h("pre", {}, one.lines.split("\n").map((line) => h("div", { class: { "+": "plus", "-": "minus" }[line[0]] }, line || " ")))
      : [one.before && h("pre", { class: "minus" }, `- ${one.before}`), one.after && h("pre", { class: "plus" }, `+ ${one.after}`)]));
}

function state(panel) {
  return [h("pre", {}, panel.text)];
}

function entries(panel) {
  if (!panel.entries.length) return none(panel.tab === "calls" ? "No tool was called yet." : "Nothing was said yet.");
  return panel.entries.map((one) => {
    const sign = one.status ? `${SIGNS[one.status] ?? "●"} ` : "";
    const title = `${sign}${one.tool || one.who}`;
    const more = one.tool ? [one.subtask, one.status].filter(Boolean).join(", ") : (one.time ?? "").slice(11, 19);
    return h("details", { class: "entry", open: true, "data-status": one.status },
      h("summary", {}, h("b", {}, title), " ", h("span", { class: "quiet" }, more)),
      one.args ? h("pre", {}, one.args) : null, one.result || one.text ? h("pre", {}, one.result || one.text) : null);
  });
}

function files(panel) {
  if (!panel.files.length) return none("No step changed a file that is recorded.");
  const rows = panel.files.map((one) => h("tr", {}, h("td", {}, one.number), h("td", {}, one.subtask), h("td", {}, h("code", {}, one.file), one.image ? h("img", { src: one.image, alt: one.file }) : null)));
  return [panel.folder ? h("div", { class: "quiet" }, "In ", h("code", {}, panel.folder)) : null, table(["Point", "Subtask", "File"], rows)].filter(Boolean);
}

function timings(panel) {
  const longest = Math.max(...panel.rows.map((one) => one.seconds ?? 0), 1e-9);
  const seconds = (value) => (value == null ? "" : value.toFixed(value < 1 ? 3 : 2));
  const cost = (value) => (value == null ? "?" : value ? `$${value.toFixed(4)}` : "");
  const rows = panel.rows.map((one) => h("tr", { "data-status": one.status },
    h("td", {}, one.number ?? ""), h("td", {}, one.node), h("td", {}, one.subtask), h("td", {}, `${SIGNS[one.status] ?? "●"} ${one.status}`),
    h("td", { class: "number" }, one.attempt || ""), h("td", { class: "number" }, seconds(one.seconds)),
    h("td", {}, one.seconds ? h("span", { class: "length", style: `width:${Math.round((60 * one.seconds) / longest)}px` }) : null),
    h("td", { class: "number" }, one.tokens || ""), h("td", { class: "number" }, cost(one.cost_usd))));
  const { total } = panel;
  rows.push(h("tr", { class: "total" }, h("td", { colspan: 5 }, "In all"), h("td", { class: "number" }, seconds(total.seconds)), h("td", {}),
    h("td", { class: "number" }, total.tokens || ""), h("td", { class: "number" }, cost(total.cost_usd))));
  return [table(["Point", "Node", "Subtask", "Status", "Try", "Seconds", "Share", "Tokens", "Cost"], rows)];
}

function table(heads, rows) {
  return h("table", {}, h("thead", {}, h("tr", {}, heads.map((one) => h("th", {}, one)))), h("tbody", {}, rows));
}

/** The form that changes something in a fork. */
function editor(panel, send) {
  const kinds = { value: "a value of the state", plan: "the plan", result: "the result of a subtask" };
  const there = { value: panel.values, plan: panel.plan ? { plan: panel.plan } : {}, result: panel.results };
  const what = h("select", { "aria-label": "What to change", name: "what" }, Object.entries(kinds)
    .filter(([kind]) => kind === "value" || Object.keys(there[kind]).length).map(([kind, label]) => h("option", { value: kind }, label)));
  const names = h("datalist", { id: `omgw-${Math.random().toString(36).slice(2)}` });
  const path = h("input", { "aria-label": "Path", name: "path", placeholder: "path, such as subtask.args", list: names.id, size: 30 });
  const value = h("textarea", { "aria-label": "New value", name: "value", rows: 10, spellcheck: "false", placeholder: "JSON, or plain text" });
  const fill = () => {
    const known = there[what.value];
    names.replaceChildren(...Object.keys(known).map((name) => h("option", { value: name })));
    path.hidden = what.value === "plan";
    const now = known[what.value === "plan" ? "plan" : path.value.trim()];
    if (now != null) value.value = now;
  };
  what.addEventListener("change", () => { path.value = ""; value.value = ""; fill(); });
  path.addEventListener("change", fill);
  const message = (verb) => ({ do: verb, what: what.value, path: path.value.trim(), value: value.value });
  path.value = panel.suggested;
  if (!panel.suggested && panel.plan) what.value = "plan";
  fill();
  return h("form", { class: "editor", submit: (event) => { event.preventDefault(); send(message("edit")); } },
    h("div", { class: "quiet" }, `Nothing that was committed changes: the edit goes on in a fork of ${panel.at}.`),
    h("div", {}, what, " ", path, names), value,
    h("div", {}, h("button", { "data-do": "edit" }, "Change it in a fork"), " ",
      h("button", { type: "button", "data-do": "edit-rerun", title: "Run the last step again with this value",
        click: () => send(message("rerun")) }, "Change it and rerun the last step")));
}

function render({ model, el }) {
  const view = new View(model, el.appendChild(h("div")));
  return () => view.close();
}

export default { render };
