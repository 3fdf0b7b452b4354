// The divergence of one token in plain JavaScript: value in nats, and gradient with respect to the student's logits.
// `student` and `teacher` are lists of log-probabilities over the vocabulary; -Infinity is a token without mass.

/** KL(p || q). The terms q - p - p log(q / p) add up to the same as p log(p / q), and none of them is negative. */
function kl(p, q) {
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    const ratio = q[i] - p[i];
    if (p[i] === -Infinity) sum += Math.exp(q[i]);
    else if (ratio === -Infinity) return Infinity;
    else if (ratio < 8) sum += Math.exp(p[i]) * (Math.expm1(ratio) - ratio);
    else sum += Math.exp(q[i]) - Math.exp(p[i]) * (1 + ratio);
  }
  return sum;
}

/** log(sum of exponentials), also of nothing and of -Infinity only. */
export function logSumExp(values) {
  const largest = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (largest === -Infinity) return -Infinity;
  return largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}

/** Which tokens make which cell: every token its own, or the k most likely ones and, with a tail, one for the rest. */
function cellsOf(logProbs, { kind, k }) {
  const ids = logProbs.map((_, id) => id);
  if (kind === "full" || (kind === "top_k_tail" && k >= ids.length)) return ids.map((id) => [id]);
  ids.sort((a, b) => logProbs[b] - logProbs[a] || a - b);
  const head = ids.slice(0, k).map((id) => [id]);
  return kind === "top_k_tail" ? [...head, ids.slice(k)] : head;
}

function massOf(logProbs, cells, { kind }) {
  const masses = cells.map((tokens) => logSumExp(tokens.map((id) => logProbs[id])));
  const total = kind === "top_k_renormalized" ? logSumExp(masses) : 0;
  return masses.map((mass) => mass - total);
}

/** Derivative of the divergence of distributions over cells with respect to the logits behind the student's. */
function slope(student, teacher, mixture, alpha) {
  if (alpha === 0) return student.map((p, i) => Math.exp(p) - Math.exp(teacher[i]));
  const other = alpha === 1 ? teacher : mixture;
  const mean = kl(student, other);
  const weight = alpha === 1 ? 1 : 1 - alpha;
  return student.map((p, i) => (p === -Infinity ? 0 : weight * Math.exp(p) * (p - other[i] - mean)));
}

export function divergence(student, teacher, { alpha, support, topKFrom = "student" }) {
  if (!(alpha >= 0 && alpha <= 1)) throw new RangeError(`alpha must lie in [0, 1], received ${alpha}`);
  const cells = cellsOf(topKFrom === "student" ? student : teacher, support);
  const [s, t] = [student, teacher].map((side) => massOf(side, cells, support));
  const mixture = s.map((p, i) => logSumExp([p + Math.log1p(-alpha), t[i] + Math.log(alpha)]));
  const ends = alpha === 0 ? kl(t, s) : kl(s, t);
  const value = alpha === 0 || alpha === 1 ? ends : (1 - alpha) * kl(s, mixture) + alpha * kl(t, mixture);
  const gradient = student.map(() => 0);
  const slopes = slope(s, t, mixture, alpha);
  cells.forEach((tokens, cell) => {
    const mass = logSumExp(tokens.map((id) => student[id]));
    for (const id of tokens) if (student[id] !== -Infinity) gradient[id] = slopes[cell] * Math.exp(student[id] - mass);
  });
  return { value, gradient };
}
