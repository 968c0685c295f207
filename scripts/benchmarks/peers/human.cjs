// What @vladmandic/human makes of a picture in Node, over the WebAssembly backend. See wire.py for the way it is asked.
// Run in the folder that holds node_modules.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { pathToFileURL } = require("node:url");

const installed = path.resolve("node_modules");
const { Human } = require(path.join(installed, "@vladmandic/human/dist/human.node-wasm.js"));

// tfjs-core without its native addon fetches models over HTTP only; they lie in the package, on this disk.
globalThis.fetch = async (url) => new Response(fs.readFileSync(new URL(url)));
// What a library prints must not be taken for an answer.
console.log = console.error;

const off = { enabled: false };
const human = new Human({
  backend: "wasm",
  wasmPath: path.join(installed, "@tensorflow/tfjs-backend-wasm/dist/"),
  modelBasePath: pathToFileURL(path.join(installed, "@vladmandic/human/models/")).href,
  debug: false,
  cacheSensitivity: 0, // or a frame would be answered with what was seen up to four seconds before
  filter: off, // it has no effect on tensors
  gesture: off,
  body: off,
  hand: off,
  object: off,
  segmentation: off,
  face: {
    enabled: true,
    // Rotation, antispoof and liveness as in the package's own demo of face identification (demo/faceid/index.ts);
    // five faces, of which the one nearest to the middle is taken, as with every contestant.
    detector: { rotation: true, maxDetected: 5 },
    mesh: { enabled: true },
    description: { enabled: true },
    antispoof: { enabled: true },
    liveness: { enabled: true },
    iris: off,
    emotion: off,
  },
});

function received(size) {
  const buffer = Buffer.alloc(size);
  for (let at = 0; at < size; ) {
    const count = fs.readSync(0, buffer, at, size - at, null);
    if (count === 0) return null;
    at += count;
  }
  return buffer;
}

function central(faces, columns, rows) {
  const offCentre = ({ box: [x, y, width, height] }) => Math.hypot(2 * x + width - columns, 2 * y + height - rows);
  return faces.reduce((best, face) => (best && offCentre(best) <= offCentre(face) ? best : face), null);
}

async function read(pixels, rows, columns) {
  const tensor = human.tf.tensor3d(pixels, [rows, columns, 3], "int32");
  try {
    const result = await human.detect(tensor);
    if (result.error) throw new Error(result.error);
    const face = central(result.face, columns, rows);
    if (!face || !face.embedding) return { vector: null, scores: {} };
    // A score of 0 is left out of the result; the demo reads it as 0.
    return { vector: face.embedding, scores: { real: face.real || 0, live: face.live || 0 } };
  } finally {
    human.tf.dispose(tensor);
  }
}

async function serve() {
  await human.load();
  const simd = await human.tf.env().getAsync("WASM_HAS_SIMD_SUPPORT");
  const threads = await human.tf.env().getAsync("WASM_HAS_MULTITHREAD_SUPPORT");
  for (let header = received(8); header; header = received(8)) {
    const [rows, columns] = [header.readUInt32LE(0), header.readUInt32LE(4)];
    const pixels = new Uint8Array(received(rows * columns * 3));
    const before = performance.now();
    const answer = await read(pixels, rows, columns);
    const ms = performance.now() - before;
    fs.writeSync(1, `${JSON.stringify({ ms, ...answer, simd, threads })}\n`);
  }
}

serve().catch((fault) => {
  console.error(String(fault.message || fault).split("\n")[0]);
  process.exit(1);
});
