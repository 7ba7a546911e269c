// Small matrices, as arrays of rows.
export const multiply = (a, b) => a.map((row) => b[0].map((_, j) => row.reduce((sum, x, k) => sum + x * b[k][j], 0)));
export const transposed = (a) => a[0].map((_, j) => a.map((row) => row[j]));
export const linear = (affine) => affine.slice(0, 3).map((row) => row.slice(0, 3));
export const columnLengths = (m) => transposed(m).map((column) => Math.hypot(...column));
export const identity = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]];

export function inverse(m) {
  const n = m.length, a = m.map((row, i) => [...row, ...row.map((_, j) => +(i === j))]);
  for (let i = 0; i < n; i++) {
    let p = i;
    for (let k = i; k < n; k++) if (Math.abs(a[k][i]) > Math.abs(a[p][i])) p = k;
    [a[i], a[p]] = [a[p], a[i]];
    const pivot = a[i][i];
    for (let j = 0; j < 2 * n; j++) a[i][j] /= pivot;
    for (let k = 0; k < n; k++) {
      const factor = k === i ? 0 : a[k][i];
      if (factor) for (let j = 0; j < 2 * n; j++) a[k][j] -= factor * a[i][j];
    }
  }
  return a.map((row) => row.slice(n));
}

export function determinant(m) {
  const [[a, b, c], [d, e, f], [g, h, i]] = m;
  return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
}

// The lower triangle whose product with its transpose is a positive definite matrix.
export function cholesky(g) {
  const l = g.map((row) => row.map(() => 0));
  for (let i = 0; i < g.length; i++)
    for (let j = 0; j <= i; j++) {
      let sum = g[i][j];
      for (let k = 0; k < j; k++) sum -= l[i][k] * l[j][k];
      l[i][j] = i === j ? Math.sqrt(sum) : sum / l[j][j];
    }
  return l;
}
