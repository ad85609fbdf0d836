// What each head takes for what, in numbers that are those of the list: a cell filters it.
(() => {
  const { data, make, swatch } = browser;
  const place = document.getElementById("matrices");
  if (!place) return;
  const { classes, heads, utterances } = data;
  const countsOf = (head) => {
    const counts = classes.map(() => classes.map(() => 0));
    for (const one of utterances) if (one.said[head] !== null) counts[one.l][one.said[head]] += 1;
    return counts;
  };
  const list = (head, label, prediction) => {
    browser.filter({ head, label, prediction });
    document.getElementById("utterances").scrollIntoView();
    document.getElementById("box").focus({ preventScroll: true });
  };
  const cell = (head, label, prediction, count, size) => {
    const button = make("button", "", count.toLocaleString("en"));
    const share = size ? count / size : 0;
    const percent = `${Math.round(100 * share)} %`;
    button.type = "button";
    button.style.setProperty("--share", share.toFixed(3));
    button.append(make("span", "", percent));
    button.setAttribute("aria-label", `label ${classes[label]}, prediction ${classes[prediction]}: ${count} utterances, ${percent}. Show them`);
    button.addEventListener("click", () => list(head, label, prediction));
    const entry = make("td");
    entry.append(button);
    return entry;
  };
  const heading = (scope, name) => {
    const found = make("th", "", name);
    found.scope = scope;
    return found;
  };
  heads.forEach((name, head) => {
    const table = make("table");
    table.style.setProperty("--classes", classes.length);
    table.style.setProperty("--head", `var(--head-${data.looks[head]})`);
    const caption = table.createCaption();
    caption.append(swatch(head), name);
    const top = table.createTHead().insertRow();
    top.append(make("td"), ...classes.map((each) => heading("col", each)));
    const body = table.createTBody();
    countsOf(head).forEach((counts, label) => {
      const size = counts.reduce((sum, count) => sum + count, 0);
      body.insertRow().append(heading("row", classes[label]), ...counts.map((count, prediction) => cell(head, label, prediction, count, size)));
    });
    const box = make("div");
    box.append(table);
    place.append(box);
  });
})();
