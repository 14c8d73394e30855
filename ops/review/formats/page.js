"use strict";
// Everything from the report becomes a text node: no text is ever parsed as HTML.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const WIDE = matchMedia("(min-width: 1200px)");
  const OPENED = 250; // lines that are open at first
  const WITH_APP = 1500; // lines that open together with their app
  const MOST = 1500; // lines that are drawn before a click on "more"
  const TOKENS = 300; // longer lines get no marks inside
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const layout = document.getElementById("layout");
  const apps = [...document.querySelectorAll("details.app")];
  let split = false;

  const element = (name, kind, ...inside) => {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    made.append(...inside);
    return made;
  };

  // --- differences -------------------------------------------------------------------------------------------------

  const tokens = (text) => text.match(/[A-Za-z0-9]+|\s+|[^A-Za-z0-9\s]/g) || [];

  // Return for both lists of tokens whether each stands in their longest common subsequence.
  function common(before, after) {
    const rows = before.length + 1, columns = after.length + 1;
    const longest = new Uint16Array(rows * columns);
    for (let row = rows - 2; row >= 0; row--)
      for (let column = columns - 2; column >= 0; column--)
        longest[row * columns + column] = before[row] === after[column]
          ? longest[(row + 1) * columns + column + 1] + 1
          : Math.max(longest[(row + 1) * columns + column], longest[row * columns + column + 1]);
    const kept = [before.map(() => false), after.map(() => false)];
    for (let row = 0, column = 0; row < rows - 1 && column < columns - 1;) {
      if (before[row] === after[column]) { kept[0][row++] = true; kept[1][column++] = true; }
      else if (longest[(row + 1) * columns + column] >= longest[row * columns + column + 1]) row++;
      else column++;
    }
    return kept;
  }

  function marked(words, kept) {
    const pieces = [];
    for (let at = 0; at < words.length;) {
      const from = at;
      while (at < words.length && kept[at] === kept[from]) at++;
      const text = words.slice(from, at).join("");
      pieces.push(kept[from] ? text : element("mark", "", text));
    }
    return pieces;
  }

  // Return the content of a removed and an added line, with the words that differ as marks.
  function words(before, after) {
    const sides = [tokens(before), tokens(after)];
    if (Math.max(sides[0].length, sides[1].length) > TOKENS) return [[before], [after]];
    const kept = common(...sides);
    const shared = sides[0].filter((word, at) => kept[0][at] && word.trim()).join("").length;
    const longer = Math.max(before.trim().length, after.trim().length);
    return shared * 3 < longer ? [[before], [after]] : sides.map((side, at) => marked(side, kept[at]));
  }

  const KINDS = { "+": "add", "-": "del", "@": "hunk" };

  // Return rows of a difference: [left, right], each with kind, sign and content.
  function rows(lines) {
    const made = [];
    for (let at = 0; at < lines.length;) {
      const sign = lines[at][0];
      if (sign !== "-" && sign !== "+") {
        const kind = lines[at].startsWith("@@") ? "hunk" : "same";
        const line = { kind, sign: kind === "hunk" ? "" : " ", content: [kind === "hunk" ? lines[at] : lines[at].slice(1)] };
        made.push([line, line]);
        at++;
        continue;
      }
      const removed = [], added = [];
      while (at < lines.length && lines[at][0] === "-") removed.push(lines[at++].slice(1));
      while (at < lines.length && lines[at][0] === "+") added.push(lines[at++].slice(1));
      for (let row = 0; row < Math.max(removed.length, added.length); row++) {
        const both = row < removed.length && row < added.length;
        const [left, right] = both ? words(removed[row], added[row]) : [[removed[row]], [added[row]]];
        made.push([
          row < removed.length ? { kind: "del", sign: "-", content: left } : null,
          row < added.length ? { kind: "add", sign: "+", content: right } : null,
        ]);
      }
    }
    return made;
  }

  function line(one) {
    if (!one) return element("span", "line none", " ");
    return element("span", `line ${one.kind}`, ...(one.sign ? [element("i", "", one.sign)] : []), ...one.content, "\n");
  }

  function block(label, lines) {
    const pre = element("pre", "", element("code", "", ...lines));
    pre.tabIndex = 0;
    pre.setAttribute("role", "region");
    pre.setAttribute("aria-label", label);
    return pre;
  }

  // Return unified lines in the order of a patch: the removed lines of a run before its added ones.
  function unified(made) {
    const lines = [];
    let added = [];
    const flush = () => { lines.push(...added.map(line)); added = []; };
    for (const [left, right] of made) {
      if (left === right) { flush(); lines.push(line(left)); continue; }
      if (left) lines.push(line(left));
      if (right) added.push(right);
    }
    flush();
    return lines;
  }

  function difference(name, lines, most = MOST) {
    const shown = lines.slice(0, most);
    const made = rows(shown);
    const wide = split && WIDE.matches && changed(shown).every(Boolean);
    const box = element("div", wide ? "difference halves" : "difference", ...(wide
      ? [block(`${name}, before`, made.map(([left]) => line(left))), block(`${name}, after`, made.map(([, right]) => line(right)))]
      : [block(`Difference of ${name}`, unified(made))]));
    if (lines.length > most) {
      const more = element("button", "more", `Show ${lines.length - most} more lines`);
      more.type = "button";
      more.addEventListener("click", () => box.replaceWith(difference(name, lines, Infinity)));
      box.append(more);
    }
    return box;
  }

  // --- parts that are drawn when they open -------------------------------------------------------------------------

  const changed = (lines) => ["+", "-"].map((sign) => lines.filter((one) => one[0] === sign).length);

  function drawObject(one, details) {
    const space = details.lastElementChild;
    if (!space.firstChild || space.dataset.split !== String(split && WIDE.matches)) {
      space.dataset.split = String(split && WIDE.matches);
      const note = one.note ? [element("p", "soft", one.note)] : [];
      space.replaceChildren(...(one.lines.length ? [difference(one.name, one.lines)] : []), ...note);
    }
  }

  function objectOf(one, open) {
    const [added, removed] = changed(one.lines);
    const summary = element("summary", "",
      element("span", `pill ${one.operation}`, one.operation), " ", element("span", "object-name", one.name), " ",
      element("span", "lines", element("span", "plus", `+${added}`), " ", element("span", "minus", `-${removed}`)));
    const details = element("details", "object change", summary, element("div", "drawn"));
    details.addEventListener("toggle", () => { if (details.open) drawObject(one, details); });
    if (open) { details.open = true; drawObject(one, details); }
    return details;
  }

  function drawApp(app) {
    const space = app.lastElementChild;
    const objects = data.objects[app.dataset.app];
    if (space.firstChild || !objects.length) return;
    let lines = 0;
    space.append(...objects.map((one) => objectOf(one, (lines += one.lines.length) <= WITH_APP)));
    [...space.children].forEach((details, at) => { details.hidden = !matches(app, objects[at]); });
  }

  function drawMachine(node) {
    const lines = data.machines[node.dataset.machine];
    const space = node.lastElementChild;
    if (lines.length) space.replaceChildren(difference("the machine configuration", lines));
  }

  for (const app of apps) app.addEventListener("toggle", () => { if (app.open) drawApp(app); });
  for (const node of document.querySelectorAll("details.node"))
    node.addEventListener("toggle", () => { if (node.open) drawMachine(node); });

  function openFirst() {
    let lines = 0;
    for (const node of document.querySelectorAll("details.node")) {
      lines += data.machines[node.dataset.machine].length;
      if (lines > OPENED) return;
      node.open = true;
    }
    for (const app of apps) {
      lines += data.objects[app.dataset.app].reduce((sum, one) => sum + one.lines.length + 2, 2);
      if (lines > OPENED) return;
      app.open = true;
      drawApp(app);
    }
  }

  // --- side by side ------------------------------------------------------------------------------------------------

  function redraw() {
    for (const details of document.querySelectorAll("details.object[open]")) {
      const app = details.closest("details.app");
      drawObject(data.objects[app.dataset.app][[...details.parentElement.children].indexOf(details)], details);
    }
    for (const node of document.querySelectorAll("details.node[open]")) drawMachine(node);
  }

  function toggle() {
    split = !split;
    layout.setAttribute("aria-pressed", String(split));
    redraw();
  }

  layout.addEventListener("click", toggle);
  WIDE.addEventListener("change", redraw);

  // --- filter ------------------------------------------------------------------------------------------------------

  let wanted = "";
  const names = apps.map((app) => app.firstElementChild.textContent.toLowerCase());
  let texts = null;

  const matchesApp = (app) => names[app.dataset.app].includes(wanted);
  const matches = (app, one) => !wanted || one.name.toLowerCase().includes(wanted) || matchesApp(app);

  function filter() {
    wanted = search.value.trim().toLowerCase();
    texts = texts || [...document.querySelectorAll(".row")].map((row) => [row, row.textContent.toLowerCase()]);
    for (const [row, text] of texts) row.hidden = !text.includes(wanted);
    for (const rest of document.querySelectorAll(".rest")) rest.open = Boolean(wanted);
    let shown = 0, all = 0, visible = 0;
    apps.forEach((app, number) => {
      const objects = data.objects[number];
      const whole = names[number].includes(wanted);
      const kept = objects.map((one) => whole || one.name.toLowerCase().includes(wanted));
      const count = kept.filter(Boolean).length;
      all += objects.length;
      shown += count;
      app.hidden = !(whole || count);
      visible += app.hidden ? 0 : 1;
      [...app.lastElementChild.children].forEach((details, at) => { details.hidden = !kept[at]; });
    });
    for (const entry of document.querySelectorAll("nav li[data-app]")) entry.hidden = apps[entry.dataset.app].hidden;
    for (const folder of document.querySelectorAll("nav details")) {
      folder.hidden = !folder.querySelector("li:not([hidden])");
      if (wanted && visible <= 40 && !folder.hidden) folder.open = true;
    }
    if (wanted && visible <= 5) for (const app of apps) if (!app.hidden) app.open = true;
    document.body.classList.toggle("filtered", Boolean(wanted));
    found.textContent = wanted ? `${shown} of ${all} objects, ${visible} of ${apps.length} apps` : "";
  }

  let frame = 0;
  search.addEventListener("input", () => { cancelAnimationFrame(frame); frame = requestAnimationFrame(filter); });

  // --- keyboard ----------------------------------------------------------------------------------------------------

  // The changes in the order of the page; an object that was not drawn yet is [app, number].
  const stops = [
    ...document.querySelectorAll(".danger, .component, .node"),
    ...apps.flatMap((app) => data.objects[app.dataset.app].length
      ? data.objects[app.dataset.app].map((_, number) => [app, number]) : [app]),
  ];
  let current = -1;

  function drawn(stop) {
    if (!Array.isArray(stop)) return stop;
    const [app, number] = stop;
    app.open = true;
    drawApp(app);
    return app.lastElementChild.children[number];
  }

  const isHidden = (stop) => Array.isArray(stop)
    ? stop[0].hidden || !matches(stop[0], data.objects[stop[0].dataset.app][stop[1]]) : stop.hidden;

  function move(step) {
    let next = current + step;
    while (next >= 0 && next < stops.length && isHidden(stops[next])) next += step;
    if (next < 0 || next >= stops.length) return;
    current = next;
    const target = drawn(stops[next]);
    if (target.tagName === "DETAILS") target.open = true;
    (target.tagName === "DETAILS" ? target.firstElementChild : target).focus({ preventScroll: true });
    target.scrollIntoView({ block: "start" });
  }

  document.addEventListener("focusin", (event) => {
    const at = event.target.closest(".change, details.app");
    if (!at) return;
    const app = at.closest("details.app");
    const number = app && at !== app ? [...at.parentElement.children].indexOf(at) : 0;
    const index = stops.findIndex((stop) => Array.isArray(stop) ? stop[0] === app && stop[1] === number : stop === at);
    if (index >= 0) current = app === at && data.objects[app.dataset.app].length ? index - 1 : index;
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === search) {
      if (event.key === "Escape") { search.value = ""; filter(); search.blur(); }
      if (event.key === "Enter") { search.blur(); current = -1; move(1); }
      return;
    }
    const act = { j: () => move(1), k: () => move(-1), s: () => { if (WIDE.matches) toggle(); }, "/": () => { search.focus(); search.select(); } }[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  // --- links and print ---------------------------------------------------------------------------------------------

  function reveal() {
    const target = /^#app-\d+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
    if (target) { target.open = true; drawApp(target); target.scrollIntoView({ block: "start" }); }
  }

  addEventListener("hashchange", reveal);
  addEventListener("beforeprint", () => {
    let lines = 0;
    for (const app of apps) {
      lines += data.objects[app.dataset.app].reduce((sum, one) => sum + one.lines.length, 0);
      if (lines > 5000) return;
      app.open = true;
      drawApp(app);
    }
  });

  document.body.classList.add("ready");
  openFirst();
  reveal();
})();
