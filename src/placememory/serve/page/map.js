'use strict';

/* The two canvases: the map in metres, and the timeline of a run. Both draw only what is visible,
   once a display frame, whatever the number of places and frames. */

const SESSION_COLOURS = ['#0072b2', '#d98e00', '#009e73', '#cc79a7', '#7a4fa3', '#d55e00', '#56b4e9',
  '#8a7a00'];
const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`)
  .trim();
const bytesOf = (colour) => {
  const digits = colour.length === 4 ? colour.replace(/[^#]/g, '$&$&') : colour;
  return [1, 3, 5].map((at) => parseInt(digits.slice(at, at + 2), 16));
};

/** Add a sign of radius r to a path. */
function sign(path, shape, x, y, r) {
  if (shape === 'circle') { path.moveTo(x + r, y); path.arc(x, y, r, 0, 2 * Math.PI); return; }
  const corners = {
    square: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
    diamond: [[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]],
    up: [[0, -1.2], [1.2, 1], [-1.2, 1]],
    down: [[0, 1.2], [1.2, -1], [-1.2, -1]],
    cross: [[-1.3, -0.8], [-0.8, -1.3], [0, -0.5], [0.8, -1.3], [1.3, -0.8], [0.5, 0], [1.3, 0.8],
      [0.8, 1.3], [0, 0.5], [-0.8, 1.3], [-1.3, 0.8], [-0.5, 0]],
  }[shape];
  corners.forEach(([a, b], i) => path[i ? 'lineTo' : 'moveTo'](x + a * r, y + b * r));
  path.closePath();
}

/** A drawn sign to copy, which is much faster than thousands of paths. */
const stamps = new Map();
function stampOf(shape, r, colour, outline, ratio) {
  const key = [shape, r, colour, outline, ratio].join();
  if (!stamps.has(key)) {
    if (stamps.size > 200) stamps.clear();
    const size = Math.ceil(2.8 * r + 4);
    const sheet = new OffscreenCanvas(size * ratio, size * ratio);
    const c = sheet.getContext('2d');
    c.scale(ratio, ratio);
    c.beginPath();
    sign(c, shape, size / 2, size / 2, r);
    c.fillStyle = colour;
    c.fill();
    if (outline) { c.strokeStyle = outline; c.lineWidth = 0.7; c.stroke(); }
    stamps.set(key, { sheet, size });
  }
  return stamps.get(key);
}

/** A canvas of the size of its element, drawn at the next display frame after it is touched. */
class Canvas {
  constructor(element) {
    this.element = element;
    this.context = element.getContext('2d');
    this.waiting = false;
    new ResizeObserver(() => this.resize()).observe(element);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.recolour());
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !height) return;
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    [this.width, this.height] = [width, height];
    this.element.width = Math.round(width * this.ratio);
    this.element.height = Math.round(height * this.ratio);
    this.draw();
  }

  recolour() { this.touch(); }

  touch() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  draw() {
    if (!this.width) return;
    this.context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.context.clearRect(0, 0, this.width, this.height);
    this.paint(this.context);
  }
}

/** The map: x to the right and y up, in metres. What is on it are this object's properties. */
class MapView extends Canvas {
  constructor(element, onPick) {
    super(element);
    Object.assign(this, { onPick, x: 0, y: 0, scale: 20, places: null, run: null, rows: null });
    Object.assign(this, { answer: null, heat: null, trail: [], bySession: false, coverage: null });
    Object.assign(this, { fitted: true, hidden: new Set(), withHypotheses: false, place: -1, frame: -1 });
    this.fingers = new Map();
    this.listen();
  }

  /* ---- the view ---- */

  resize() {
    super.resize();
    if (this.fitted && this.width) this.fit();  // what is beside the map may take its room
  }

  across(x) { return (x - this.x) * this.scale + this.width / 2; }

  down(y) { return (this.y - y) * this.scale + this.height / 2; }

  toMap(px, py) {
    return [this.x + (px - this.width / 2) / this.scale,
      this.y - (py - this.height / 2) / this.scale];
  }

  fit() {
    this.fitted = true;
    if (!this.width) return;  // when it has a size
    const low = [Infinity, Infinity];
    const high = [-Infinity, -Infinity];
    const add = (x, y) => {
      if (Number.isNaN(x) || Number.isNaN(y)) return;
      low[0] = Math.min(low[0], x); high[0] = Math.max(high[0], x);
      low[1] = Math.min(low[1], y); high[1] = Math.max(high[1], y);
    };
    if (this.places) for (let i = 0; i < this.places.count; i += 1) add(this.places.x[i], this.places.y[i]);
    if (this.run) for (let i = 0; i < this.run.count; i += 1) add(this.run.px[i], this.run.py[i]);
    if (low[0] === Infinity && this.ground) this.groundCorners().forEach(([x, y]) => add(x, y));
    if (low[0] === Infinity) { add(-5, -5); add(5, 5); }
    this.x = (low[0] + high[0]) / 2;
    this.y = (low[1] + high[1]) / 2;
    const margin = 40;
    this.scale = Math.min((this.width - 2 * margin) / Math.max(high[0] - low[0], 2),
      (this.height - 2 * margin) / Math.max(high[1] - low[1], 2));
    this.scale = Math.max(this.scale, 1e-4);
    this.touch();
  }

  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const [x, y] = this.toMap(px, py);
    this.fitted = false;
    this.scale = Math.min(2000, Math.max(1e-4, this.scale * factor));
    this.x = x - (px - this.width / 2) / this.scale;
    this.y = y + (py - this.height / 2) / this.scale;
    this.touch();
  }

  move(dx, dy) {
    this.fitted = false;
    this.x -= dx / this.scale;
    this.y += dy / this.scale;
    this.touch();
  }

  /** Bring a point into view, if it is not. */
  show(x, y) {
    if (!this.width || Number.isNaN(x) || Number.isNaN(y)) return;
    const [px, py] = [this.across(x), this.down(y)];
    const inside = px > 20 && py > 20 && px < this.width - 20 && py < this.height - 20;
    if (!inside) [this.x, this.y, this.fitted] = [x, y, false];
    this.touch(inside);
  }

  listen() {
    const { element } = this;
    const at = (event) => {
      const box = element.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    element.addEventListener('wheel', (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...at(event));
    }, { passive: false });
    element.addEventListener('pointerdown', (event) => {
      element.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, at(event));
      this.dragged = this.fingers.size > 1;
      this.start = at(event);
    });
    element.addEventListener('pointermove', (event) => {
      const last = this.fingers.get(event.pointerId);
      if (!last) return;
      const now = at(event);
      const other = [...this.fingers].find(([id]) => id !== event.pointerId);
      if (other) {
        const apart = (a) => Math.max(10, Math.hypot(a[0] - other[1][0], a[1] - other[1][1]));
        this.zoom(apart(now) / apart(last), (now[0] + other[1][0]) / 2, (now[1] + other[1][1]) / 2);
      }
      if (Math.hypot(now[0] - this.start[0], now[1] - this.start[1]) > 5) this.dragged = true;
      if (this.dragged) {
        element.classList.add('moving');
        const share = other ? 2 : 1;
        this.move((now[0] - last[0]) / share, (now[1] - last[1]) / share);
      }
      this.fingers.set(event.pointerId, now);
    });
    const end = (event) => {
      if (!this.fingers.delete(event.pointerId)) return;
      element.classList.remove('moving');
      if (event.type === 'pointerup' && !this.dragged) this.pick(...at(event));
    };
    element.addEventListener('pointerup', end);
    element.addEventListener('pointercancel', end);
    element.addEventListener('keydown', (event) => {
      const keys = {
        ArrowLeft: () => this.move(60, 0), ArrowRight: () => this.move(-60, 0),
        ArrowUp: () => this.move(0, 60), ArrowDown: () => this.move(0, -60),
        '+': () => this.zoom(1.4), '=': () => this.zoom(1.4), '-': () => this.zoom(1 / 1.4),
        0: () => this.fit(), Enter: () => this.pick(this.width / 2, this.height / 2, Infinity),
      };
      const does = event.ctrlKey || event.metaKey || event.altKey ? null : keys[event.key];
      if (does) { event.preventDefault(); does(); }
    });
  }

  /** Nearest frame, else nearest place, within some pixels. */
  pick(px, py, within = 14) {
    const nearest = (xs, ys, rows, skip) => {
      let [best, least] = [-1, within * within];
      const count = rows ? rows.length : xs.length;
      for (let k = 0; k < count; k += 1) {
        const i = rows ? rows[k] : k;
        const far = (this.across(xs[i]) - px) ** 2 + (this.down(ys[i]) - py) ** 2;
        if (far < least && !(skip && skip(i))) [best, least] = [i, far];
      }
      return [best, least];
    };
    const [frame, far] = this.run ? nearest(this.run.px, this.run.py, this.rows) : [-1, Infinity];
    const hidden = (i) => this.hidden.has(this.places.session[i]);
    const [place, further] = this.places
      ? nearest(this.places.x, this.places.y, null, hidden) : [-1, Infinity];
    if (frame >= 0 && (far <= further + 16 || place < 0)) this.onPick('frame', frame);
    else if (place >= 0) this.onPick('place', place);
  }

  /* ---- the ground ---- */

  /** Take the image of the map; pixel row 0 is the top, the origin its lower left corner. */
  setGround(image, told) {
    const shrink = Math.min(1, 4096 / Math.max(image.naturalWidth, image.naturalHeight));
    const width = Math.max(1, Math.round(image.naturalWidth * shrink));
    const height = Math.max(1, Math.round(image.naturalHeight * shrink));
    const sheet = new OffscreenCanvas(width, height);
    const context = sheet.getContext('2d', { willReadFrequently: true });
    context.drawImage(image, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const light = new Uint8Array(width * height);
    for (let i = 0; i < light.length; i += 1) light[i] = data[4 * i];
    const [x, y, yaw] = told.origin;
    const size = [told.width * told.resolution, told.height * told.resolution];
    this.ground = { sheet, light, width, height, x, y, yaw, size };
    this.recolour();
  }

  groundCorners() {
    const { x, y, yaw, size } = this.ground;
    return [[0, 0], [size[0], 0], [0, size[1]], size].map(([u, v]) => (
      [x + Math.cos(yaw) * u - Math.sin(yaw) * v, y + Math.sin(yaw) * u + Math.cos(yaw) * v]));
  }

  recolour() {
    if (this.ground) {
      const { sheet, light, width, height } = this.ground;
      const [free, wall, sheetColour] = ['ground', 'wall', 'sheet'].map((n) => bytesOf(colourOf(n)));
      const image = new ImageData(width, height);
      for (let i = 0; i < light.length; i += 1) {
        // White is free, black a wall, and the grey of map_saver the sheet that all lies on.
        const share = light[i] / 255;
        const [a, b, t] = share > 0.8 ? [sheetColour, free, (share - 0.8) / 0.2]
          : [wall, sheetColour, share / 0.8];
        for (let c = 0; c < 3; c += 1) image.data[4 * i + c] = a[c] + (b[c] - a[c]) * t;
        image.data[4 * i + 3] = 255;
      }
      sheet.getContext('2d').putImageData(image, 0, 0);
    }
    if (this.coverage) this.colourCoverage();
    this.touch();
  }

  /** Whether the map is free at a point; null where there is no map. */
  isFree(x, y) {
    if (!this.ground) return null;
    const { light, width, height, yaw, size } = this.ground;
    const [dx, dy] = [x - this.ground.x, y - this.ground.y];
    const u = Math.floor((Math.cos(yaw) * dx + Math.sin(yaw) * dy) / size[0] * width);
    const v = Math.floor((1 - (-Math.sin(yaw) * dx + Math.cos(yaw) * dy) / size[1]) * height);
    return u >= 0 && v >= 0 && u < width && v < height && light[v * width + u] > 230;
  }

  /** Where a place of the shown sessions is within reach: area, and share of the free map. */
  cover(reach) {
    const { places, hidden } = this;
    const used = [];
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    const add = (x, y) => {
      x0 = Math.min(x0, x); x1 = Math.max(x1, x); y0 = Math.min(y0, y); y1 = Math.max(y1, y);
    };
    for (let i = 0; i < places.count; i += 1) {
      if (!Number.isNaN(places.x[i]) && !hidden.has(places.session[i])) {
        used.push(i);
        add(places.x[i], places.y[i]);
      }
    }
    this.coverage = null;
    this.touch();
    if (!used.length || !(reach > 0)) return null;
    x0 -= reach; y0 -= reach; x1 += reach; y1 += reach;
    if (this.ground) this.groundCorners().forEach(([x, y]) => add(x, y));
    const cell = Math.max(reach / 6, (x1 - x0) / 1200, (y1 - y0) / 1200);
    const width = Math.ceil((x1 - x0) / cell);
    const height = Math.ceil((y1 - y0) / cell);
    const by = new Uint8Array(width * height);  // sessions that see a cell
    const last = new Int32Array(width * height).fill(-1);
    used.sort((a, b) => places.session[a] - places.session[b]);
    const span = Math.ceil(reach / cell);
    for (const i of used) {
      const u = Math.floor((places.x[i] - x0) / cell);
      const v = Math.floor((places.y[i] - y0) / cell);
      for (let b = Math.max(0, v - span); b <= Math.min(height - 1, v + span); b += 1) {
        for (let a = Math.max(0, u - span); a <= Math.min(width - 1, u + span); a += 1) {
          const far = Math.hypot(x0 + (a + 0.5) * cell - places.x[i],
            y0 + (b + 0.5) * cell - places.y[i]);
          const k = b * width + a;
          if (far <= reach && last[k] !== places.session[i]) {
            last[k] = places.session[i];
            by[k] += by[k] < 255;
          }
        }
      }
    }
    let [seen, free, both, twice] = [0, 0, 0, 0];
    for (let k = 0; k < by.length; k += 1) {
      seen += by[k] > 0;
      twice += by[k] > 1;
      if (this.ground && this.isFree(x0 + ((k % width) + 0.5) * cell,
        y0 + (Math.floor(k / width) + 0.5) * cell)) { free += 1; both += by[k] > 0; }
    }
    this.coverage = { by, width, height, x: x0, y: y0, cell, twice: twice > 0 };
    this.colourCoverage();
    return { area: seen * cell * cell, share: free ? both / free : null,
      twice: seen ? twice / seen : 0 };
  }

  colourCoverage() {
    const { by, width, height } = this.coverage;
    const [once, more] = ['cover', 'cover-more'].map((name) => bytesOf(colourOf(name)));
    const image = new ImageData(width, height);
    for (let k = 0; k < by.length; k += 1) {
      if (!by[k]) continue;
      const pixel = 4 * ((height - 1 - Math.floor(k / width)) * width + (k % width));
      image.data.set(by[k] > 1 ? more : once, pixel);
      image.data[pixel + 3] = by[k] > 1 ? 120 : 80;
    }
    this.coverage.sheet = new OffscreenCanvas(width, height);
    this.coverage.sheet.getContext('2d').putImageData(image, 0, 0);
  }

  /* ---- drawing ---- */

  /** Draw at the next display frame; where only the answer has changed, the rest is copied. */
  touch(onlyAnswer = false) {
    if (!onlyAnswer) this.stale = true;
    super.touch();
  }

  paint(c) {
    const { width, height } = this.element;
    if (this.stale || !this.base || this.base.width !== width || this.base.height !== height) {
      this.base = new OffscreenCanvas(width, height);
      const below = this.base.getContext('2d');
      below.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      this.signs = [];
      this.paintGround(below);
      this.paintCoverage(below);
      this.paintPlaces(below);
      this.paintRun(below);
      this.paintScale(below);
      this.below = this.signs;
      this.stale = false;
    }
    this.signs = [...this.below];
    c.drawImage(this.base, 0, 0, this.width, this.height);
    this.paintHeat(c);
    this.paintAnswer(c);
    if (this.onDraw) this.onDraw(this.signs);
  }

  stamp(c, stamp, x, y) {
    c.drawImage(stamp.sheet, this.across(x) - stamp.size / 2, this.down(y) - stamp.size / 2,
      stamp.size, stamp.size);
  }

  paintGround(c) {
    if (!this.ground) return;
    const { sheet, x, y, yaw, size } = this.ground;
    c.save();
    c.translate(this.across(x), this.down(y));
    c.rotate(-yaw);
    c.imageSmoothingEnabled = size[0] * this.scale < 2 * sheet.width;
    c.drawImage(sheet, 0, -size[1] * this.scale, size[0] * this.scale, size[1] * this.scale);
    c.restore();
  }

  paintCoverage(c) {
    if (!this.coverage || !this.coverage.shown) return;
    const { sheet, x, y, width, height, cell } = this.coverage;
    const tall = height * cell * this.scale;
    c.drawImage(sheet, this.across(x), this.down(y) - tall, width * cell * this.scale, tall);
    this.signs.push(['area', colourOf('cover'), 'covered by one session']);
    if (this.coverage.twice) this.signs.push(['area', colourOf('cover-more'), 'by several']);
  }

  /** Rows whose points are visible, one of those that fall on the same few pixels. */
  visible(xs, ys, rows, grain, skip) {
    const wide = Math.ceil(this.width / grain) + 2;
    const taken = new Uint8Array(wide * (Math.ceil(this.height / grain) + 2));
    const found = [];
    const count = rows ? rows.length : xs.length;
    for (let k = 0; k < count; k += 1) {
      const i = rows ? rows[k] : k;
      const px = this.across(xs[i]);
      const py = this.down(ys[i]);
      if (!(px > -grain && py > -grain && px < this.width + grain && py < this.height + grain)) {
        continue;
      }
      if (skip && skip(i)) continue;
      const at = (Math.floor(py / grain) + 1) * wide + Math.floor(px / grain) + 1;
      if (!taken[at]) { taken[at] = 1; found.push(i); }
    }
    return found;
  }

  paintPlaces(c) {
    const { places, hidden } = this;
    if (!places) return;
    const rows = this.visible(places.x, places.y, null, 2, (i) => hidden.has(places.session[i]));
    const r = Math.round(2 * Math.min(5, Math.max(2, this.scale / 9))) / 2;
    const turned = rows.length < 500 && this.scale > 12;
    const used = new Map();
    for (const i of rows) {
      const key = this.bySession ? places.session[i] : -1;
      if (!used.has(key)) {
        const colour = key < 0 ? colourOf('place') : SESSION_COLOURS[key % SESSION_COLOURS.length];
        used.set(key, stampOf('circle', r, colour, null, this.ratio));
        this.signs.push(['circle', colour,
          key < 0 ? 'place in the memory' : `places of ${places.sessions[key]}`]);
      }
      this.stamp(c, used.get(key), places.x[i], places.y[i]);
    }
    if (turned) {
      const path = new Path2D();
      for (const i of rows) {
        if (Number.isNaN(places.yaw[i])) continue;
        const [px, py] = [this.across(places.x[i]), this.down(places.y[i])];
        path.moveTo(px, py);
        path.lineTo(px + 2.6 * r * Math.cos(places.yaw[i]), py - 2.6 * r * Math.sin(places.yaw[i]));
      }
      c.strokeStyle = colourOf('edge');
      c.lineWidth = 1.2;
      c.stroke(path);
    }
    if (this.place >= 0 && !Number.isNaN(places.x[this.place])) {
      this.ring(c, places.x[this.place], places.y[this.place], 9, colourOf('accent'), []);
      this.signs.push(['ring', colourOf('accent'), 'chosen place']);
    }
    this.drawnPlaces = rows.length;
  }

  paintHeat(c) {
    if (!this.heat || !this.places) return;
    const most = Math.max(...this.heat.map((pair) => pair[1]), 1e-9);
    c.fillStyle = colourOf('heat');
    for (const [row, p] of this.heat) {
      const [px, py] = [this.across(this.places.x[row]), this.down(this.places.y[row])];
      if (Number.isNaN(px)) continue;
      c.globalAlpha = 0.12 + 0.75 * Math.sqrt(p / most);
      c.beginPath();
      c.arc(px, py, 6 + 9 * Math.sqrt(p / most), 0, 2 * Math.PI);
      c.fill();
    }
    c.globalAlpha = 1;
    this.signs.push(['circle', colourOf('heat'), 'belief: stronger is likelier']);
    if (this.trail.length) {
      c.strokeStyle = colourOf('located');
      c.lineWidth = 2;
      c.beginPath();
      this.trail.forEach((p, i) => {
        if (p) c[i && this.trail[i - 1] ? 'lineTo' : 'moveTo'](this.across(p[0]), this.down(p[1]));
      });
      c.stroke();
      this.signs.push(['line', colourOf('located'), 'where it was located']);
    }
  }

  paintRun(c) {
    const { run } = this;
    if (!run) return;
    const path = new Path2D();
    let [px, py, drawn] = [NaN, NaN, false];
    for (let i = 0; i < run.count; i += 1) {
      const [x, y] = [this.across(run.tx[i]), this.down(run.ty[i])];
      if (Math.abs(x - px) < 3 && Math.abs(y - py) < 3) continue;
      if (!Number.isNaN(x)) path[Number.isNaN(px) ? 'moveTo' : 'lineTo'](x, y);
      [px, py] = [x, y];
      drawn = drawn || !Number.isNaN(x);
    }
    if (drawn) {
      c.strokeStyle = colourOf('edge');
      c.lineWidth = 1;
      c.stroke(path);
      this.signs.push(['line', colourOf('edge'), 'true path']);
    }
    const errors = new Path2D();
    const groups = new Map();
    const grain = this.rows.length > 2000 ? 3 : 0.5;
    let wrong = 0;
    for (const i of this.visible(run.px, run.py, this.rows, grain)) {
      const kind = run.kind[i];
      if (!groups.has(kind)) groups.set(kind, []);
      groups.get(kind).push(i);
      if (kind < 2 && !Number.isNaN(run.tx[i]) && !Number.isNaN(run.x[i])) {
        errors.moveTo(this.across(run.tx[i]), this.down(run.ty[i]));
        errors.lineTo(this.across(run.px[i]), this.down(run.py[i]));
        wrong += 1;
      }
    }
    c.strokeStyle = colourOf('wrong');
    c.lineWidth = 1.2;
    c.stroke(errors);
    this.drawnFrames = 0;
    for (const kind of [...groups.keys()].sort((a, b) => b - a)) {
      const name = KIND_NAMES[kind];
      const colour = this.kindColour(name);
      const stamp = stampOf(KINDS[name].shape, 4.5, colour, colourOf('card'), this.ratio);
      for (const i of groups.get(kind)) this.stamp(c, stamp, run.px[i], run.py[i]);
      this.drawnFrames += groups.get(kind).length;
      const where = name === 'located' || kind < 2 ? '' : ', at its true position';
      this.signs.push([KINDS[name].shape, colour, KINDS[name].words.toLowerCase() + where]);
    }
    if (wrong) this.signs.push(['line', colourOf('wrong'), 'from the truth to a wrong answer']);
    if (this.withHypotheses) {
      const rings = this.visible(run.hx, run.hy, this.rows, grain, (i) => !Number.isNaN(run.x[i]));
      for (const i of rings) this.ring(c, run.hx[i], run.hy[i], 5, this.kindColour(run.kindName(i)), [2, 2], 1.2);
      if (rings.length) this.signs.push(['dashed', colourOf('unknown'), 'hypothesis, not trusted']);
    }
  }

  kindColour(name) {
    return colourOf({ correct: 'located', alone: 'warming-up' }[name] || name);
  }

  ring(c, x, y, r, colour, dashes, wide = 2) {
    c.save();
    c.setLineDash(dashes);
    c.strokeStyle = colour;
    c.lineWidth = wide;
    c.beginPath();
    c.arc(this.across(x), this.down(y), r, 0, 2 * Math.PI);
    c.stroke();
    c.restore();
  }

  label(c, text, px, py, colour) {
    c.font = '600 12px system-ui, "DejaVu Sans", sans-serif';
    c.lineWidth = 3;
    c.strokeStyle = colourOf('card');
    c.strokeText(text, px, py);
    c.fillStyle = colour;
    c.fillText(text, px, py);
  }

  /** The answer that is looked at: pose with its ellipse, hypotheses hollow, candidates numbered. */
  paintAnswer(c) {
    const { answer } = this;
    if (!answer) return;
    const ink = colourOf('ink');
    answer.candidates.slice(0, 6).forEach((candidate) => {
      if (Number.isNaN(candidate.x)) return;
      const [px, py] = [this.across(candidate.x), this.down(candidate.y)];
      const r = candidate.rank === this.candidate ? 11 : 8;
      c.beginPath();
      c.arc(px, py, r, 0, 2 * Math.PI);
      c.fillStyle = colourOf('card');
      c.fill();
      c.strokeStyle = colourOf('query');
      c.lineWidth = candidate.rank === this.candidate ? 3 : 1.5;
      c.stroke();
      c.font = '600 11px system-ui, "DejaVu Sans", sans-serif';
      c.textAlign = 'center';
      c.textBaseline = 'middle';
      c.fillStyle = ink;
      c.fillText(String(candidate.rank), px, py + 0.5);
      c.textAlign = 'left';
      c.textBaseline = 'alphabetic';
    });
    if (answer.candidates.some((candidate) => !Number.isNaN(candidate.x))) {
      this.signs.push(['ring', colourOf('query'), 'candidate and its rank']);
    }
    const hollow = answer.pose ? answer.hypotheses.slice(1) : answer.hypotheses;
    c.font = '600 12px system-ui, "DejaVu Sans", sans-serif';
    for (const guess of hollow) {
      if (Number.isNaN(guess.x)) continue;
      this.ring(c, guess.x, guess.y, 13, colourOf('heat'), [4, 3]);
      const text = `hypothesis ${guess.weight.toFixed(2)}`;
      const px = this.across(guess.x);
      const left = px + 120 > this.width;
      this.label(c, text, left ? px - 16 - c.measureText(text).width : px + 16,
        this.down(guess.y) + 4, ink);
    }
    if (hollow.length) this.signs.push(['dashed', colourOf('heat'), 'hypothesis, not trusted']);
    if (answer.truth) {
      const [px, py] = [this.across(answer.truth.x), this.down(answer.truth.y)];
      c.strokeStyle = ink;
      c.lineWidth = 2;
      c.beginPath();
      c.moveTo(px - 8, py); c.lineTo(px + 8, py); c.moveTo(px, py - 8); c.lineTo(px, py + 8);
      if (answer.pose) { c.moveTo(px, py); c.lineTo(this.across(answer.pose.x), this.down(answer.pose.y)); }
      c.stroke();
      this.signs.push(['plus', ink, 'true position']);
    }
    if (!answer.pose) return;
    const { x, y, yaw } = answer.pose;
    const [px, py] = [this.across(x), this.down(y)];
    const colour = this.kindColour(answer.kind);
    if (answer.ellipse) {
      const [a, b, turn] = answer.ellipse;
      c.beginPath();
      c.ellipse(px, py, Math.max(2, a * this.scale), Math.max(2, b * this.scale), -turn, 0, 2 * Math.PI);
      c.globalAlpha = 0.22;
      c.fillStyle = colour;
      c.fill();
      c.globalAlpha = 1;
      c.strokeStyle = colour;
      c.lineWidth = 1.2;
      c.stroke();
      this.signs.push(['area', colour, '95 % of its covariance']);
    }
    c.fillStyle = colour;
    c.strokeStyle = ink;
    c.lineWidth = 1.5;
    c.beginPath();
    if (Number.isNaN(yaw)) c.arc(px, py, 8, 0, 2 * Math.PI);
    else {
      [[15, 0], [-9, 9], [-4, 0], [-9, -9]].forEach(([u, v], i) => c[i ? 'lineTo' : 'moveTo'](
        px + u * Math.cos(yaw) + v * Math.sin(yaw), py - u * Math.sin(yaw) + v * Math.cos(yaw)));
    }
    c.closePath();
    c.fill();
    c.stroke();
    this.signs.push(['arrow', colour, 'the pose that is given']);
  }

  paintScale(c) {
    if (!this.places) return;
    const wanted = 90 / this.scale;
    const ten = 10 ** Math.floor(Math.log10(wanted));
    const metres = [5, 2, 1].map((m) => m * ten).find((m) => m <= wanted) || ten;
    const length = metres * this.scale;
    const [x, y] = [this.width - 16 - length, this.height - 14];
    c.strokeStyle = colourOf('ink');
    c.lineWidth = 1.5;
    c.beginPath();
    c.moveTo(x, y - 5); c.lineTo(x, y); c.lineTo(x + length, y); c.lineTo(x + length, y - 5);
    c.stroke();
    this.label(c, metres >= 1000 ? `${metres / 1000} km` : `${Number(metres.toPrecision(1))} m`,
      x + 4, y - 5, colourOf('ink'));
  }
}

/** The timeline: how sure each frame is, coloured by its kind. */
class Timeline extends Canvas {
  constructor(element, onPick) {
    super(element);
    Object.assign(this, { run: null, shown: null, frame: -1, from: 0, to: 1, onPick });
    const frameAt = (event) => {
      const box = element.getBoundingClientRect();
      return this.strongest(event.clientX - box.left);
    };
    element.addEventListener('pointerdown', (event) => {
      element.setPointerCapture(event.pointerId);
      this.onPick(frameAt(event));
    });
    element.addEventListener('pointermove', (event) => {
      if (event.buttons & 1) this.onPick(frameAt(event));
    });
    element.addEventListener('wheel', (event) => {
      event.preventDefault();
      const share = (event.clientX - element.getBoundingClientRect().left) / this.width;
      const span = this.to - this.from;
      const next = Math.min(this.run.count, Math.max(20, span * Math.exp(event.deltaY * 0.0015)));
      const slide = span * event.deltaX * 0.001;
      this.from = Math.max(0, this.from + share * (span - next) + slide);
      this.to = Math.min(this.run.count, this.from + next);
      this.from = Math.max(0, this.to - next);
      this.touch();
    }, { passive: false });
  }

  setRun(run) {
    Object.assign(this, { run, frame: -1, from: 0, to: Math.max(1, run.count) });
    this.touch();
  }

  /** Of the frames under a pixel, the worst that the filter shows. */
  strongest(px) {
    const each = (this.to - this.from) / this.width;
    const first = Math.floor(this.from + px * each);
    const last = Math.max(first + 1, Math.floor(this.from + (px + 1) * each));
    let best = -1;
    for (let i = Math.max(0, first); i < Math.min(last, this.run.count); i += 1) {
      if (this.shown && !this.shown[i]) continue;
      if (best < 0 || this.run.kind[i] < this.run.kind[best]) best = i;
    }
    return best < 0 ? Math.min(this.run.count - 1, Math.max(0, first)) : best;
  }

  paint(c) {
    const { run } = this;
    if (!run || !run.count) return;
    if (this.frame >= 0 && (this.frame < this.from || this.frame >= this.to)) {
      const span = this.to - this.from;
      this.from = Math.min(run.count - span, Math.max(0, this.frame - span / 2));
      this.to = this.from + span;
    }
    const each = this.width / (this.to - this.from);
    const floor = this.height - 14;
    const groups = new Map();
    for (let px = 0; px < this.width; px += Math.max(1, each)) {
      const i = this.strongest(px + Math.min(each / 2, 0.5));
      const dim = this.shown && !this.shown[i];
      const key = dim ? -1 : run.kind[i];
      if (!groups.has(key)) groups.set(key, new Path2D());
      const tall = 3 + (floor - 6) * run.sureness(i);
      groups.get(key).rect(px, floor - tall, Math.max(1, each > 3 ? each - 1 : each), tall);
    }
    for (const [key, path] of groups) {
      const name = KIND_NAMES[key];
      c.fillStyle = key < 0 ? colourOf('line')
        : colourOf({ correct: 'located', alone: 'warming-up' }[name] || name);
      c.fill(path);
    }
    c.strokeStyle = colourOf('line');
    c.lineWidth = 1;
    c.beginPath();
    c.moveTo(0, floor + 0.5); c.lineTo(this.width, floor + 0.5);
    c.moveTo(0, 3.5); c.lineTo(this.width, 3.5);
    c.stroke();
    c.font = '11px system-ui, "DejaVu Sans", sans-serif';
    c.fillStyle = colourOf('muted');
    c.fillText(`${Math.floor(this.from) + 1}`, 1, this.height - 2);
    c.textAlign = 'right';
    c.fillText(`${Math.ceil(this.to)}`, this.width - 1, this.height - 2);
    c.textAlign = 'center';
    c.fillText(each < 1 ? `how sure: the worst of every ${Math.round(1 / each)} frames`
      : 'how sure, frame by frame', this.width / 2, this.height - 2);
    c.textAlign = 'left';
    if (this.frame < 0) return;
    const px = (this.frame + 0.5 - this.from) * each;
    c.strokeStyle = colourOf('ink');
    c.lineWidth = 2;
    c.beginPath();
    c.moveTo(px, 0); c.lineTo(px, floor);
    c.stroke();
  }
}
