// Draws each chart over its still picture, in the theme that the reader prefers.
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map(); // figure -> what vega-embed returned

async function draw(figure) {
  const { light, dark: night, datasets } = JSON.parse(
    figure.querySelector("script").textContent,
  );
  const place = figure.querySelector(".live") ?? document.createElement("div");
  place.className = "live";
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", figure.querySelector(".still").alt);
  figure.prepend(place);
  figure.classList.add("drawn"); // now, since the place must have a width
  drawn.get(figure)?.finalize();
  try {
    const result = await vegaEmbed(
      place,
      { ...(dark.matches ? night : light), datasets },
      {
        mode: "vega-lite",
        renderer: "svg",
        actions: { export: true, source: false, compiled: false, editor: false },
        tooltip: { theme: dark.matches ? "dark" : "light" },
      },
    );
    drawn.set(figure, result);
  } catch (error) {
    figure.classList.remove("drawn"); // the still picture stands
    place.remove();
    console.error(error);
  }
}

// charts are drawn when they come near the window, and again in the other theme
const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) {
        near.unobserve(target);
        draw(target);
      }
    }
  },
  { rootMargin: "600px" },
);

document.querySelectorAll("figure.chart").forEach((figure) => near.observe(figure));
dark.addEventListener("change", () => [...drawn.keys()].forEach(draw));
