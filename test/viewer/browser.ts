import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

/** Name of the Chromium to use: `CHROMIUM`, else the first one found; undefined when there is none. */
export function findChromium(): string | undefined {
  const candidates = [process.env.CHROMIUM ?? "", "chromium", "chromium-browser", "google-chrome"];
  return candidates.find((name) => name !== "" && spawnSync(name, ["--version"]).status === 0);
}

/** A page in a headless browser, driven by the DevTools protocol over pipes. */
export class Browser {
  private readonly waiting = new Map<number, (result: Record<string, unknown>) => void>();
  private nextId = 1;
  private session: string | undefined;
  /** Addresses that pages asked for, without data URIs. */
  readonly requests: string[] = [];

  private constructor(
    private readonly child: ChildProcess,
    private readonly input: Writable,
    private readonly profile: string,
  ) {}

  static async start(chromium: string): Promise<Browser> {
    const profile = await mkdtemp(join(tmpdir(), "sfr-chromium-"));
    const flags = [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--remote-debugging-pipe",
      `--user-data-dir=${profile}`,
    ];
    const child = spawn(chromium, flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    const browser = new Browser(child, child.stdio[3] as Writable, profile);
    browser.listen(child.stdio[4] as Readable);
    const { targetId } = await browser.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await browser.send("Target.attachToTarget", { targetId, flatten: true });
    browser.session = String(sessionId);
    await browser.send("Page.enable");
    await browser.send("Network.enable");
    return browser;
  }

  /** Shows a page at a width, in pixels, and a colour scheme. */
  async show(url: string, width: number, scheme: "light" | "dark"): Promise<void> {
    const features = [{ name: "prefers-color-scheme", value: scheme }];
    await this.send("Emulation.setEmulatedMedia", { features });
    await this.send("Emulation.setScrollbarsHidden", { hidden: true });
    const metrics = { width, height: 900, deviceScaleFactor: 1, mobile: width < 600 };
    await this.send("Emulation.setDeviceMetricsOverride", metrics);
    await this.send("Page.navigate", { url });
    while ((await this.evaluate("document.readyState")) !== "complete") {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Value of an expression in the page; it must survive JSON. */
  async evaluate(expression: string): Promise<unknown> {
    const answer = await this.send("Runtime.evaluate", { expression, returnByValue: true });
    return (answer.result as { value?: unknown } | undefined)?.value;
  }

  /** Picture of the whole page, as PNG. */
  async screenshot(): Promise<Buffer> {
    const { data } = await this.send("Page.captureScreenshot", { captureBeyondViewport: true });
    return Buffer.from(String(data), "base64");
  }

  async close(): Promise<void> {
    this.child.kill("SIGKILL");
    await once(this.child, "exit");
    // Its helper processes may still be writing to the profile for a moment.
    await rm(this.profile, { recursive: true, maxRetries: 10, retryDelay: 100 });
  }

  private listen(output: Readable): void {
    let rest = "";
    output.setEncoding("utf8");
    output.on("data", (text: string) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop() ?? "";
      for (const message of messages) {
        this.receive(JSON.parse(message));
      }
    });
  }

  private receive(message: {
    id?: number;
    method?: string;
    params?: { request?: { url: string } };
    result?: Record<string, unknown>;
  }): void {
    if (message.id !== undefined) {
      this.waiting.get(message.id)?.(message.result ?? {});
      this.waiting.delete(message.id);
    } else if (message.method === "Network.requestWillBeSent") {
      const url = message.params?.request?.url ?? "";
      if (!url.startsWith("data:")) {
        this.requests.push(url);
      }
    }
  }

  private send(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const id = this.nextId;
    this.nextId += 1;
    const session = this.session === undefined ? {} : { sessionId: this.session };
    this.input.write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    return new Promise((resolve) => this.waiting.set(id, resolve));
  }
}
