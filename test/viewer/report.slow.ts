import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { pathToFileURL } from "node:url";
import { decodePng } from "../../src/io/png.js";
import { writeReport } from "../../src/viewer/report.js";
import { Browser, findChromium } from "./browser.js";
import { sampleReport } from "./sample-report.js";

it("a browser shows the report at 1280 and 400 px, light and dark, and asks for nothing else", async (context) => {
  const chromium = findChromium();
  if (chromium === undefined) {
    context.skip("no chromium found; set CHROMIUM to one");
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), "sfr-report-"));
  const browser = await Browser.start(chromium);
  try {
    const path = join(folder, "report.html");
    await writeReport(path, sampleReport());
    const url = pathToFileURL(path).href;
    const backgrounds = new Set<unknown>();
    for (const width of [1280, 400]) {
      for (const scheme of ["light", "dark"] as const) {
        await browser.show(url, width, scheme);
        const where = `${width} px, ${scheme}`;
        assert.equal(await browser.evaluate("document.documentElement.clientWidth"), width, where);
        const overflow = await browser.evaluate("document.documentElement.scrollWidth - innerWidth");
        assert.ok(Number(overflow) <= 0, `${where}: the page is ${overflow} px too wide`);
        const images =
          "[...document.images].map((image) => image.naturalWidth * image.getBoundingClientRect().width)";
        const sizes = (await browser.evaluate(images)) as number[];
        assert.ok(sizes.length === 6 && sizes.every((value) => value > 0), `${where}: ${sizes}`);
        // Axis texts must stay readable when a chart shrinks with the page.
        const text = await browser.evaluate(
          "Math.min(...[...document.querySelectorAll('svg text')].map((text) => text.getBoundingClientRect().height))",
        );
        assert.ok(Number(text) >= 9, `${where}: smallest chart text ${text} px`);
        backgrounds.add(await browser.evaluate("getComputedStyle(document.body).backgroundColor"));
        const picture = decodePng(await browser.screenshot());
        assert.ok(
          picture.width === width && picture.height > 2000,
          `${where}: ${picture.width} x ${picture.height}`,
        );
      }
    }
    assert.equal(backgrounds.size, 2);
    assert.equal(await browser.evaluate("document.scripts.length"), 0);
    assert.deepEqual([...new Set(browser.requests)], [url]);
  } finally {
    await browser.close();
    await rm(folder, { recursive: true });
  }
});
