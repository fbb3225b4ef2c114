import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatDuration, Progress, type ProgressOptions } from "../../src/io/progress.js";

/** A stream that keeps what is written, with a clock set by hand. */
function setUp(
  isTTY: boolean,
  options: { quiet?: boolean; env?: Record<string, string>; columns?: number } = {},
) {
  const state = { text: "", time: 0 };
  const stream = {
    isTTY,
    columns: options.columns ?? 80,
    write: (text: string) => {
      state.text += text;
    },
  };
  const { quiet = false, env = {} } = options;
  const records: Record<string, unknown>[] = [];
  const keep =
    (level: string) =>
    (record: object, message = ""): void => {
      records.push({ level, message, ...record });
    };
  const log = { info: keep("info"), warn: keep("warn"), error: keep("error") } as ProgressOptions["log"];
  const progress = new Progress({ stream, quiet, env, now: () => state.time, ...(log ? { log } : {}) });
  return { state, records, progress };
}

describe("Progress", () => {
  it("writes a plain line about every five seconds when it is no terminal", () => {
    const { state, progress } = setUp(false);
    progress.begin("retrain", 600);
    for (let step = 1; step <= 40; step += 1) {
      state.time = step / 2;
      progress.update(step, "loss 0.5");
    }
    progress.end(20, "loss 0.4");
    const lines = state.text.split("\n");
    assert.deepEqual(lines, [
      "retrain: 10/600 steps  1 %  2.0 steps/s  4 min 55 s left  loss 0.5",
      "retrain: 20/600 steps  3 %  2.0 steps/s  4 min 50 s left  loss 0.5",
      "retrain: 30/600 steps  5 %  2.0 steps/s  4 min 45 s left  loss 0.5",
      "retrain: 40/600 steps  6 %  2.0 steps/s  4 min 40 s left  loss 0.5",
      "retrain: done in 20 s  loss 0.4",
      "",
    ]);
  });

  it("rewrites one line on a terminal, cut to its width, in bold only where colours are wanted", () => {
    const { state, progress } = setUp(true, { columns: 32 });
    progress.begin("predict", 4, 0, "cases");
    state.time = 8;
    progress.update(1);
    state.time = 16;
    progress.update(2);
    state.time = 16.01;
    progress.update(3);
    assert.equal(
      state.text,
      "\u001b[1mpredict\u001b[0m: 1/4 cases  25 %  8.0 s" +
        "\r\u001b[K\u001b[1mpredict\u001b[0m: 2/4 cases  50 %  8.0 s",
    );
    progress.note("a warning");
    progress.endLine();
    assert.ok(state.text.endsWith("\r\u001b[Ka warning\n"));
    const plain = setUp(true, { env: { NO_COLOR: "1" } });
    plain.progress.begin("predict", 2);
    plain.state.time = 1;
    plain.progress.update(1);
    plain.progress.end(1);
    assert.equal(plain.state.text.includes("\u001b[1m"), false);
    assert.ok(plain.state.text.endsWith("\n"));
  });

  it("reckons time left from steps of this start, by the last half minute", () => {
    const { state, progress } = setUp(false);
    progress.begin("retrain", 1000, 900);
    state.time = 1;
    assert.equal(progress.update(900), null);
    state.time = 2;
    assert.equal(progress.update(910), 18);
    for (let step = 911; step <= 950; step += 1) {
      state.time += 2;
      const left = progress.update(step);
      // Half a step per second now; the fast start must be forgotten after 30 s.
      assert.ok(step < 930 || Math.abs((left ?? 0) - 2 * (1000 - step)) < 1e-9, `${step}: ${left}`);
    }
  });

  it("is silent when asked, but still knows the time left", () => {
    const { state, progress } = setUp(true, { quiet: true });
    progress.begin("x", 2);
    state.time = 10;
    assert.equal(progress.update(1), 10);
    progress.note("n");
    progress.end(1);
    assert.equal(state.text, "");
  });

  it("writes problems even when silent, after a line that is being rewritten", () => {
    const { state, progress } = setUp(true, { env: { NO_COLOR: "1" } });
    progress.begin("x", 2);
    state.time = 1;
    progress.update(1);
    progress.problem("it broke", new Error("inner"));
    assert.equal(state.text, "x: 1/2 steps  50 %  1.0 steps/s  1.0 s left\nsfr: it broke\n");
    const quiet = setUp(false, { quiet: true });
    quiet.progress.problem("it broke");
    assert.equal(quiet.state.text, "sfr: it broke\n");
  });

  it("tells a log the same, quiet or not, but progress every half minute only", () => {
    for (const quiet of [true, false]) {
      const { state, records, progress } = setUp(false, { quiet });
      progress.begin("retrain", 200, 10);
      for (let step = 11; step <= 100; step += 1) {
        state.time += 1;
        progress.update(step, "loss 0.5");
      }
      progress.note("a warning");
      progress.note("a remark", "info");
      progress.end(90, "loss 0.4");
      progress.problem("a case failed");
      const error = new Error("inner");
      progress.problem("it broke", error);
      const rest = "1.0 steps/s";
      const seen = { stage: "retrain", total: 200, unit: "steps" };
      const at = (step: number, percent: number, time: string) => ({
        ...{ level: "info", event: "progress", ...seen, step, secondsLeft: 200 - step },
        message: `retrain: ${step}/200 steps  ${percent} %  ${rest}  ${time} left  loss 0.5`,
      });
      assert.deepEqual(records, [
        { level: "info", message: "retrain: begins", event: "begin", ...seen, step: 10 },
        at(40, 20, "2 min 40 s"),
        at(70, 35, "2 min 10 s"),
        at(100, 50, "1 min 40 s"),
        { level: "warn", message: "a warning", event: "note" },
        { level: "info", message: "a remark", event: "note" },
        {
          level: "info",
          message: "retrain: done in 1 min 30 s  loss 0.4",
          event: "end",
          stage: "retrain",
          seconds: 90,
        },
        { level: "warn", message: "a case failed", event: "problem" },
        { level: "error", message: "it broke", event: "error", err: error },
      ]);
    }
  });

  it("formats durations", () => {
    assert.deepEqual([0, 8.44, 9.96, 59.4, 59.6, 155, 3599.6, 11220].map(formatDuration), [
      "0.0 s",
      "8.4 s",
      "10 s",
      "59 s",
      "1 min 00 s",
      "2 min 35 s",
      "1 h 00 min",
      "3 h 07 min",
    ]);
  });
});
