// The address says which utterance is open: it can be sent, kept and loaded again.
(() => {
  const START = "#utterance=";
  const asked = () => {
    if (!location.hash.startsWith(START)) return null;
    try {
      return browser.utterance(decodeURIComponent(location.hash.slice(START.length))) || null;
    } catch {
      return null; // half of an escaped character
    }
  };
  const show = () => {
    const one = asked();
    if (!one) return;
    // Filters may hide it, and the list is made as it is scrolled.
    if (!browser.row(one.i)) browser.filter({ text: one.i });
    while (!browser.row(one.i) && browser.extend());
    const row = browser.row(one.i);
    if (row.getAttribute("aria-expanded") !== "true") row.click();
    row.scrollIntoView({ block: "center", behavior: "instant" });
    row.focus({ preventScroll: true });
  };
  browser.onToggle((one, open) => {
    const address = START + encodeURIComponent(one.i);
    if (open) history.replaceState(null, "", address);
    else if (location.hash === address) history.replaceState(null, "", "#utterances");
  });
  addEventListener("hashchange", show);
  // Else a browser goes back to where the page was before it was loaded again, after the utterance is shown.
  if (asked()) history.scrollRestoration = "manual";
  show();
})();
