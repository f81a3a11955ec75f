// Owns one server per test file: found, started on free ports, waited for, stopped by pid, its log shown only on failure.
// What always holds: a server that panicked, died early or had to be killed fails the file, whatever the tests saw.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { end, exited, guard } from './process.mjs';
import { until, within } from './wait.mjs';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const READY_MS = 20_000;
/** A drain with nobody left must be quick. */
const STOP_MS = 10_000;
/** Lines of the server's log kept for a failure report. */
const LOG_LINES = 2_000;

/** A program of this tree's release build. */
export const built = (name) => path.join(process.env.CARGO_TARGET_DIR ?? path.join(ROOT, 'target'), 'release', name);

/** The server under test: SERVER_UNDER_TEST, or the release build of this tree. */
export function serverBinary() {
  const binary = process.env.SERVER_UNDER_TEST ?? built('sfumato');
  if (!existsSync(binary)) throw new Error(`no server at ${binary}: run "make build" first, or set SERVER_UNDER_TEST`);
  return binary;
}

export class Server {
  #log = [];
  #partial = '';
  #release = () => {};
  /** Where the server answers, `http://127.0.0.1:PORT`. */
  url = '';

  /**
   * @param {{args?: string[], shards?: number, env?: Record<string, string>}} [options]
   */
  async start({ args = [], shards, env = {} } = {}) {
    // In a network of its own (scripts/private-network) media has an address beside loopback.
    const media = process.env.TEST_MEDIA_ADDRESS;
    const bind = media ? `127.0.0.1,${media}` : '127.0.0.1';
    const all = ['--dev', '--bind', bind, '--port', '0', '--udp-port', '0', '--node-ip', media ?? '127.0.0.1', '--metrics-port', '0'];
    if (shards) all.push('--shards', String(shards));
    this.child = spawn(serverBinary(), [...all, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // What else the machine does is not to turn clients away; flags win over variables.
      env: { RUST_LOG: 'info', RUST_BACKTRACE: '1', SFUMATO_LIMIT_SHARD_BUSY: '0', SFUMATO_LIMIT_MEMORY: '0', ...process.env, ...env },
    });
    this.child.on('error', (error) => this.#log.push(`could not start: ${error.message}`));
    if (this.child.pid) this.#release = guard(this.child.pid);
    const ready = new Promise((resolve) => {
      const read = (chunk) => {
        this.#keep(chunk.toString());
        const line = this.#log.find((text) => /http:\/\/[^\s"]+/.test(text));
        if (line) resolve(line.match(/http:\/\/[^\s"',)]+/)[0].replace(/\/+$/, ''));
      };
      this.child.stdout.on('data', read);
      this.child.stderr.on('data', read);
    });
    const died = exited(this.child).then(({ code, signal }) => {
      throw new Error(`the server ended before it was ready (code ${code}, signal ${signal})`);
    });
    died.catch(() => {});
    try {
      this.url = await within(READY_MS, 'line with http:// from the server', Promise.race([ready, died]));
      await until('200 from GET /', async () => (await fetch(this.url)).status === 200, { ms: READY_MS });
    } catch (error) {
      await this.kill();
      throw new Error(`${error.message}\n${this.log()}`);
    }
    return this;
  }

  /** The address clients connect to, `ws://127.0.0.1:PORT`. */
  get wsUrl() {
    return this.url.replace(/^http/, 'ws');
  }

  /** Where the first shard takes media, by the server's own banner. */
  get mediaPort() {
    const ports = this.#log.map((line) => line.match(/media\s+UDP (\d+)/)).find(Boolean);
    if (!ports) throw new Error(`no UDP port in what the server says\n${this.log()}`);
    return Number(ports[1]);
  }

  /** Where metrics are, by the server's own banner. */
  get metricsUrl() {
    const urls = this.#log.map((line) => line.match(/metrics (http:\/\/\S+)/)).find(Boolean);
    if (!urls) throw new Error(`no address of metrics in what the server says\n${this.log()}`);
    return urls[1];
  }

  get alive() {
    return this.child?.exitCode === null && this.child?.signalCode === null;
  }

  /** One development token from the server itself. */
  async devToken(room, identity, name) {
    const query = new URLSearchParams({ room, identity, ...(name ? { name } : {}) });
    const response = await within(5_000, 'development token', fetch(`${this.url}/dev/token?${query}`));
    if (!response.ok) throw new Error(`GET /dev/token answered ${response.status}: ${await response.text()}`);
    return response.json();
  }

  /** Sum of all samples of one Prometheus metric, 0 when it is absent. */
  async metric(name) {
    const text = await (await within(5_000, 'metrics', fetch(this.metricsUrl))).text();
    return text
      .split('\n')
      .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  log(lastLines = 200) {
    const shown = this.#log.slice(-lastLines);
    return `--- the server's log (last ${shown.length} lines) ---\n${shown.join('\n')}\n--- end of the server's log ---`;
  }

  /**
   * Ends the server and throws when it panicked, had died already, or did not stop when asked.
   * @param {number} [ms]  for a server that drains
   */
  async stop(ms = STOP_MS) {
    if (!this.child) return;
    const diedEarly = !this.alive;
    const result = diedEarly ? await exited(this.child) : await end(this.child, ms);
    this.#release();
    this.#keep('\n');
    const panicked = this.#log.some((line) => /panicked at/.test(line));
    const faults = [
      panicked && 'the server panicked',
      diedEarly && `the server had ended by itself (code ${result.code}, signal ${result.signal})`,
      result.forced && `the server did not stop within ${ms} ms of SIGTERM`,
      !diedEarly && !result.forced && result.code !== 0 && `the server exited with ${result.code ?? result.signal}`,
    ].filter(Boolean);
    if (faults.length) throw new Error(`${faults.join('; ')}\n${this.log()}`);
  }

  async kill() {
    if (this.alive && this.child.pid) await end(this.child, 500);
    this.#release();
  }

  #keep(text) {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop();
    // eslint-disable-next-line no-control-regex
    this.#log.push(...lines.map((line) => line.replace(/\u001b\[[0-9;]*m/g, '')));
    if (this.#log.length > LOG_LINES) this.#log.splice(0, this.#log.length - LOG_LINES);
  }
}

/**
 * One server for all tests of the calling file, and a `test` that prints its log when a test fails.
 * @param {Parameters<Server['start']>[0]} [options]
 */
export function serverForFile(options) {
  const server = new Server();
  before(() => server.start(options), { timeout: READY_MS * 2 });
  after(() => server.stop(), { timeout: STOP_MS * 2 });
  /** @type {(name: string, options: import('node:test').TestOptions, fn: (t: any) => Promise<void>) => void} */
  const serverTest = (name, testOptions, fn) =>
    test(name, testOptions, async (t) => {
      try {
        await fn(t);
      } catch (error) {
        process.stderr.write(`${name}: ${error?.stack ?? error}\n${server.log()}\n`);
        throw error;
      }
    });
  return { server, test: serverTest };
}
