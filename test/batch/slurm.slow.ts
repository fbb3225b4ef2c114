import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { BatchRecord } from "../../src/batch/manifest.js";
import { sfr } from "../cli/sfr.js";
import { makeTinyModel, writeVolumes } from "./tiny-model.js";

/** A cluster of this machine alone, from Debian's packages, with everything it writes in one folder. */
class Cluster implements AsyncDisposable {
  private readonly daemons: ChildProcess[] = [];

  private constructor(
    private readonly folder: string,
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  static async start(folder: string): Promise<Cluster> {
    const at = (name: string) => join(folder, name);
    await writeFile(at("munge.key"), "0123456789abcdef".repeat(64), { mode: 0o400 });
    for (const name of ["state", "spool"]) await mkdir(at(name));
    const configuration = {
      ...{ ClusterName: "sfr", SlurmctldHost: hostname(), SlurmUser: "root", SlurmdUser: "root" },
      ...{ AuthType: "auth/munge", CredType: "cred/munge", AuthInfo: `socket=${at("munge.socket")}` },
      ...{ StateSaveLocation: at("state"), SlurmdSpoolDir: at("spool"), ReturnToService: "2" },
      ...{ SlurmctldPidFile: at("slurmctld.pid"), SlurmdPidFile: at("slurmd.pid") },
      ...{ SlurmctldPort: "16817", SlurmdPort: "16818", MpiDefault: "none" },
      ...{
        ProctrackType: "proctrack/linuxproc",
        TaskPlugin: "task/none",
        JobAcctGatherType: "jobacct_gather/none",
      },
      ...{ SelectType: "select/cons_tres", SelectTypeParameters: "CR_CPU" },
    };
    const lines = Object.entries(configuration).map(([key, value]) => `${key}=${value}`);
    const node = spawnSync("slurmd", ["-C"], { encoding: "utf8" }).stdout.split("\n")[0] ?? "";
    lines.push(`${node} State=UNKNOWN`, "PartitionName=all Nodes=ALL Default=YES State=UP");
    await writeFile(at("slurm.conf"), `${lines.join("\n")}\n`);
    const cluster = new Cluster(folder, { ...process.env, SLURM_CONF: at("slurm.conf") });
    const munge = ["key-file", "socket", "pid-file", "log-file", "seed-file"].map(
      (name) => `--${name}=${at(`munge.${name.replace("-file", "")}`)}`,
    );
    cluster.daemon("munged", "--foreground", "--force", ...munge);
    while (!existsSync(at("munge.socket"))) await setTimeout(20);
    cluster.daemon("slurmctld", "-D");
    cluster.daemon("slurmd", "-D");
    for (let i = 0; !/idle/.test(cluster.run("sinfo", "--noheader", "--format=%T").stdout); i++) {
      assert.ok(i < 300, `no idle node: ${cluster.run("sinfo").stdout}`);
      await setTimeout(100);
    }
    return cluster;
  }

  /** Runs one of Slurm's commands in the cluster's folder. */
  run(command: string, ...words: string[]): { stdout: string; stderr: string; status: number | null } {
    return spawnSync(command, words, { encoding: "utf8", env: this.env, cwd: this.folder });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of this.daemons.reverse()) {
      daemon.kill("SIGKILL");
      if (daemon.exitCode === null) await once(daemon, "exit");
    }
  }

  private daemon(program: string, ...words: string[]): void {
    this.daemons.push(spawn(program, words, { stdio: "ignore", env: this.env }));
  }
}

it("a job of `sfr slurm` labels every case once, though one task is killed", async (t) => {
  const missing = ["munged", "slurmctld", "slurmd"].find((name) => spawnSync(name, ["--version"]).error);
  if (missing !== undefined || process.getuid?.() !== 0) {
    t.skip(
      missing === undefined ? "daemons need root" : `no ${missing}: apt-get install slurmd slurmctld munge`,
    );
    return;
  }
  const root = await mkdtemp(join(tmpdir(), "sfr-slurm-"));
  try {
    const model = await makeTinyModel(root);
    const ids = await writeVolumes(join(root, "in"), 60);
    const out = join(root, "out");
    const call = ["pseudo-label", "--model", model, "--input", join(root, "in"), "--out", out];
    const { code, stdout, stderr } = await sfr("slurm", "--tasks", "2", "--threads", "1", "--", ...call);
    assert.equal(code, 0, stderr);
    const folder = join(root, "cluster");
    await mkdir(folder);
    await writeFile(join(folder, "job.sh"), stdout);
    await using cluster = await Cluster.start(folder);
    const job = cluster.run("sbatch", "--parsable", "job.sh").stdout.trim();
    assert.match(job, /^\d+$/);
    const labelled = async () =>
      (await readdir(out).catch(() => [])).filter((name) => /^case.*gz$/.test(name));
    for (let i = 0; (await labelled()).length < 5; i++) {
      assert.ok(i < 1200, `nothing is labelled: ${cluster.run("squeue").stdout}`);
      await setTimeout(50);
    }
    cluster.run("scancel", "--signal=KILL", "--full", `${job}_1`);
    while (cluster.run("squeue", "--noheader").stdout.trim() !== "") await setTimeout(200);
    const [manifest = ""] = (await readdir(join(out, "manifest"))).filter((name) => name.endsWith(".jsonl"));
    const lines = (await readFile(join(out, "manifest", manifest), "utf8")).trimEnd().split("\n");
    const records = lines.map((line) => JSON.parse(line) as BatchRecord);
    const logs = await Promise.all(
      (await readdir(folder))
        .filter((name) => name.endsWith(".log"))
        .map((name) => readFile(join(folder, name), "utf8")),
    );
    assert.deepEqual(records.map(({ id }) => id).sort(), ids, logs.join("\n"));
    assert.equal(new Set(records.map(({ worker }) => worker)).size, 2, "one task did it all");
    assert.deepEqual(
      (await labelled()).sort(),
      ids.map((id) => `${id}.nii.gz`),
    );
  } finally {
    await rm(root, { recursive: true, maxRetries: 5, retryDelay: 200 });
  }
});
