// What is filtered as a table for other programs, made here: nothing is sent or fetched.
(() => {
  const { data } = browser;
  const { classes, heads } = data;
  // A spreadsheet would take text that begins like this for a formula; as in mer's own CSV files.
  const FORMULA = /^\s*[=+\-@]/;
  const cell = (value) => {
    if (value === undefined || value === null) return "";
    if (typeof value === "number") return String(value);
    const text = FORMULA.test(value) ? "'" + value : value;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const percent = (share) => share / 10;
  const ofHead = (one, head) => {
    const shares = one.h[head];
    if (!shares) return ["", "", ...classes.map(() => "")];
    return [classes[one.said[head]], one.r[head].split("/")[0] * 1, ...shares.map(percent)];
  };
  const names = ["id", "label", "session", "speaker", "style", "seconds", "transcript"];
  for (const name of heads) names.push(`${name}: prediction`, `${name}: seeds right`, ...classes.map((each) => `${name}: ${each} %`));
  const line = (one) => [one.i, classes[one.l], one.s, one.k, one.y, one.d === undefined ? "" : one.d / 100, one.t, ...heads.flatMap((_, head) => ofHead(one, head))];
  const table = () => [names, ...browser.found().map(line)].map((cells) => cells.map(cell).join(",")).join("\n") + "\n";
  document.getElementById("download").addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
    const link = document.createElement("a");
    link.href = address;
    link.download = "utterances.csv";
    link.click();
    URL.revokeObjectURL(address);
  });
})();
