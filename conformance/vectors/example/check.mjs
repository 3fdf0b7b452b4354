// Compares divergence.mjs with the golden vectors: node check.mjs. Needs Node 18 or newer, and no package.
import { readFileSync } from "node:fs";
import { divergence } from "./divergence.mjs";

const vectors = new URL("../", import.meta.url);

/** A safetensors file: the header's length as 8 little-endian bytes, a JSON header, then the numbers, little-endian. */
function readTensors(url) {
  const file = readFileSync(url);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const readers = {
    F64: [8, (at) => file.readDoubleLE(at)],
    F32: [4, (at) => file.readFloatLE(at)],
    I64: [8, (at) => Number(file.readBigInt64LE(at))],
    BOOL: [1, (at) => file.readUInt8(at) !== 0],
  };
  const tensors = {};
  for (const [name, entry] of Object.entries(JSON.parse(file.toString("utf8", 8, start)))) {
    if (name === "__metadata__") continue;
    const [size, read] = readers[entry.dtype];
    const [first, end] = entry.data_offsets;
    const data = Array.from({ length: (end - first) / size }, (_, i) => read(start + first + i * size));
    tensors[name] = { shape: entry.shape, data };
  }
  return tensors;
}

/** The rows of a matrix; the last axis is the fastest. */
function rows({ shape, data }) {
  const width = shape[shape.length - 1];
  return Array.from({ length: data.length / width }, (_, row) => data.slice(row * width, (row + 1) * width));
}

/** An infinite expectation needs the same infinity; NaN never passes. */
function agrees(got, expected, { relative, absolute }) {
  if (!Number.isFinite(expected)) return got === expected;
  return Math.abs(got - expected) <= absolute + relative * Math.abs(expected);
}

/** What our function answers to a case, under the names that the case uses. */
function answer({ options }, inputs) {
  const teacher = rows(inputs.teacher_log_probs);
  const { alpha, support: kind, k, top_k_from: topKFrom } = options;
  const found = rows(inputs.student_log_probs).map((student, row) =>
    divergence(student, teacher[row], { alpha, support: { kind, k }, topKFrom }),
  );
  return { value: found.map((row) => row.value), gradient: found.flatMap((row) => row.gradient) };
}

const tensors = readTensors(new URL("divergence.safetensors", vectors));
const cases = JSON.parse(readFileSync(new URL("divergence.json", vectors), "utf8"));
let passed = 0;
for (const one of cases) {
  const inputs = Object.fromEntries(Object.entries(one.inputs).map(([name, key]) => [name, tensors[key]]));
  const got = answer(one, inputs);
  const wrong = Object.entries(one.expected).filter(
    ([name, key]) => !tensors[key].data.every((number, i) => agrees(got[name][i], number, one.tolerance)),
  );
  if (wrong.length === 0) {
    passed += 1;
    continue;
  }
  const [name, key] = wrong[0];
  const near = (known) =>
    known.expected === name && known.value.every((number, i) => agrees(got[name][i], number, one.tolerance));
  console.log(`${one.id} (${one.requirements.join(", ")}): ${one.comment}`);
  console.log(`  ${name}: expected ${tensors[key].data}, got ${got[name]}`);
  console.log(`  this catches: ${one.bug}`);
  console.log(`  in training:  ${one.effect}`);
  for (const known of one.known_wrong.filter(near)) console.log(`  looks like:   ${known.looks_like}`);
}
console.log(`divergence: ${passed}/${cases.length}`);
process.exit(passed === cases.length ? 0 : 1);
