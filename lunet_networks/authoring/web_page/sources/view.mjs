// Three planes of an image and its labels on canvases, or one of a picture.
import { toRAS } from './grids.mjs';
import { columnLengths, linear } from './matrices.mjs';

// Along the picture, up, and through, as axes of the patient; letters at the left and the top edge. Seen as radiologists
// see it: from the feet, from the front, and with the front at the left.
const PLANES = [
  { name: 'axial', axes: [0, 1, 2], edges: 'RA', mirrored: true },
  { name: 'coronal', axes: [0, 2, 1], edges: 'RS', mirrored: true },
  { name: 'sagittal', axes: [1, 2, 0], edges: 'AS', mirrored: true },
];
const PICTURE = [{ name: '', axes: [0, 1, 2], edges: '', mirrored: false }];
const within = (x, n) => Math.max(0, Math.min(n - 1, Math.floor(x)));

function element(name, properties = {}, children = []) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// host: an element that takes the planes. colours: [red, green, blue] of each label, from label 1 on.
export function createView(host, colours) {
  let image, ras, labels, place, frames = [];
  const state = { low: 0, high: 1, opacity: 0.5, hidden: new Set() };

  function frame(plane) {
    const [across, up, through] = plane.axes;
    const canvas = element('canvas', { tabIndex: 0 });
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', `${plane.name || 'picture'}: arrow keys move the slice`);
    const lines = [element('i', { className: 'line across', hidden: !plane.name }), element('i', { className: 'line up', hidden: !plane.name })];
    const box = element('div', { className: 'box' }, [canvas, ...lines]);
    if (plane.edges) box.append(element('b', { className: 'left', textContent: plane.edges[0] }), element('b', { className: 'top', textContent: plane.edges[1] }));
    const slider = element('input', { type: 'range', min: 0, max: ras.size[through] - 1, step: 1 });
    const number = element('output');
    slider.setAttribute('aria-label', `${plane.name} slice`);
    const move = (axis, to) => { place[axis] = within(to, ras.size[axis]); draw(); };
    slider.oninput = () => move(through, +slider.value);
    const point = (event) => {
      const { left, top, width, height } = canvas.getBoundingClientRect();
      const share = (event.clientX - left) / width;
      place[across] = within((plane.mirrored ? 1 - share : share) * ras.size[across], ras.size[across]);
      move(up, (1 - (event.clientY - top) / height) * ras.size[up]);
    };
    canvas.onpointerdown = (event) => { canvas.setPointerCapture(event.pointerId); point(event); };
    canvas.onpointermove = (event) => { if (event.buttons) point(event); };
    canvas.onwheel = (event) => { if (ras.size[through] > 1) { event.preventDefault(); move(through, place[through] + Math.sign(event.deltaY)); } };
    canvas.onkeydown = (event) => {
      const step = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 }[event.key];
      if (step) { event.preventDefault(); move(through, place[through] + step); }
    };
    const caption = element('figcaption', {}, plane.name ? [element('span', { textContent: plane.name }), slider, number] : []);
    const figure = element('figure', {}, [box, caption]);
    return { figure, box, draw: () => drawPlane(plane, canvas, lines, slider, number) };
  }

  function drawPlane({ axes: [across, up, through], mirrored }, canvas, [vertical, horizontal], slider, number) {
    const width = ras.size[across], height = ras.size[up];
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext('2d'), pixels = context.createImageData(width, height), out = pixels.data;
    const span = state.high - state.low || 1, size = labels0(), channels = image.picture ? image.channels : 1;
    for (let j = 0; j < height; j++)
      for (let i = 0; i < width; i++) {
        const x = mirrored ? width - 1 - i : i;
        const v = ras.start + x * ras.step[across] + (height - 1 - j) * ras.step[up] + place[through] * ras.step[through];
        const at = 4 * (j * width + i), label = labels && !state.hidden.has(labels[v]) ? labels[v] : 0;
        const share = label ? state.opacity : 0, colour = label ? colours[label - 1] : [0, 0, 0];
        for (let c = 0; c < 3; c++) {
          const value = image.data[v + (channels > 1 ? c * size : 0)];
          out[at + c] = 255 * Math.min(Math.max((value - state.low) / span, 0), 1) * (1 - share) + colour[c] * share;
        }
        out[at + 3] = 255;
      }
    context.putImageData(pixels, 0, 0);
    const part = (axis) => (place[axis] + 0.5) / ras.size[axis];
    vertical.style.left = `${100 * (mirrored ? 1 - part(across) : part(across))}%`;
    horizontal.style.top = `${100 * (1 - part(up))}%`;
    slider.value = place[through];
    number.textContent = `${place[through] + 1} / ${ras.size[through]}`;
  }

  const labels0 = () => image.data.length / image.channels;
  function draw() {
    for (const each of frames) each.draw();
  }

  return {
    // The image of a file; its window of grey values is chosen by its percentiles.
    show(next, flat) {
      image = next;
      labels = null;
      ras = toRAS(image);
      place = ras.size.map((n) => n >> 1);
      const zoom = columnLengths(linear(ras.affine)), planes = flat ? PICTURE : PLANES;
      frames = planes.map(frame);
      const extent = ras.size.map((n, k) => n * zoom[k]);
      planes.forEach(({ axes: [across, up] }, k) => {
        const ratio = extent[across] / extent[up];
        Object.assign(frames[k].box.style, { aspectRatio: `${ratio}`, width: `min(100%, ${78 * ratio}vh)` });
      });
      host.replaceChildren(...frames.map((each) => each.figure));
      const some = Float32Array.from({ length: 20000 }, (_, k) => image.data[Math.floor((k * labels0()) / 20000)]).sort();
      const [least, greatest] = [some[0], some[19999]], low = image.picture ? 0 : some[200];
      const range = image.picture && greatest <= 255 ? { least: 0, greatest: 255, low, high: 255 } : { least: Math.min(least, low), greatest, low, high: some[19799] };
      Object.assign(state, { low: range.low, high: range.high, hidden: new Set() });
      draw();
      return range;
    },
    // Its labels; the planes move to the middle of what is labelled.
    overlay(next) {
      labels = next;
      const sums = [0, 0, 0];
      let n = 0;
      for (let i = 0; i < ras.size[0]; i++) for (let j = 0; j < ras.size[1]; j++) for (let k = 0; k < ras.size[2]; k++)
        if (labels[ras.start + i * ras.step[0] + j * ras.step[1] + k * ras.step[2]]) { sums[0] += i; sums[1] += j; sums[2] += k; n++; }
      if (n) place = sums.map((sum) => Math.round(sum / n));
      draw();
    },
    set(changes) {
      Object.assign(state, changes);
      if (image) draw();
    },
    hide(label, hidden) {
      if (hidden) state.hidden.add(label);
      else state.hidden.delete(label);
      draw();
    },
    clear() {
      image = labels = ras = null;
      frames = [];
      host.replaceChildren();
    },
  };
}
