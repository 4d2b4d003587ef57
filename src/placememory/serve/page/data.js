'use strict';

/* Where the data comes from: the service that serves the page, or what a report embeds in it.
   Columns become typed arrays; what is not known is NaN. */

const EMBEDDED = window.PLACEMEMORY || null;
const PLACES_AT_ONCE = 20000;

const KINDS = {
  // Worst first: mark, shape on the map, and words of each kind of frame.
  wrong: { mark: '\u2717', shape: 'cross', words: 'Located wrongly' },
  'off-map': { mark: '\u25b2', shape: 'up', words: 'Located off the map' },
  unknown: { mark: '\u25bd', shape: 'down', words: 'Unknown' },
  ambiguous: { mark: '\u25c7', shape: 'diamond', words: 'Ambiguous' },
  'warming-up': { mark: '\u2026', shape: 'square', words: 'Warming up' },
  alone: { mark: '?', shape: 'square', words: 'Answered alone' },
  correct: { mark: '\u2713', shape: 'circle', words: 'Correct' },
  located: { mark: '\u2713', shape: 'circle', words: 'Located' },
};
const KIND_NAMES = Object.keys(KINDS);

const token = (() => {
  if (EMBEDDED) return null;
  const address = new URL(location.href);
  const given = address.searchParams.get('token');
  if (given) {
    sessionStorage.setItem('placememory-token', given);
    address.searchParams.delete('token');
    history.replaceState(null, '', address);
  }
  return sessionStorage.getItem('placememory-token');
})();

/** What the service said is wrong. */
class ServiceError extends Error {
  constructor(status, told) {
    const id = told && told.id ? ` (${told.code}, id ${told.id})` : '';
    super(told && told.message ? told.message + id : `the service answered with ${status}`);
    this.status = status;
  }
}

