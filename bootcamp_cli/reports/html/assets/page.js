"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  for (const each of document.querySelectorAll(".without-script")) each.remove();

  // Charts: colours are names of CSS variables, resolved each time that the theme changes.

  const charts = JSON.parse(document.getElementById("chart-data").textContent);
  const color = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();

  const resolved = (value) => {
    if (Array.isArray(value)) return value.map(resolved);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, child]) =>
      [key, key === "color" && typeof child === "string" ? color(child) : resolved(child)]));
  };

  const axis = (own) => ({
    gridcolor: color("line"), linecolor: color("line"), zerolinecolor: color("line"), tickcolor: color("line"),
    automargin: true, fixedrange: true, ...own, title: { text: "", standoff: 8, ...(own || {}).title },
  });

  const draw = (element, width) => {
    const { traces, layout, height } = charts[element.dataset.chart];
    const isNarrow = (width || element.clientWidth) < 560;
    const theme = {
      ...resolved(layout),
      height,
      ...(width ? { width, autosize: false } : { autosize: true }),
      xaxis: axis(layout.xaxis),
      yaxis: axis(layout.yaxis),
      margin: { l: 8, r: 12, t: 8, b: 52, ...layout.margin },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: isNarrow ? 11 : 12, color: color("ink") },
      hoverlabel: { bgcolor: color("raised"), bordercolor: color("line"), font: { color: color("ink") }, align: "left" },
      legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", traceorder: "normal", ...layout.legend },
      dragmode: false,
    };
    if (isNarrow && theme.yaxis.ticktext) {
      theme.yaxis.ticktext = theme.yaxis.ticktext.map((text, at) => (layout.narrow || [])[at] || text);
    }
    delete theme.narrow;
    element.style.height = height + "px";
    return Plotly.react(element, resolved(traces), theme, { displayModeBar: false, responsive: !width, showTips: false });
  };

  const elements = [...document.querySelectorAll("[data-chart]")];
  const drawAll = (width) => Promise.all(elements.map((element) => draw(element, width)));
  drawAll().then(() => root.setAttribute("data-ready", ""));
  dark.addEventListener("change", () => drawAll());
  addEventListener("beforeprint", () => { root.setAttribute("data-print", ""); drawAll(680); });
  addEventListener("afterprint", () => { root.removeAttribute("data-print"); drawAll(); });

  // Tables: sorted by the buttons in their heads, filtered by a text.

  const sorted = (rows, at, sign) => {
    const key = (row) => {
      const cell = row.cells[at];
      if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
      return cell.classList.contains("number") ? null : cell.textContent;
    };
    const compared = (a, b) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en"));
    };
    return rows.map((row) => [key(row), row]).sort((a, b) => compared(a[0], b[0])).map((entry) => entry[1]);
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, at) => {
      if (!head.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = head.classList.contains("number") ? "descending" : "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const wanted = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", wanted);
        body.append(...sorted([...body.rows], at, wanted === "ascending" ? 1 : -1));
      });
    });
  }

  for (const input of document.querySelectorAll("[data-filters]")) {
    const field = input.closest(".filter");
    const body = document.getElementById(input.dataset.filters).tBodies[0];
    const output = field.querySelector("output");
    field.hidden = false;
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let n = 0;
      for (const row of body.rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        n += !row.hidden;
      }
      output.textContent = words.length ? `${n} of ${body.rows.length} rows; totals are of all` : "";
    });
  }

  // Links to folds open them.

  const openTarget = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    for (let fold = target; fold; fold = fold.parentElement) if (fold.tagName === "DETAILS") fold.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", openTarget);
  openTarget();
})();
