"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { classes, heads, utterances } = data;
  const PAGE = 100;
  const PEAKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const field = (name) => document.getElementById("f-" + name);
  const list = document.getElementById("list");
  const box = document.getElementById("box");
  const more = document.getElementById("more");
  let found = [];
  let shown = 0;

  // Everything a corpus says enters the document as text, never as markup.
  const make = (name, className, text) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const draw = (name, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const largest = (shares) => shares.indexOf(Math.max(...shares));
  for (const one of utterances) {
    one.said = one.h.map((shares) => (shares ? largest(shares) : null));
    one.wrong = one.said.filter((said) => said !== null && said !== one.l).length;
    one.words = (one.i + " " + (one.t || "")).toLowerCase();
  }
  const disagree = (one) => new Set(one.said.filter((said) => said !== null)).size > 1;

  const choices = (name, values, any) => {
    const select = field(name);
    if (any) select.append(new Option("any", ""));
    for (const [value, text] of values) select.append(new Option(text, value));
  };
  const byClass = classes.map((name, place) => [place, name]);
  const distinct = (key) => [...new Set(utterances.map((one) => one[key]).filter(Boolean))].sort().map((value) => [value, value]);
  choices("label", byClass, true);
  choices("prediction", byClass, true);
  choices("head", heads.map((name, place) => [place, name]), false);
  choices("speaker", distinct("k"), true);
  choices("session", distinct("s"), true);

  const filtered = () => {
    const text = field("text").value.trim().toLowerCase();
    const [label, prediction, speaker, session, answers] = ["label", "prediction", "speaker", "session", "answers"].map((name) => field(name).value);
    const head = Number(field("head").value || 0);
    const from = 10 * Number(field("from").value || 0);
    const to = 10 * Number(field("to").value === "" ? 100 : field("to").value);
    const fits = (one) => {
      if (text && !one.words.includes(text)) return false;
      if (label && one.l !== Number(label)) return false;
      if (speaker && one.k !== speaker) return false;
      if (session && one.s !== session) return false;
      const shares = one.h[head];
      const said = one.said[head];
      if (prediction && said !== Number(prediction)) return false;
      if (from > 0 || to < 1000) {
        const sure = shares ? shares[said] : -1;
        if (sure < from || sure > to) return false;
      }
      if (answers === "disagree") return disagree(one);
      if (answers === "wrong") return said !== null && said !== one.l;
      if (answers === "right") return said === one.l;
      if (answers === "all-wrong") return one.wrong > 0 && one.said.every((each) => each === null || each !== one.l);
      if (answers === "only") return said === one.l && one.said.every((each, place) => place === head || each !== one.l);
      return true;
    };
    const sure = (one) => (one.h[head] ? one.h[head][one.said[head]] : -1);
    const orders = {
      sure: (a, b) => sure(b) - sure(a),
      unsure: (a, b) => sure(a) - sure(b),
      wrong: (a, b) => b.wrong - a.wrong,
      long: (a, b) => (b.d || 0) - (a.d || 0),
    };
    const result = utterances.filter(fits);
    const order = orders[field("order").value];
    return order ? result.sort(order) : result;
  };

  const waveform = (one) => {
    const [width, height, middle] = [1000, 120, 62];
    const length = one.d || Math.max(1, ...(one.w || []).map((word) => word[2]));
    const picture = draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" });
    const at = (time) => (width * time) / length;
    picture.append(draw("title", {}, `Waveform of ${one.i}, ${(length / 100).toFixed(2)} s, with ${(one.w || []).length} words and ${(one.f || []).length} phones`));
    for (const [, start, end] of one.w || []) picture.append(draw("rect", { class: "band", x: at(start), y: 0, width: Math.max(1, at(end) - at(start)), height }));
    for (const [, start] of one.f || []) picture.append(draw("line", { class: "tick", x1: at(start), x2: at(start), y1: height - 16, y2: height }));
    const peaks = one.p || "";
    const step = width / Math.max(1, peaks.length);
    [...peaks].forEach((peak, place) => {
      const tall = Math.max(1, (PEAKS.indexOf(peak) / 63) * 76);
      picture.append(draw("rect", { class: "wave", x: place * step, y: middle - tall / 2, width: step * 0.8, height: tall }));
    });
    return picture;
  };
  const segments = (one) => {
    const words = make("p", "small", "Words: ");
    words.append((one.w || []).map(([word, start, end]) => `${word} ${(start / 100).toFixed(2)}-${(end / 100).toFixed(2)}`).join(" · "));
    return words;
  };

  const details = (one) => {
    const box = make("div", "open");
    box.append(make("p", "said", one.t === undefined ? "(no transcript at hand)" : one.t));
    const about = [["session", one.s], ["speaker", one.k], ["style", one.y], ["length", one.d === undefined ? "" : (one.d / 100).toFixed(2) + " s"], ["label", classes[one.l]]];
    box.append(make("p", "small", about.filter((pair) => pair[1]).map((pair) => pair.join(" ")).join(", ")));
    if (one.p || one.w) box.append(waveform(one));
    if (one.w) box.append(segments(one));
    if (one.a) {
      const audio = make("audio");
      audio.controls = true;
      audio.preload = "none";
      audio.src = one.a;
      audio.setAttribute("aria-label", "Recording of " + one.i);
      const play = make("button", "play", "Play");
      play.type = "button";
      play.addEventListener("click", () => (audio.paused ? audio.play().catch(() => { play.textContent = "Cannot be played: the file is not there"; }) : audio.pause()));
      audio.addEventListener("play", () => { play.textContent = "Pause"; });
      audio.addEventListener("pause", () => { play.textContent = "Play"; });
      box.append(play, audio);
    }
    const all = make("div", "heads");
    heads.forEach((name, place) => {
      if (!one.h[place]) return;
      const part = make("div");
      const right = one.said[place] === one.l;
      part.append(make("h3", right ? "right" : "wrong", `${right ? "✓" : "✗"} ${name}: ${classes[one.said[place]]} (${one.r[place]} seeds right)`));
      one.h[place].forEach((share, each) => {
        const bar = make("div", each === one.l ? "bar label" : "bar");
        const field = make("i");
        const fill = make("b");
        fill.style.width = share / 10 + "%";
        field.append(fill);
        bar.append(make("span", "", classes[each]), field, make("span", "", (share / 10).toFixed(1) + " %"));
        part.append(bar);
      });
      all.append(part);
    });
    box.append(all);
    return box;
  };

  const toggle = (button, one) => {
    const opened = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!opened));
    if (opened) button.nextElementSibling.remove();
    else button.after(details(one));
  };
  const item = (one) => {
    const entry = make("li");
    const button = make("button", "row");
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.append(make("span", "id", one.i), make("span", "", classes[one.l]), make("span", "text", one.t || ""));
    const answers = make("span", "answers");
    if (heads.length <= 4) {
      one.said.forEach((said, place) => {
        if (said === null) return;
        const answer = make("span", said === one.l ? "right" : "wrong", (said === one.l ? "✓ " : "✗ ") + classes[said] + " ");
        answer.title = heads[place];
        answers.append(answer);
      });
    } else {
      const tested = one.said.filter((said) => said !== null).length;
      answers.append(make("span", one.wrong ? "wrong" : "right", `${tested - one.wrong}/${tested} right`));
    }
    button.append(answers);
    button.addEventListener("click", () => toggle(button, one));
    entry.append(button);
    return entry;
  };
  const extend = () => {
    const part = document.createDocumentFragment();
    for (const one of found.slice(shown, shown + PAGE)) part.append(item(one));
    list.append(part);
    shown = Math.min(found.length, shown + PAGE);
    more.hidden = shown >= found.length;
    more.textContent = `Show more (${(found.length - shown).toLocaleString("en")} left)`;
  };
  const refresh = () => {
    found = filtered();
    shown = 0;
    list.replaceChildren();
    box.scrollTop = 0;
    extend();
    document.getElementById("count").textContent = `${found.length.toLocaleString("en")} of ${utterances.length.toLocaleString("en")} utterances`;
  };
  const form = document.getElementById("filters");
  form.addEventListener("input", refresh);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(refresh));
  more.addEventListener("click", extend);
  const watcher = new IntersectionObserver((entries) => {
    if (!entries[entries.length - 1].isIntersecting || more.hidden) return;
    extend();
    // An observer reports changes only: looked at anew, a button that is still in sight asks for more again.
    watcher.unobserve(more);
    watcher.observe(more);
  }, { root: box, rootMargin: "600px" });
  watcher.observe(more);

  list.addEventListener("keydown", (event) => {
    const entry = event.target.closest("#list > li");
    if (!entry || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("audio")) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const next = event.key === "ArrowDown" ? entry.nextElementSibling : entry.previousElementSibling;
      if (next) next.querySelector(".row").focus();
      event.preventDefault();
    } else if (event.key === "p" || event.key === "P") {
      if (!entry.querySelector(".open")) entry.querySelector(".row").click();
      const play = entry.querySelector(".play");
      if (play) play.click();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.target.closest("input, select, textarea")) {
      field("text").focus();
      event.preventDefault();
    }
  });

  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => heading.firstElementChild.addEventListener("click", () => {
      const down = column > 0 ? heading.getAttribute("aria-sort") !== "descending" : heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => {
        // A cell over several columns stands for all of them.
        let place = 0;
        for (const cell of row.cells) {
          if (column < place + cell.colSpan) return column === 0 ? cell.textContent : cell.dataset.value === "" ? null : Number(cell.dataset.value);
          place += cell.colSpan;
        }
        return null;
      };
      const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        const order = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
        return down ? -order : order;
      });
      table.tBodies[0].append(...rows.map((pair) => pair[1]));
    }));
  }

  const theme = document.getElementById("theme");
  const dark = () => document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const sayTheme = () => theme.setAttribute("aria-pressed", String(dark()));
  theme.addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; sayTheme(); });
  sayTheme();
  refresh();
})();
