import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import {
  CancelledError,
  DataError,
  DeviceError,
  DisposedError,
  DtypeError,
  ShapeError,
  UsageError,
} from "../../src/errors.js";
import type { Dtype } from "../../src/native/native.js";
import { Tensor } from "../../src/native/tensor.js";
import { NodeSession } from "../../src/onnxruntime/node-session.js";
import { onnxRuntime } from "../../src/onnxruntime/runtime.js";
import { OnnxSession } from "../../src/onnxruntime/session.js";
import { fixture, openSession, ways, withoutRuntime } from "./sessions.js";

const scratch = mkdtempSync(join(tmpdir(), "sfr-onnx-"));
after(() => rmSync(scratch, { recursive: true }));

/** What the network takes that runs for a quarter of a second or so. */
function slowTensors() {
  return { x: Tensor.zeros("f32", [640, 640]), y: Tensor.zeros("f32", [640, 640]) };
}

for (const way of ways) {
  describe(`a session through ${way === "c" ? "the C interface" : "onnxruntime-node"}`, {
    skip: withoutRuntime,
  }, () => {
    it("says what the file declares", async () => {
      using session = await openSession(fixture("affine"), way);
      assert.deepEqual(session.inputs, [{ name: "x", dtype: "f32", shape: [-1, 3] }]);
      assert.deepEqual(session.outputs, [{ name: "y", dtype: "f32", shape: [-1, 3] }]);
    });

    it("reads and writes the tensors' own memory", async () => {
      using session = await openSession(fixture("affine"), way);
      const [x, y] = [Tensor.zeros("f32", [2, 3]), Tensor.zeros("f32", [2, 3])];
      const [seen, written] = [x.f32, y.f32];
      assert.equal(session.busySeconds, 0);
      for (const first of [1, 5]) {
        const [busy, start] = [session.busySeconds, performance.now()];
        // Views made before the run; nothing is bound or copied anew by this side.
        seen.set([first, 2, 3, 4, 5, 6]);
        await session.run({ x }, { y });
        assert.deepEqual([...written], [2 * first + 1, 5, 7, 9, 11, 13]);
        assert.equal(y.f32.buffer, written.buffer);
        const [worked, passed] = [session.busySeconds - busy, (performance.now() - start) / 1000];
        assert.ok(worked > 0 && worked <= passed, `worked for ${worked} of ${passed} s`);
      }
      // Another batch size.
      const [wide, result] = [Tensor.from("f32", [1, 3], [1, 2, 3]), Tensor.zeros("f32", [1, 3])];
      await session.run({ x: wide }, { y: result });
      assert.deepEqual([...result.f32], [3, 5, 7]);
    });

    it("takes every element type that tensors have, and leaves out outputs that nobody asked for", async () => {
      using session = await openSession(fixture("types"), way);
      const values = { f32: [0.5, -1], f64: [0.1, -2], i32: [-3, 7], u8: [0, 255], u16: [1, 65535] };
      const make = (fill: boolean, end: string) =>
        Object.fromEntries(
          Object.entries(values).map(([dtype, pair]) => {
            const tensor = Tensor.zeros(dtype as Dtype, [2, 2]);
            if (fill) tensor.data.set([...pair, ...pair]);
            return [`${dtype}_${end}`, tensor];
          }),
        );
      const [inputs, outputs] = [make(true, "in"), make(false, "out")];
      await session.run(inputs, outputs);
      for (const dtype of Object.keys(values))
        assert.deepEqual(outputs[`${dtype}_out`]?.data, inputs[`${dtype}_in`]?.data);
      assert.equal(session.outputs.at(-1)?.name, "i64_out");
      const i64 = { i64_out: Tensor.zeros("i32", [2, 2]) };
      await assert.rejects(session.run(inputs, i64), DtypeError);
    });

    it("refuses wrong names, shapes and types, and runs again afterwards", async () => {
      using session = await openSession(fixture("affine"), way);
      const [x, y] = [Tensor.zeros("f32", [2, 3]), Tensor.zeros("f32", [2, 3])];
      await assert.rejects(session.run({ z: x }, { y }), DataError);
      await assert.rejects(session.run({ x, z: x }, { y }), /expected one of x for an input, received 'z'/);
      await assert.rejects(session.run({ x }, { z: y }), /expected one of y for an output, received 'z'/);
      await assert.rejects(session.run({ x: Tensor.zeros("f32", [3, 2]) }, { y }), ShapeError);
      await assert.rejects(session.run({ x: Tensor.zeros("f32", [6]) }, { y }), ShapeError);
      await assert.rejects(session.run({ x: Tensor.zeros("i32", [2, 3]) }, { y }), DtypeError);
      await assert.rejects(session.run({ x }, { y: Tensor.zeros("u8", [2, 3]) }), DtypeError);
      // Fits the declared shape, not the one that comes out: only ONNX Runtime can see that.
      await assert.rejects(session.run({ x }, { y: Tensor.zeros("f32", [1, 3]) }), DataError);
      await session.run({ x }, { y });
      assert.deepEqual([...y.f32], [1, 1, 1, 1, 1, 1]);
    });

    it("says what a network failed at while it ran", async () => {
      using session = await openSession(fixture("reshape"), way);
      const x = Tensor.from("f32", [6], [1, 2, 3, 4, 5, 6]);
      const y = Tensor.zeros("f32", [2, 3]);
      await session.run({ x, shape: Tensor.from("i32", [2], [2, 3]) }, { y });
      assert.deepEqual([...y.f32], [1, 2, 3, 4, 5, 6]);
      const wrong = { x, shape: Tensor.from("i32", [2], [4, 3]) };
      await assert.rejects(session.run(wrong, { y }), (error) => {
        assert(error instanceof DataError);
        assert.match(error.message, /reshape\.onnx: expected a network .*Reshape/);
        return true;
      });
    });

    it("survives a network that needs more memory than there is", async () => {
      using session = await openSession(fixture("ones"), way);
      const y = Tensor.zeros("f32", []);
      const run = (shape: number[]) => session.run({ shape: Tensor.from("i32", [2], shape) }, { y });
      // 4 TB.
      await assert.rejects(run([2 ** 20, 2 ** 20]), DeviceError);
      await run([1000, 3000]);
      assert.equal(y.f32[0], 3e6);
    });

    it("refuses files that are none", async () => {
      const whole = readFileSync(fixture("affine"));
      const contents = {
        empty: whole.subarray(0, 0),
        cut: whole.subarray(0, 60),
        text: Buffer.from("onnx?\n"),
      };
      for (const [name, content] of Object.entries(contents)) {
        const path = join(scratch, `${name}.onnx`);
        writeFileSync(path, content);
        await assert.rejects(openSession(path, way), (error) => {
          assert(error instanceof DataError, String(error));
          assert(error.message.startsWith(path));
          return true;
        });
      }
      await assert.rejects(openSession(join(scratch, "none.onnx"), way), /received nothing at this path/);
      await assert.rejects(openSession(scratch, way), DataError);
    });

    it("survives any change of a byte of the file", async () => {
      const whole = readFileSync(fixture("affine"));
      const path = join(scratch, `changed-${way}.onnx`);
      for (let at = 0; at < whole.length; at += way === "c" ? 3 : 40) {
        const changed = Buffer.from(whole);
        changed[at] = (changed[at] ?? 0) ^ 0x5a;
        writeFileSync(path, changed);
        await openSession(path, way).then(
          (session) => session.dispose(),
          (error) => assert(error instanceof DataError, String(error)),
        );
      }
    });

    it("runs beside another session", async () => {
      const sessions = await Promise.all([
        openSession(fixture("affine"), way),
        openSession(fixture("affine"), way),
      ]);
      await Promise.all(
        sessions.map(async (session, index) => {
          const [x, y] = [Tensor.zeros("f32", [1, 3]), Tensor.zeros("f32", [1, 3])];
          for (let i = 0; i < 100; i++) {
            x.f32.fill(i + 1000 * index);
            await session.run({ x }, { y });
            assert.equal(y.f32[2], 2 * (i + 1000 * index) + 1);
          }
        }),
      );
      for (const session of sessions) session.dispose();
    });

    it("runs once at a time, and ends when it is disposed of meanwhile", async () => {
      const session = await openSession(fixture("slow"), way);
      const { x, y } = slowTensors();
      const run = session.run({ x }, { y });
      await assert.rejects(session.run({ x }, { y }), UsageError);
      session.dispose();
      session.dispose();
      await assert.rejects(run, DisposedError);
      await assert.rejects(session.run({ x }, { y }), DisposedError);
    });

    it("refuses a tensor that was disposed of", async () => {
      using session = await openSession(fixture("affine"), way);
      const [x, y] = [Tensor.zeros("f32", [2, 3]), Tensor.zeros("f32", [2, 3])];
      x.dispose();
      await assert.rejects(session.run({ x }, { y }), DisposedError);
    });

    it("keeps tensors alive that are disposed of during a run", async () => {
      using session = await openSession(fixture("slow"), way);
      const { x, y } = slowTensors();
      const run = session.run({ x }, { y });
      await setTimeout(50);
      x.dispose();
      y.dispose();
      await run;
    });

    for (const when of ["load", "run"])
      it(`lets the process end during a ${when}`, () => {
        // 200 matrix products, of which the process shall not care.
        const program = `
          const { fixture, openSession } = await import(${JSON.stringify(new URL("./sessions.js", import.meta.url))});
          const { Tensor } = await import(${JSON.stringify(new URL("../../src/native/tensor.js", import.meta.url))});
          const [x, y] = [Tensor.zeros("f32", [640, 640]), Tensor.zeros("f32", [640, 640])];
          const opening = openSession(fixture("slow"), "${way}");
          if ("${when}" === "run") void (await opening).run({ x }, { y });
          setTimeout(() => process.exit(7), "${when}" === "run" ? 60 : 5);`;
        const { status, signal, stderr } = spawnSync(
          process.execPath,
          ["--input-type=module", "-e", program],
          {
            encoding: "utf8",
          },
        );
        assert.deepEqual([status, signal, stderr], [7, null, ""]);
      });

    it("stops on request", async () => {
      using session = await openSession(fixture("slow"), way);
      const { x, y } = slowTensors();
      const controller = new AbortController();
      const run = session.run({ x }, { y }, controller.signal);
      await setTimeout(50);
      controller.abort();
      await assert.rejects(run, CancelledError);
      await assert.rejects(session.run({ x }, { y }, controller.signal), CancelledError);
      // An old request does not stop a new run.
      await session.run({ x }, { y });
    });
  });
}

