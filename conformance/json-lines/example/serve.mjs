// An implementation in JavaScript, served over JSON lines: sdpo-ref verify --cmd 'node serve.mjs' --level 1
// The arithmetic of one token is in ../../vectors/example/divergence.mjs. Needs Node 18 or newer, and no package.
import { createInterface } from "node:readline";
import { divergence, logSumExp } from "../../vectors/example/divergence.mjs";

const SUPPORTS = ["full", "top_k_tail", "top_k_renormalized"];
const HELLO = {
  protocol: 1,
  name: "JavaScript example",
  profile: "paper",
  precision: "float64",
  capabilities: [
    ...["divergence", "divergence.top_k_tail", "divergence.top_k_renormalized"],
    ...["loss", "loss.top_k_tail", "loss.top_k_renormalized", "loss.temperature", "loss.half"],
    "loss.denominator",
  ],
};

class Unsupported extends Error {}

/** Rows along the last axis, and back again. */
function rows({ shape, data }) {
  const width = shape[shape.length - 1];
  return Array.from({ length: data.length / width }, (_, row) => data.slice(row * width, (row + 1) * width));
}
const float64 = (shape, data) => ({ dtype: "float64", shape, data });

function offered(support) {
  if (!SUPPORTS.includes(support.kind)) throw new Unsupported(`support ${support.kind}`);
  return support;
}

const OPS = {
  hello: ({ protocol }) => {
    if (protocol !== HELLO.protocol) throw new RangeError(`protocol ${protocol}; this program supports ${HELLO.protocol}`);
    return HELLO;
  },

  divergence: ({ arguments: { student_log_probs: student, teacher_log_probs: teacher, alpha, support } }) => {
    const teachers = rows(teacher);
    const found = rows(student).map((row, i) => divergence(row, teachers[i], { alpha, support: offered(support) }));
    return {
      value: float64(student.shape.slice(0, -1), found.map((token) => token.value)),
      gradient: float64(student.shape, found.flatMap((token) => token.gradient)),
    };
  },

  loss: ({ arguments: { batch, alpha, support, temperature, ratio_cap: ratioCap, denominator } }) => {
    if (ratioCap !== null) throw new Unsupported("importance weights");
    if (!(temperature > 0)) throw new RangeError(`temperature must be positive, received ${temperature}`);
    const [rollouts, time, vocab] = batch.student_logits.shape;
    const logProbs = (logits) => {
      const scaled = logits.map((logit) => logit / temperature);
      const total = logSumExp(scaled);
      return scaled.map((logit) => logit - total);
    };
    const [students, teachers] = [rows(batch.student_logits), rows(batch.teacher_logits)];
    const counts = (token) => batch.completion_mask.data[token] && batch.self_distillation_mask.data[Math.floor(token / time)];
    const counted = students.map((_, token) => token).filter(counts);
    const gradient = new Array(rollouts * time * vocab).fill(0);
    const divisor = denominator ?? counted.length; // given where the batch is a piece of a step
    let value = 0; // the mean over the tokens that count; zero if no token counts
    for (const token of counted) {
      const sides = [logProbs(students[token]), logProbs(teachers[token])];
      const found = divergence(...sides, { alpha, support: offered(support) });
      value += found.value / divisor;
      found.gradient.forEach((slope, i) => {
        gradient[token * vocab + i] = slope / temperature / divisor;
      });
    }
    return { value: float64([], [value]), gradient: float64(batch.student_logits.shape, gradient) };
  },
};

// JSON has no infinities and no NaN, so both sides write them as text.
const SPECIAL = { inf: Infinity, "-inf": -Infinity, nan: NaN };
const read = (line) => JSON.parse(line, (_, value) => (Object.hasOwn(SPECIAL, value) ? SPECIAL[value] : value));
const spell = (number) => (Number.isNaN(number) ? "nan" : number > 0 ? "inf" : "-inf");
const write = (answer) =>
  JSON.stringify(answer, (_, value) => (typeof value === "number" && !Number.isFinite(value) ? spell(value) : value));

function reply(request) {
  if (!Object.hasOwn(OPS, request.op)) return { unsupported: request.op };
  try {
    return { result: OPS[request.op](request) };
  } catch (error) {
    if (error instanceof Unsupported) return { unsupported: error.message };
    if (error instanceof RangeError) return { error: error.message };
    throw error; // a fault of this program: let it end, its standard error says where
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = read(line);
  process.stdout.write(`${write({ id: request.id, ...reply(request) })}\n`);
}