function addressOf(path, query = {}) {
  const url = new URL(path.replace(/^\//, ''), document.baseURI.replace(/[?#].*/, ''));
  for (const [key, value] of Object.entries(query)) {
    if (value !== '' && value !== null && value !== undefined) url.searchParams.set(key, value);
  }
  return url;
}

async function request(path, query, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(addressOf(path, query), { ...options, headers });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ServiceError(0, { message: 'the service does not answer; is it still running?' });
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new ServiceError(response.status, body && body.error);
  return body;
}

/** Address of an image for an <img>; null where a report has left it out. */
function imageAddress(path, width) {
  if (!path) return null;
  if (EMBEDDED) return EMBEDDED.images[path.replace(/^\//, '')] || null;
  return String(addressOf(path, { width, token }));
}

const numbers = (values) => Float64Array.from(values, (v) => (v === null ? NaN : v));

function turnOf(pose) {
  if (!pose || !pose.quaternion) return NaN;
  const [x, y, z, w] = pose.quaternion;
  return Math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z));
}

/** All places, as columns in the order of the service. */
class Places {
  constructor(map, parts) {
    const join = (key) => parts.flatMap((part) => part[key]);
    this.sessions = map.sessions.map((session) => session.name);
    this.session = Uint16Array.from(join('session'));
    this.index = join('index');
    this.name = join('name');
    for (const key of ['x', 'y', 'yaw']) this[key] = numbers(join(key));
    this.count = this.index.length;
    this.rows = new Map();
    for (let row = 0; row < this.count; row += 1) {
      this.rows.set(`${this.session[row]}/${this.index[row]}`, row);
    }
  }

  rowOf(session, index) {
    const row = this.rows.get(`${this.sessions.indexOf(session)}/${index}`);
    return row === undefined ? -1 : row;
  }

  path(row) {
    const session = encodeURIComponent(this.sessions[this.session[row]]);
    return `api/places/${session}/${this.index[row]}`;
  }

  image(row, width = 320) {
    return row < 0 ? null : imageAddress(`${this.path(row)}/image`, width);
  }
}

async function loadMap() {
  if (EMBEDDED) return [EMBEDDED.map, new Places(EMBEDDED.map, [EMBEDDED.places])];
  const map = await request('api/map');
  const parts = [];
  for (let offset = 0, total = 1; offset < total;) {
    const part = await request('api/places', { offset, limit: PLACES_AT_ONCE });
    parts.push(part);
    total = part.total;
    offset += part.index.length;
    if (part.index.length === 0) break;
  }
  return [map, new Places(map, parts)];
}

/** A localised run, as columns; each frame has a kind and, where it may be drawn, a position. */
class Run {
  constructor(told) {
    Object.assign(this, { title: told.name, radius: told.radius, count: told.frames });
    const columns = told.columns;
    for (const key of ['x', 'y', 'yaw', 'hx', 'hy', 'probability', 'tx', 'ty', 'error']) {
      this[key] = numbers(columns[key]);
    }
    for (const key of ['name', 'stamp', 'verdict', 'reason', 'place', 'similarity', 'image']) {
      this[key] = columns[key];
    }
    this.kind = Uint8Array.from({ length: this.count }, (_, i) => KIND_NAMES.indexOf(
      kindOf(this.verdict[i], columns.outcome ? columns.outcome[i] : judge(this, i))));
    // Where the robot was, else where it was located; a guess is no position.
    this.px = this.x.map((x, i) => (Number.isNaN(x) ? this.tx[i] : x));
    this.py = this.y.map((y, i) => (Number.isNaN(y) ? this.ty[i] : y));
    this.located = this.x.reduce((sum, x) => sum + !Number.isNaN(x), 0);
    this.details = new Map();
  }

  kindName(i) { return KIND_NAMES[this.kind[i]]; }

  sureness(i) {
    const p = this.probability[i];
    return Number.isNaN(p) ? Math.max(0, this.similarity[i] || 0) : p;
  }

  /** Rows that fit, in time or worst first: wrong ones surest first, others least sure first. */
  select(kind, text, order) {
    const wanted = kind === 'all' ? -1 : KIND_NAMES.indexOf(kind);
    const low = text.trim().toLowerCase();
    const rows = [];
    for (let i = 0; i < this.count; i += 1) {
      if ((wanted < 0 || this.kind[i] === wanted)
        && (!low || this.name[i].toLowerCase().includes(low))) rows.push(i);
    }
    if (order === 'worst') {
      const bad = (i) => (this.kind[i] < 2 ? -this.sureness(i) : this.sureness(i));
      rows.sort((a, b) => this.kind[a] - this.kind[b] || bad(a) - bad(b) || a - b);
    }
    return rows;
  }

  path(i) { return `api/runs/${encodeURIComponent(this.title)}/frames/${i}`; }

  picture(i, width = 640) {
    return this.image[i] ? imageAddress(`${this.path(i)}/image`, width) : null;
  }

  async detail(i) {
    if (EMBEDDED) return expand(EMBEDDED.frames[i], this, i);
    if (!this.details.has(i)) {
      if (this.details.size >= 300) this.details.delete(this.details.keys().next().value);
      this.details.set(i, await request(this.path(i)));
    }
    return this.details.get(i);
  }
}

function judge(run, i) {
  if (run.verdict[i] !== null && run.verdict[i] !== 'located') return 'missed';
  if (Number.isNaN(run.error[i])) return 'not-judged';
  return run.error[i] <= run.radius ? 'correct' : 'wrong';
}

function kindOf(verdict, outcome) {
  if (outcome === 'wrong' || outcome === 'off-map') return outcome;
  if (verdict) return verdict;
  return outcome === 'correct' ? 'correct' : 'alone';
}

/** A frame of a report, which names places by their rows, as the service would tell it. */
function expand(frame, run, i) {
  const { columns } = EMBEDDED.run;
  const at = (x, y) => (Number.isNaN(x) ? null : { x, y, z: 0 });
  return {
    ...frame,
    name: run.name[i],
    verdict: run.verdict[i],
    reason: run.reason[i],
    probability: columns.probability[i],
    pose: at(run.x[i], run.y[i]),
    yaw: run.yaw[i],
    hypothesis: at(run.hx[i], run.hy[i]),
    candidates: frame.candidates.map(([row, similarity], rank) => (
      { row, similarity, rank: rank + 1 })),
    belief: frame.hypotheses && { hypotheses: frame.hypotheses.map(([row, weight, x, y, yaw]) => (
      { row, weight, position: x === null ? null : [x, y], yaw })) },
  };
}

async function loadRun(name) {
  return new Run(EMBEDDED ? EMBEDDED.run : await request(`api/runs/${encodeURIComponent(name)}`));
}
