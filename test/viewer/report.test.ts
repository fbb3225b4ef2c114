import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { decodePng } from "../../src/io/png.js";
import { summarize } from "../../src/metrics/summary.js";
import { reportHtml, writeReport } from "../../src/viewer/report.js";
import { sampleReport } from "./sample-report.js";

describe("report", () => {
  const html = reportHtml(sampleReport());

  it("asks for nothing outside itself and runs nothing", () => {
    assert.match(
      html,
      /http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"/,
    );
    assert.doesNotMatch(html, /<script|<link|<iframe|@import|url\(|javascript:|\son\w+="/i);
    const sources = [...html.matchAll(/\b(?:src|href|srcset|action)="([^"]*)"/g)].map(
      (match) => match[1] ?? "",
    );
    assert.equal(sources.length, 6);
    assert.ok(sources.every((source) => source.startsWith("data:image/png;base64,")));
  });

  it("escapes texts of cases, classes, titles and settings", () => {
    assert.match(html, /<h1>SFR on phantoms &lt;demo&gt;<\/h1>/);
    assert.match(html, /shell &amp; wall \(1\)/);
    assert.match(html, /&lt;img src=&quot;https:\/\/example.org\/x.png&quot;&gt;/);
    assert.match(html, /&lt;\/pre&gt;&lt;script&gt;alert/);
  });

  it("is well-formed: every element is closed in order", () => {
    const open: string[] = [];
    for (const [, slash, name = "", rest = ""] of html.matchAll(/<(\/?)([a-z][a-z0-9]*)([^>]*)>/gi)) {
      if (slash === "/") {
        assert.equal(open.pop(), name);
      } else if (!rest.endsWith("/") && !["meta", "img"].includes(name)) {
        open.push(name);
      }
    }
    assert.deepEqual(open, []);
  });

  it("shows means with deviations, units, times and names as given, the best in bold", () => {
    const row = html.match(/<tr><th[^>]*>SFR \(random SAM\)<\/th>.*?<\/tr>/)?.[0] ?? "";
    // Class means 0.875 and (3 * 0.74 + 0) / 4 = 0.555; the fourth case lacks the class in the reference.
    assert.match(row, /<td>0\.715<span class="sd"> ± 0\.180<\/span><\/td>/);
    assert.match(row, /3 min 15 s/);
    const best = html.match(/<tr><th[^>]*>fine-tuned SAM alone.*?<\/tr>/)?.[0] ?? "";
    assert.equal(best.match(/class="best"/g)?.length, 4);
    assert.doesNotMatch(row, /class="best"/);
    assert.match(html, /<th>HD95 \(mm\)<\/th><th>ASD \(mm\)<\/th>/);
    assert.match(html, /over 4 cases/);
  });

  it("says how many cases count, only where not all do", () => {
    const wall = html.match(/<tr class="class"><th[^>]*>shell &amp; wall.*?<\/tr>/)?.[0] ?? "";
    const core = html.match(/<tr class="class"><th[^>]*>core.*?<\/tr>/)?.[0] ?? "";
    assert.doesNotMatch(wall, /n=/);
    // The fourth case lacks the class in the reference: its overlap scores are 0, its distances undefined.
    assert.deepEqual(
      core.match(/<td>.*?<\/td>/g)?.map((cell) => / \(n=(\d+)\)<\/span>/.exec(cell)?.[1] ?? "all"),
      ["all", "all", "3", "3"],
    );
    assert.match(html, /and no distances\. n: cases that have the score, .* Best means/);
    const whole = sampleReport();
    const arms = whole.arms.map((arm) => ({ ...arm, summary: summarize([]) }));
    assert.doesNotMatch(reportHtml({ ...whole, arms }), /n: cases that have/);
  });

  it("has one row per case and class, with a dash where a metric is not defined", () => {
    const body = html.slice(html.indexOf("Scores per case"), html.indexOf("Training curves"));
    const rows = body.match(/<tr>(?!<th class="first" rowspan="2">|<th class="from">).*?<\/tr>/g) ?? [];
    assert.equal(rows.length, 8);
    assert.equal(rows[0]?.match(/<td/g)?.length, 1 + 4 * 4);
    assert.equal(rows[7]?.match(/>–</g)?.length, 2 * 4);
    assert.match(rows[7] ?? "", />0\.000</);
  });

  it("holds pictures that decode, and all charts", () => {
    for (const [, data = "", width, height] of html.matchAll(
      /base64,([^"]*)" width="(\d+)" height="(\d+)"/g,
    )) {
      const picture = decodePng(Buffer.from(data, "base64"));
      assert.deepEqual([picture.width, picture.height], [Number(width), Number(height)]);
    }
    assert.equal(html.match(/<svg /g)?.length, 8);
  });

  it("works with nothing but an arm without cases, in voxels, and is written in one go", async () => {
    const folder = await mkdtemp(join(tmpdir(), "sfr-report-"));
    try {
      const path = join(folder, "report.html");
      const arm = { name: "x", summary: summarize([]), wallSeconds: 1 };
      await writeReport(path, {
        title: "t",
        about: "a",
        arms: [arm],
        curves: [],
        pictures: [],
        config: {},
        facts: {},
      });
      const text = await readFile(path, "utf8");
      assert.match(text, /HD95 \(voxels\)/);
      assert.match(text, />–</);
      assert.doesNotMatch(text, /Scores per case|Training curves|NaN|undefined/);
      assert.deepEqual(await readdir(folder), ["report.html"]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