describe("ONNX Runtime's library", { skip: withoutRuntime }, () => {
  it("is refused when it is missing or another one", () => {
    assert.throws(() => onnxRuntime(join(scratch, "libonnxruntime.so")), DeviceError);
    const path = join(scratch, "text.so");
    writeFileSync(path, "no library");
    assert.throws(() => onnxRuntime(path), /expected .*text\.so to load, received/);
    const other = process.platform === "linux" ? "/lib64/libc.so.6" : "";
    if (other !== "") assert.throws(() => onnxRuntime(other), DeviceError);
  });

  it("refuses a CUDA device where its provider is missing", async () => {
    const options = { runtime: onnxRuntime(), threads: 1, cuda: { device: 0 } };
    await assert.rejects(OnnxSession.open(fixture("affine"), options), (error) => {
      assert(error instanceof DeviceError);
      assert.match(
        error.message,
        /expected CUDA device 0, received ".*libonnxruntime_providers_.*"; see `sfr doctor`$/,
      );
      return true;
    });
  });
});

describe("a worker thread that dies", () => {
  const settings = "const { parentPort } = await import('node:worker_threads');";
  const loaded = "parentPort.postMessage({ kind: 'loaded', inputs: [], outputs: [] });";
  const script = (body: string) => new URL(`data:text/javascript,${encodeURIComponent(settings + body)}`);

  it("ends a run, and the runs after it, with a typed error", async () => {
    const dies = script(`parentPort.on('message', () => process.exit(3)); ${loaded}`);
    const session = await NodeSession.open("model.onnx", 1, dies);
    await assert.rejects(session.run({}, {}), (error) => {
      assert(error instanceof DeviceError);
      assert.match(error.message, /expected its worker thread to go on, received its end with code 3/);
      return true;
    });
    await assert.rejects(session.run({}, {}), DeviceError);
    session.dispose();
  });

  it("ends a load", async () => {
    await assert.rejects(NodeSession.open("model.onnx", 1, script("process.exit(4);")), DeviceError);
    await assert.rejects(
      NodeSession.open("model.onnx", 1, script("throw new Error('no');")),
      /received "no"/,
    );
  });
});
