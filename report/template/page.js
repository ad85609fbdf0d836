"use strict";
// Search, filters, the list and what is in it; the other scripts read and filter the list through what this returns.
const browser = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { classes, heads, utterances } = data;
  const PAGE = 100;
  const SIDE_BY_SIDE = 4;
  const PEAKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const field = (name) => document.getElementById("f-" + name);
  const list = document.getElementById("list");
  const box = document.getElementById("box");
  const more = document.getElementById("more");
  const listeners = [];
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
  const swatch = (head) => {
    const mark = make("i", "swatch");
    mark.style.setProperty("--head", `var(--head-${data.looks[head]})`);
    return mark;
  };
  const largest = (shares) => shares.indexOf(Math.max(...shares));
  // What `packed` of page_data.py wrote.
  const unpacked = (text) => {
    const numbers = [];
    let [value, scale] = [0, 1];
    for (const character of text) {
      const digit = PEAKS.indexOf(character);
      value += (digit % 32) * scale;
      scale *= 32;
      if (digit >= 32) continue;
      numbers.push(value % 2 ? -(value + 1) / 2 : value / 2);
      [value, scale] = [0, 1];
    }
    return numbers;
  };
  const segmentsOf = (flat, name) => {
    const found = [];
    let time = 0;
    for (let place = 0; place < flat.length; place += 3) {
      const start = time + flat[place + 1];
      time = start + flat[place + 2];
      found.push([name(flat[place]), start, time]);
    }
    return found;
  };
  const wordsOf = (one) => segmentsOf(one.w || [], (word) => word);
  const syllablesOf = (one) => segmentsOf(unpacked(one.z || ""), (number) => data.syllables[number].replaceAll("_", " "));
  const phonesOf = (one) => {
    const found = [];
    const flat = unpacked(one.f || "");
    let time = 0;
    for (let place = 0; place < flat.length; place += 2) found.push([data.phones[flat[place]], (time += flat[place + 1])]);
    return found;
  };
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
  // Heads that a row shows: all of a few, of many the chosen one.
  const listed = () => (heads.length > SIDE_BY_SIDE ? [Number(field("head").value || 0)] : heads.map((_, place) => place));
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

  const lengthOf = (one) => one.d || Math.max(1, ...wordsOf(one).map((word) => word[2]));
  const seconds = (hundredths) => (hundredths / 100).toFixed(2);
  const unitsOf = (one) => [[wordsOf, "words"], [syllablesOf, "syllables"], [phonesOf, "phones"]].filter(([of]) => of(one).length).map(([of, name]) => `${of(one).length} ${name}`).join(", ") || "no segments";
  const waveform = (one) => {
    const [width, height, middle] = [1000, 80, 40];
    const length = lengthOf(one);
    const picture = draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" });
    const at = (time) => (width * time) / length;
    picture.append(draw("title", {}, `Waveform of ${one.i}, ${seconds(length)} s, with ${unitsOf(one)}`));
    for (const [, start, end] of wordsOf(one)) picture.append(draw("rect", { class: "band", x: at(start), y: 0, width: Math.max(1, at(end) - at(start)), height }));
    const peaks = one.p || "";
    const step = width / Math.max(1, peaks.length);
    [...peaks].forEach((peak, place) => {
      const tall = Math.max(1, (PEAKS.indexOf(peak) / 63) * 76);
      picture.append(draw("rect", { class: "wave", x: place * step, y: middle - tall / 2, width: step * 0.8, height: tall }));
    });
    return picture;
  };
  // Words, syllables where a head reads them, phones and seconds on one axis with the waveform; what is too narrow to be read is in the list below.
  const track = (one) => {
    const length = lengthOf(one);
    const whole = make("div", "track");
    const lane = (name, pieces) => {
      const row = make("div", name);
      row.setAttribute("aria-hidden", "true");
      for (const [text, start, end] of pieces) {
        const piece = make("span", "", text);
        piece.style.left = (100 * start) / length + "%";
        piece.style.width = (100 * (end - start)) / length + "%";
        piece.title = `${text} ${seconds(start)}-${seconds(end)} s`;
        row.append(piece);
      }
      whole.append(row);
    };
    if (one.w) lane("words", wordsOf(one));
    whole.append(waveform(one));
    if (one.z) lane("syllables", syllablesOf(one));
    const phones = phonesOf(one);
    if (one.f) lane("phones", phones.map(([phone, start], place) => [phone, start, place + 1 < phones.length ? phones[place + 1][1] : length]));
    const step = length <= 300 ? 50 : length <= 1000 ? 100 : 500;
    const row = make("div", "times");
    row.setAttribute("aria-hidden", "true");
    for (let time = 0; time < length; time += step) {
      const tick = make("span", "", time / 100 + " s");
      tick.style.left = (100 * time) / length + "%";
      row.append(tick);
    }
    whole.append(row);
    return whole;
  };
  const segments = (one) => {
    const words = make("p", "small", "Words (s): ");
    words.append(wordsOf(one).map(([word, start, end]) => `${word} ${seconds(start)}-${seconds(end)}`).join(" · "));
    return words;
  };
  // A line that moves with the recording; a click plays from there.
  const follow = (audio, whole, length) => {
    const line = make("i");
    whole.append(line);
    audio.addEventListener("timeupdate", () => { line.style.left = (10000 * audio.currentTime) / length + "%"; });
    whole.addEventListener("click", (event) => {
      const frame = whole.getBoundingClientRect();
      audio.currentTime = (length / 100) * ((event.clientX - frame.left) / frame.width);
      audio.play().catch(() => {});
    });
  };

  const linkTo = (one) => {
    const link = make("a", "link", "Link to this utterance");
    link.href = "#utterance=" + encodeURIComponent(one.i);
    return link;
  };
  const details = (one) => {
    const box = make("div", "open");
    box.append(make("p", "said", one.t === undefined ? "(no transcript at hand)" : one.t));
    const about = [["session", one.s], ["speaker", one.k], ["style", one.y], ["length", one.d === undefined ? "" : seconds(one.d) + " s"], ["label", classes[one.l] + " (bold below)"]];
    const told = make("p", "small", about.filter((pair) => pair[1]).map((pair) => pair.join(" ")).join(", ") + ". ");
    told.append(linkTo(one));
    box.append(told);
    const whole = one.p || one.w ? track(one) : null;
    if (whole) box.append(whole);
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
      const sound = make("div", "sound");
      sound.append(play, audio);
      box.append(sound);
      if (whole) follow(audio, whole, lengthOf(one));
    }
    const all = make("div", "heads");
    heads.forEach((name, place) => {
      if (!one.h[place]) return;
      const part = make("div");
      const right = one.said[place] === one.l;
      part.style.setProperty("--head", `var(--head-${data.looks[place]})`);
      const title = make("h3", right ? "right" : "wrong");
      title.append(swatch(place), `${right ? "✓" : "✗"} ${name}: ${classes[one.said[place]]}`);
      part.append(title);
      part.append(make("p", "small", `${one.r[place]} seeds right`));
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
    for (const told of listeners) told(one, !opened);
  };
  const item = (one) => {
    const entry = make("li");
    entry.dataset.id = one.i;
    const button = make("button", "row columns");
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.append(make("span", "id", one.i), make("span", "", classes[one.l]), make("span", "text", one.t || ""));
    const answers = make("span", "answers");
    for (const place of listed()) {
      const said = one.said[place];
      const right = said === one.l;
      const text = said === null ? "-" : `${right ? "✓" : "✗"} ${classes[said]} ${Math.round(one.h[place][said] / 10)} %`;
      const answer = make("span", said === null ? "" : right ? "right" : "wrong", text);
      answer.title = heads[place];
      answers.append(answer);
    }
    if (heads.length > SIDE_BY_SIDE) {
      const tested = one.said.filter((said) => said !== null).length;
      answers.append(make("span", "", `${tested - one.wrong} of ${tested} right`));
    }
    button.append(answers);
    button.addEventListener("click", () => toggle(button, one));
    entry.append(button);
    return entry;
  };
  const nameColumns = () => {
    const names = document.getElementById("names");
    const answers = make("span", "answers");
    for (const place of listed()) {
      const name = make("span", "name");
      name.append(swatch(place), heads[place]);
      name.title = heads[place];
      answers.append(name);
    }
    if (heads.length > SIDE_BY_SIDE) answers.append(make("span", "", "all heads"));
    box.style.setProperty("--heads", answers.childElementCount);
    names.replaceChildren(make("span", "", "utterance"), make("span", "", "label"), make("span", "text", "transcript"), answers);
    names.hidden = heads.length === 0;
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
    nameColumns();
    list.replaceChildren();
    box.scrollTop = 0;
    extend();
    document.getElementById("count").textContent = `${found.length.toLocaleString("en")} of ${utterances.length.toLocaleString("en")} utterances`;
  };
  const form = document.getElementById("filters");
  form.addEventListener("input", refresh);
  form.addEventListener("submit", (event) => event.preventDefault());
  // Fields have their first values only after the event.
  const afterReset = () => setTimeout(refresh);
  form.addEventListener("reset", afterReset);
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

  refresh();

  return {
    data,
    make,
    swatch,
    found: () => found,
    // Make the next rows; false where all are made.
    extend: () => shown < found.length && (extend(), true),
    utterance: (id) => utterances.find((one) => one.i === id),
    // The listed row of an utterance, if it is among those made so far.
    row: (id) => [...list.children].find((entry) => entry.dataset.id === id)?.querySelector(".row"),
    // Only these filters are set afterwards.
    filter: (values) => {
      // Made anew once, with the values: later it would close what is opened now.
      form.removeEventListener("reset", afterReset);
      form.reset();
      form.addEventListener("reset", afterReset);
      for (const name in values) field(name).value = values[name];
      refresh();
    },
    // Called with an utterance and whether it is open now.
    onToggle: (told) => listeners.push(told),
  };
})();
