// What hands do on the pair: point, press, drag, pinch, turn the wheel, and the same by keyboard.

import { inside, toPlace } from "./geometry.js";

const SLOP = 4; // pixels that a press may move and still be a press
const STEP = 0.03; // of a photograph that an arrow key moves a marked place

export function watchHands(view) {
  const { drawing } = view;
  const touches = new Map();
  let press = null;

  const at = (event) => {
    const box = drawing.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const sideAt = (point) => [0, 1].find((side) => inside(point, view.geometry.panes[side]) && !(view.options.blink && side !== view.shown));
  const linkOf = (event) => Number(event.target.closest?.(".link, .plate")?.dataset.rank) || null;

  drawing.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const point = at(event);
    touches.set(event.pointerId, point);
    press = { point, last: point, side: sideAt(point), link: linkOf(event), moved: false };
    if (touches.size === 2) press = { ...press, pinch: spread(touches), moved: true };
  });

  drawing.addEventListener("pointermove", (event) => {
    const point = at(event);
    if (!touches.has(event.pointerId)) {
      view.hover(linkOf(event));
      return;
    }
    touches.set(event.pointerId, point);
    if (!press || press.side === undefined) return;
    if (touches.size === 2 && press.pinch) {
      const now = spread(touches);
      view.zoom(press.side, now / press.pinch, middle(touches));
      press.pinch = now;
      return;
    }
    if (!press.moved && Math.hypot(point[0] - press.point[0], point[1] - press.point[1]) < SLOP) return;
    press.moved = true;
    if (view.looks[press.side].zoom <= 1) return;
    if (!drawing.hasPointerCapture(event.pointerId)) drawing.setPointerCapture(event.pointerId);
    view.moving = true;
    view.pan(press.side, point[0] - press.last[0], point[1] - press.last[1]);
    press.last = point;
  });

  const release = (event) => {
    touches.delete(event.pointerId);
    if (touches.size) return;
    view.moving = false;
    if (press && !press.moved && event.type === "pointerup") pressed(view, press);
    press = null;
    view.paint();
  };
  drawing.addEventListener("pointerup", release);
  drawing.addEventListener("pointercancel", release);
  drawing.addEventListener("pointerleave", () => view.hover(null));

  drawing.addEventListener("dblclick", (event) => {
    const point = at(event);
    const side = sideAt(point);
    if (side === undefined || linkOf(event)) return;
    if (view.looks[side].zoom > 1) view.fit();
    else view.zoom(side, 3, point);
  });

  drawing.addEventListener("wheel", (event) => {
    const point = at(event);
    const side = sideAt(point);
    if (side === undefined) return;
    const out = event.deltaY > 0;
    if (out && view.looks[side].zoom <= 1) return; // the page may scroll on
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 24 : 1;
    view.zoom(side, Math.exp(-Math.max(-120, Math.min(120, event.deltaY * lines)) / 450), point);
  }, { passive: false });

  drawing.addEventListener("focusin", (event) => view.hover(linkOf(event)));
  drawing.addEventListener("focusout", () => view.hover(null));
  drawing.addEventListener("keydown", (event) => keyed(view, event, linkOf(event)));
}

function pressed(view, press) {
  if (press.link) {
    view.choose(view.chosen === press.link ? null : press.link);
  } else if (press.side !== undefined && !view.options.blink) {
    view.probe.set(toPlace(press.point, view.geometry.panes[press.side], view.looks[press.side]), press.side);
  }
}

function keyed(view, event, link) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const pane = event.target.closest?.(".pane");
  const taken = () => { event.preventDefault(); event.stopPropagation(); };
  if (link && (event.key === "Enter" || event.key === " ")) {
    taken();
    view.choose(view.chosen === link ? null : link);
  } else if (event.key === "Escape" && (view.chosen || view.probe.at)) {
    taken();
    view.choose(null);
    view.probe.set(null);
  } else if (pane && (event.key === "Enter" || event.key === " ")) {
    taken();
    const side = Number(pane.dataset.side);
    view.probe.set([view.looks[side].x, view.looks[side].y], side);
  } else if (pane && view.probe.at && event.key.startsWith("Arrow")) {
    const side = Number(pane.dataset.side);
    if (view.probe.at.side !== side) return;
    taken();
    const [x, y] = view.probe.at.place;
    const [down, across] = view.job?.has_partners ? view.grid[side].map((cells) => 1 / cells) : [STEP, STEP].map((step) => step / view.looks[side].zoom);
    const moves = { ArrowLeft: [-across, 0], ArrowRight: [across, 0], ArrowUp: [0, -down], ArrowDown: [0, down] };
    const [dx, dy] = moves[event.key];
    view.probe.set([x + dx, y + dy], side);
  }
}

function spread(touches) {
  const [a, b] = [...touches.values()];
  return Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1]));
}

function middle(touches) {
  const [a, b] = [...touches.values()];
  return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
}
