// From logits to labels: probabilities, the most probable label, the largest component of each.
const f = Math.fround;

export function softmax(x, outputs, voxels) {
  for (let v = 0; v < voxels; v++) {
    let top = -Infinity, total = 0;
    for (let o = 0; o < outputs; o++) top = Math.max(top, x[o * voxels + v]);
    for (let o = 0; o < outputs; o++) {
      const e = f(Math.exp(f(x[o * voxels + v] - top)));
      x[o * voxels + v] = e;
      total = f(total + e);
    }
    for (let o = 0; o < outputs; o++) x[o * voxels + v] /= total;
  }
}

export function sigmoid(x) {
  for (let v = 0; v < x.length; v++) x[v] = 1 / (1 + Math.exp(-x[v]));
}

const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))); // log(1 + e^x)
const logOfSum = (a, b) => Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));

// The mean of the probabilities of two logits, as logits, in place of the first.
export function averaged(first, second, outputs, voxels) {
  if (outputs === 1) {
    for (let v = 0; v < voxels; v++) {
      const yes = logOfSum(f(-softplus(-first[v])), f(-softplus(-second[v])));
      first[v] = f(yes) - f(logOfSum(f(-softplus(first[v])), f(-softplus(second[v]))));
    }
    return;
  }
  const logNorm = (x, v) => {
    let top = -Infinity, total = 0;
    for (let o = 0; o < outputs; o++) top = Math.max(top, x[o * voxels + v]);
    for (let o = 0; o < outputs; o++) total += Math.exp(x[o * voxels + v] - top);
    return top + Math.log(total);
  };
  for (let v = 0; v < voxels; v++) {
    const a = logNorm(first, v), b = logNorm(second, v);
    for (let o = 0; o < outputs; o++) first[o * voxels + v] = logOfSum(first[o * voxels + v] - a, second[o * voxels + v] - b);
  }
}

// The most probable output at a place; value(o) is its probability. Of a single one whether it is at least 1/2.
export function mostProbable(value, outputs) {
  if (outputs === 1) return +(value(0) >= 0.5);
  let best = 0, top = value(0);
  for (let o = 1; o < outputs; o++) {
    const x = value(o);
    if (x > top) { top = x; best = o; }
  }
  return best;
}

// Sets all but the largest component of each label to 0; voxels that share a corner are connected.
export function keepLargest(labels, [w, h, d]) {
  const seen = new Uint8Array(labels.length), components = new Map();
  for (let start = 0; start < labels.length; start++) {
    const label = labels[start];
    if (!label || seen[start]) continue;
    const members = component(labels, seen, start, [w, h, d]);
    const lastFastest = (v) => ((v % w) * h + (Math.floor(v / w) % h)) * d + Math.floor(v / w / h);
    const first = members.reduce((least, v) => Math.min(least, lastFastest(v)), Infinity); // of equal ones this decides
    const kept = components.get(label);
    const better = !kept || members.length > kept.members.length || (members.length === kept.members.length && first < kept.first);
    for (const v of better ? kept?.members ?? [] : members) labels[v] = 0;
    if (better) components.set(label, { members, first });
  }
}

function component(labels, seen, start, [w, h, d]) {
  const members = [start];
  seen[start] = 1;
  for (let k = 0; k < members.length; k++) {
    const v = members[k], x = v % w, y = Math.floor(v / w) % h, z = Math.floor(v / w / h);
    for (let c = Math.max(0, z - 1); c <= Math.min(d - 1, z + 1); c++)
      for (let b = Math.max(0, y - 1); b <= Math.min(h - 1, y + 1); b++)
        for (let a = Math.max(0, x - 1); a <= Math.min(w - 1, x + 1); a++) {
          const other = (c * h + b) * w + a;
          if (!seen[other] && labels[other] === labels[start]) { seen[other] = 1; members.push(other); }
        }
  }
  return members;
}

// Voxels of each label, 0 is the background.
export function counts(labels, number) {
  const found = Array(number).fill(0);
  for (const label of labels) found[label]++;
  return found;
}
