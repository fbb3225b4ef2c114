import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { commands } from "../../src/cli/commands/index.js";
import { version } from "../../src/version.js";
import { sfr, sfrIntoFullDevice } from "./sfr.js";

describe("sfr, the words of the command line", () => {
  it("lists every command in the help, on standard output", async () => {
    const { code, stdout, stderr } = await sfr("--help");
    assert.deepEqual([code, stderr], [0, ""]);
    for (const { name } of commands) assert.match(stdout, new RegExp(`^ +sfr ${name}\\b`, "m"));
    assert.match(stdout, /Exit codes: 0 all done; 1 internal error; 2 /);
  });

  it("has help with examples for every command", async () => {
    const help = await Promise.all(commands.map(({ name }) => sfr(name, "--help")));
    for (const [index, { code, stdout }] of help.entries()) {
      assert.equal(code, 0);
      assert.match(stdout, /Examples:/, commands[index]?.name ?? "");
    }
  });

  it("takes type, default and range of a flag from the schema", async () => {
    const { stdout } = await sfr("run", "--help");
    assert.match(
      stdout.replaceAll(/\s+/g, " "),
      /--sam-rank Rank of the LoRA .* \[integer >= 1, <= 64; default 4\]/,
    );
  });

  it("prints the version", async () => {
    assert.deepEqual(await sfr("--version"), { code: 0, stdout: `${version}\n`, stderr: "" });
  });

  const refusals: readonly (readonly [words: string[], message: RegExp])[] = [
    [[], /^sfr: expected a command, received none; `sfr --help` lists them\n$/],
    [["runn", "x"], /received 'runn'; did you mean 'run'\?\n$/],
    [["xyzzy"], /received 'xyzzy'; see `sfr --help`\n$/],
    [["run"], /expected `sfr run <config>`, received 0 of 1 words; see `sfr run --help`\n$/],
    [
      ["run", "a.yaml", "--finetun-steps", "3"],
      /unknown flag '--finetun-steps'; did you mean '--finetune-steps'\?\n$/,
    ],
    [["run", "a.yaml", "more"], /received the surplus word 'more'/],
    [["predict", "a.nii"], /expected --weights, received none/],
    [["predict", "a.nii", "--weights"], /expected a value for --weights, received none/],
    [["doctor", "--threads", "0"], /^sfr: --threads: expected an integer >= 1, received '0'/],
    [
      ["bench", "vnet-trian"],
      /^sfr: bench: expected one of vnet-train, .*'vnet-trian'; did you mean 'vnet-train'\?\n$/,
    ],
    [["run", "none.yaml"], /^sfr: none\.yaml: .*received ENOENT/],
  ];
  for (const [words, message] of refusals) {
    it(`refuses \`sfr ${words.join(" ")}\` with one line and code 2`, async () => {
      const { code, stdout, stderr } = await sfr(...words);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.match(stderr, message);
      assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
    });
  }

  it("shows the stack with --debug only", async () => {
    assert.match((await sfr("run", "none.yaml", "--debug")).stderr, /\n +at .*\ncaused by /s);
  });
});

describe("sfr, streams that cannot be written", () => {
  it("says in one line that the result could not be written: code 3", async () => {
    for (const words of [["doctor"], ["--help"]]) {
      const { code, stderr } = await sfrIntoFullDevice("stdout", ...words);
      assert.equal(code, 3, stderr);
      assert.match(stderr, /^sfr: standard output: expected to write the result, received ENOSPC; .*\n$/);
    }
  });

  it("goes on when nobody can be told of the progress", async () => {
    const { code, stdout } = await sfrIntoFullDevice("stderr", "doctor", "--json");
    assert.equal(code, 0);
    assert.equal((JSON.parse(stdout) as { addon: unknown }).addon, "loads");
    assert.equal((await sfrIntoFullDevice("stderr", "runn")).code, 2);
  });
});

describe("sfr doctor", () => {
  it("shows machine and engine, as text and as JSON", async () => {
    const { code, stdout, stderr } = await sfr("doctor", "--threads", "1", "--json");
    assert.deepEqual([code, stderr], [0, ""]);
    const facts = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual(
      [facts.sfr, facts.node, facts.threads, facts.addon],
      [version, process.version, 1, "loads"],
    );
    // What a bug report needs.
    const wanted = [
      "commit",
      "cpu",
      "cpus allowed",
      "SIMD level",
      "memory, GiB",
      "memory limit, GiB",
      "devices",
    ];
    assert.deepEqual(
      [...wanted, "CUDA kernels", "ONNX Runtime", "NVIDIA driver", "CUDA", "advice"].filter(
        (name) => !(name in facts),
      ),
      [],
    );
    const { stdout: text } = await sfr("doctor");
    assert.match(text, /^SIMD level +\S/m);
    assert.match(text, /^commit +([0-9a-f]{40}(-dirty)?|none)$/m);
    assert.match(text, /^devices +cpu/m);
    assert.match(text, /^cgroup cpus +\S/m);
  });
});
