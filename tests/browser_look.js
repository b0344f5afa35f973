// Functions that measure what a page shows. Each returns plain values.

function parsed(colour) {
  const [red, green, blue, alpha = 1] = colour.match(/[\d.]+/g).map(Number);
  return {red, green, blue, alpha};
}

function over(front, back) {
  const mixed = {alpha: 1};
  for (const part of ["red", "green", "blue"]) {
    mixed[part] = front[part] * front.alpha + back[part] * (1 - front.alpha);
  }
  return mixed;
}

// WCAG 2, relative luminance.
function luminance(colour) {
  const linear = [colour.red, colour.green, colour.blue].map((value) => {
    const part = value / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

// What lies behind an element: the grounds of it and of all around it.
function groundOf(element) {
  const grounds = [];
  for (let at = element; at; at = at.parentElement) {
    grounds.push(parsed(getComputedStyle(at).backgroundColor));
  }
  return grounds.reverse().reduce((back, front) => over(front, back), {red: 255, green: 255, blue: 255, alpha: 1});
}

// What lies behind a text of a figure: the filled shapes that its centre lies on, over the ground of the page.
function groundInFigure(text) {
  const box = text.getBoundingClientRect();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  let ground = groundOf(text.closest("svg").parentElement);
  for (const shape of text.closest("svg").querySelectorAll("path")) {
    const style = getComputedStyle(shape);
    const around = shape.getBoundingClientRect();
    const holds = around.left <= x && x <= around.right && around.top <= y && y <= around.bottom;
    if (style.fill.startsWith("rgb") && holds && around.width > 4 && around.height > 4) {
      const fill = parsed(style.fill);
      fill.alpha *= Number(style.opacity) * Number(style.fillOpacity);
      ground = over(fill, ground);
    }
  }
  return ground;
}

// Texts whose contrast is below a ratio, as [ratio, text], the worst first.
function paleTexts(least) {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const words = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!words || !element.checkVisibility() || ["STYLE", "TITLE"].includes(element.tagName)) continue;
    const drawn = element.closest("svg text");
    const style = getComputedStyle(element);
    const ground = drawn ? groundInFigure(drawn) : groundOf(element);
    const ink = over(parsed(drawn ? style.fill : style.color), ground);
    const ratio = contrast(ink, ground);
    if (ratio < least) found.push([Math.round(100 * ratio) / 100, words.slice(0, 60)]);
  }
  return found.sort((one, other) => one[0] - other[0]);
}

function countTexts() {
  return document.body.innerText.split(/\s+/).length;
}

// Elements that reach beyond the right edge of the window and lie in no box that scrolls.
function overflowing() {
  const width = document.documentElement.clientWidth;
  const page = document.documentElement.scrollWidth > width ? [`page ${document.documentElement.scrollWidth}`] : [];
  const wide = [...document.querySelectorAll("main *")].filter((element) => {
    if (element.closest("pre, svg") && element.tagName !== "PRE" && element.tagName !== "svg") return false;
    if (element.closest(".scroll") && !element.matches(".scroll")) return false;
    return element.getBoundingClientRect().right > width + 1;
  });
  return [...page, ...wide.map((element) => `${element.tagName} ${element.textContent.trim().slice(0, 40)}`)];
}

// Boxes that scroll sideways but cannot be reached with the keyboard.
function unreachable() {
  return [...document.querySelectorAll("main *")]
    .filter((element) => ["auto", "scroll"].includes(getComputedStyle(element).overflowX))
    .filter((element) => element.scrollWidth > element.clientWidth + 1 && element.tabIndex !== 0)
    .map((element) => `${element.tagName}.${element.className}`);
}

function uncaptioned() {
  return [...document.querySelectorAll("table")]
    .filter((table) => !table.caption || !table.caption.textContent.trim())
    .map((table) => table.textContent.trim().slice(0, 40));
}

function brokenImages() {
  return [...document.images]
    .filter((image) => !image.complete || !image.naturalWidth || !image.alt)
    .map((image) => image.alt || image.src.slice(0, 40));
}

function angle(text) {
  const turned = /rotate\((-?[\d.]+)/.exec(text.getAttribute("transform") || "");
  return turned ? Math.abs(Number(turned[1])) : 0;
}

// Texts of figures that lie outside their figure, or on one another; texts that lean are only held against the edges.
function crowdedTexts() {
  const faults = [];
  for (const figure of document.querySelectorAll("svg")) {
    const edge = figure.getBoundingClientRect();
    const texts = [...figure.querySelectorAll("text")].filter((text) => text.textContent.trim());
    for (const text of texts) {
      const box = text.getBoundingClientRect();
      const inside = box.left >= edge.left - 2 && box.right <= edge.right + 2;
      const within = box.top >= edge.top - 2 && box.bottom <= edge.bottom + 2;
      if (!inside || !within) faults.push(`outside: ${text.textContent.trim()}`);
    }
    const level = texts.filter((text) => angle(text) < 1);
    const boxes = level.map((text) => {
      const box = text.getBoundingClientRect();
      // A line's box holds room for accents and descenders; the letters fill about two thirds of it.
      return {left: box.left, right: box.right, top: box.top + box.height / 6, bottom: box.bottom - box.height / 6};
    });
    boxes.forEach((one, first) => boxes.slice(first + 1).forEach((other, gap) => {
      const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
      if (across > 1 && down > 1) {
        faults.push(`overlap: ${level[first].textContent.trim()} / ${level[first + 1 + gap].textContent.trim()}`);
      }
    }));
  }
  return faults;
}

function levelsSkipped() {
  const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map((item) => Number(item.tagName[1]));
  return levels.filter((level, place) => place && level > levels[place - 1] + 1);
}

function bottomOfVerdict() {
  const heading = document.querySelector("h1.verdict").getBoundingClientRect();
  return [heading.top, heading.bottom, window.innerHeight];
}
