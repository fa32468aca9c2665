"use strict";
// Draw every figure in the colours of the reader's theme; draw again when the theme changes.
(function () {
  const figures = document.getElementById("figures").textContent;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const style = getComputedStyle(document.documentElement);

  function value(name) {
    return style.getPropertyValue("--" + name).trim();
  }

  function themed() {
    return JSON.parse(figures.replace(/"@(\w+)(?:\/([\d.]+))?"/g, function (_, name, opacity) {
      const colour = value(name);
      if (!opacity) return JSON.stringify(colour);
      const parts = [1, 3, 5].map(function (i) { return parseInt(colour.slice(i, i + 2), 16); });
      return JSON.stringify("rgba(" + parts.join(",") + "," + opacity + ")");
    }));
  }

  function axis(own, zeroline, ink, grid, muted) {
    return Object.assign(
      { gridcolor: grid, zeroline: zeroline, zerolinecolor: muted, linecolor: grid, ticks: "", automargin: true, fixedrange: true }, own,
      { title: Object.assign({ standoff: 8, font: { size: 11.5, color: ink } }, own.title) });
  }

  function draw() {
    const ink = value("soft");
    const muted = value("muted");
    const grid = value("grid");
    const font = { family: getComputedStyle(document.body).fontFamily, size: 11.5, color: ink };
    themed().forEach(function (panel, row) {
      panel.forEach(function (figure, column) {
        const element = document.getElementById("figure-" + row + "-" + column);
        if (!figure || !element) return;
        const layout = Object.assign({
          margin: { l: 52, r: 10, t: 6, b: 40 }, font: font, hovermode: "x unified", showlegend: true,
          paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
          hoverlabel: { bgcolor: value("paper"), bordercolor: grid, font: font },
          legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11, color: ink }, traceorder: "normal" },
        }, figure.layout);
        for (const key of Object.keys(layout)) {
          if (/^[xy]axis\d*$/.test(key)) layout[key] = axis(layout[key], key[0] === "y", ink, grid, muted);
        }
        Plotly.react(element, figure.data, layout, { displayModeBar: false, responsive: true });
      });
    });
  }

  draw();
  dark.addEventListener("change", draw);
})();
