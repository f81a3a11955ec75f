// Owns one participant on the meeting page, driven by what a person sees and presses; the page's hooks are named nowhere else.
// What always holds: each question about media is answered from frames shown and from the receiver's statistics, not from signalling.
import assert from 'node:assert/strict';
import { newPage } from './browser.mjs';
import { until } from './wait.mjs';

const hook = (name) => `[data-testid="${name}"]`;
const JOIN_MS = 30_000;
const MEDIA_MS = 30_000;
/** Frames that have to be shown, one after another, before a video counts as running. */
const FRAMES = 10;
/** Sum of squared samples times duration (webrtc-stats, totalAudioEnergy): far above silence, far below a tone. */
const ENERGY = 1e-6;

export class Meeter {
  /** Errors that the page threw and did not catch. */
  faults = [];

  /**
   * Opens the lobby with name and room filled in.
   * @param {import('puppeteer-core').Browser} browser
   * @param {string} url  of the page
   * @param {{name: string, room: string, size?: {width: number, height: number}, prepare?: () => void}} options
   *   `prepare` runs in the page before its own scripts
   */
  static async open(browser, url, { name, room, size, prepare }) {
    const meeter = new Meeter();
    meeter.name = name;
    meeter.page = await newPage(browser, size);
    meeter.page.on('pageerror', (error) => meeter.faults.push(String(error?.stack ?? error)));
    if (prepare) await meeter.page.evaluateOnNewDocument(prepare);
    await meeter.page.goto(`${url}/?${new URLSearchParams({ room, name })}`);
    await meeter.page.waitForSelector(hook('join-button'));
    return meeter;
  }

  /** Opens the lobby and joins. */
  static async join(browser, url, options) {
    const meeter = await Meeter.open(browser, url, options);
    await meeter.enter();
    return meeter;
  }

  /** Presses join; a user with a camera first sees it in the preview. @param {{camera?: boolean}} [options] */
  async enter({ camera = true } = {}) {
    if (camera) {
      const live = () => this.page.$eval(hook('preview-video'), (video) => video.videoWidth > 0 && video.currentTime > 0);
      await until(`preview of ${this.name}`, live, { describe: () => this.text() });
    }
    await this.press('join-button');
    await until(`${this.name} in the room`, () => this.page.evaluate(() => globalThis.__sfumato?.room?.state === 'connected'), {
      ms: JOIN_MS,
      describe: () => this.text(),
    });
    this.identity = await this.page.evaluate(() => globalThis.__sfumato.room.localParticipant.identity);
  }

  async press(name) {
    await this.page.waitForSelector(`${hook(name)}:not([disabled])`, { visible: true });
    await this.page.click(hook(name));
  }

  /** All that the page says, for failure reports. */
  text() {
    return this.page.evaluate(() => document.body.innerText.replace(/\s+/g, ' ').slice(0, 400));
  }

  /** The tiles of cameras and avatars (not of screens), as a person would tell them apart. */
  async tiles() {
    const all = await this.page.$$eval(hook('tile'), (tiles) =>
      tiles.map((tile) => ({
        identity: tile.dataset.identity,
        local: tile.dataset.local === 'true',
        muted: tile.dataset.muted === 'true',
        camera: /^(on|true)$/.test(tile.dataset.camera),
        source: tile.dataset.source,
        name: tile.querySelector('[data-testid="tile-name"]')?.textContent,
      })),
    );
    return all.filter((tile) => !/screen/.test(tile.source ?? ''));
  }

  async tileOf(other) {
    return (await this.tiles()).find((tile) => tile.identity === other.identity);
  }

  /** Waits until exactly these others, and this one, have a tile, and the count says so. */
  async seesExactly(others, ms = JOIN_MS) {
    const wanted = [this, ...others].map((one) => one.identity).sort().join();
    const shown = async () => (await this.tiles()).map((tile) => tile.identity).sort().join();
    await until(`tiles of ${wanted} at ${this.name}`, async () => (await shown()) === wanted, { ms, describe: shown });
    const count = () => this.page.$eval(hook('participant-count'), (element) => Number(element.textContent.match(/\d+/)?.[0]));
    await until(`count of ${others.length + 1} at ${this.name}`, async () => (await count()) === others.length + 1, { describe: count });
  }

  /** Waits until the tile of `other` has all the values given. */
  async seesTile(other, values) {
    const matches = async () => {
      const tile = await this.tileOf(other);
      return tile && Object.entries(values).every(([key, value]) => tile[key] === value);
    };
    const describe = () => this.tileOf(other);
    await until(`tile of ${other.name} with ${JSON.stringify(values)} at ${this.name}`, matches, { describe });
  }

  /** Waits until the video of `other` shows new frames that are not black. @returns what was measured */
  async seesFrames(other) {
    const frames = () => this.page.evaluate(watchFrames, other.identity);
    const running = async () => {
      const seen = await frames();
      return seen.count >= FRAMES && seen.brightest > 32 && seen;
    };
    await this.page.evaluate(forgetFrames, other.identity);
    return until(`moving picture of ${other.name} at ${this.name}`, running, { ms: MEDIA_MS, everyMs: 250, describe: frames });
  }

  /** Waits until sound from `other` has reached this one: the decoded energy grows. @returns joules of full scale */
  async hears(other) {
    const energy = () => this.page.evaluate(audioEnergy, other.identity);
    const start = await until(`audio track of ${other.name} at ${this.name}`, async () => (await energy()) !== null && { value: await energy() }, { ms: MEDIA_MS });
    return until(`sound of ${other.name} at ${this.name}`, async () => {
      const grown = (await energy()) - start.value;
      return grown > ENERGY && grown;
    }, { ms: MEDIA_MS, everyMs: 250, describe: energy });
  }

  async openChat() {
    const shown = await this.page.$(hook('chat-input'));
    if (!shown || !(await shown.isVisible())) await this.press('control-chat');
    await this.page.waitForSelector(hook('chat-input'), { visible: true });
  }

  async says(text) {
    await this.openChat();
    await this.page.type(hook('chat-input'), text);
    await this.press('chat-send');
  }

  async reads(text) {
    await this.openChat();
    const messages = () => this.page.$$eval(hook('chat-message'), (all) => all.map((one) => one.textContent));
    await until(`chat message "${text}" at ${this.name}`, async () => (await messages()).some((one) => one.includes(text)), { describe: messages });
  }

  /** The kind of device trouble that the lobby explains, with its words. */
  async lobbyError() {
    await this.page.waitForSelector(hook('lobby-error'), { visible: true });
    return this.page.$eval(hook('lobby-error'), (element) => ({
      kind: element.dataset.errorKind ?? element.querySelector('[data-error-kind]')?.dataset.errorKind,
      text: element.textContent.trim(),
    }));
  }

  async leave() {
    await this.press('control-leave');
    await this.page.waitForSelector(hook('goodbye'), { visible: true });
  }

  /** Asserts that all these can be seen and pressed without scrolling, and that nothing overflows sideways. */
  async fits(names) {
    const layout = await this.page.evaluate((selectors) => {
      const box = (selector) => {
        const r = document.querySelector(selector)?.getBoundingClientRect();
        return r && { left: r.left, top: r.top, right: r.right, bottom: r.bottom, area: r.width * r.height };
      };
      const root = document.documentElement;
      return { boxes: selectors.map(box), width: innerWidth, height: innerHeight, scroll: root.scrollWidth };
    }, names.map(hook));
    assert.ok(layout.scroll <= layout.width, `the page is ${layout.scroll} px wide in a window of ${layout.width} px`);
    names.forEach((name, i) => {
      const box = layout.boxes[i];
      assert.ok(box && box.area > 0, `${name} is shown`);
      const inside = box.left >= 0 && box.top >= 0 && box.right <= layout.width + 0.5 && box.bottom <= layout.height + 0.5;
      assert.ok(inside, `${name} is on the screen: ${JSON.stringify(box)} in ${layout.width} x ${layout.height}`);
    });
  }

  /** Closes the page and fails when it threw. */
  async close() {
    await this.page.browserContext().close();
    assert.deepEqual(this.faults, [], `uncaught errors on the page of ${this.name}`);
  }
}

// The functions below run inside the page.

/** Starts (once for each video element) to count frames of a tile's video, and measures the picture now shown. */
function watchFrames(identity) {
  const tile = [...document.querySelectorAll('[data-testid="tile"]')].find(
    (one) => one.dataset.identity === identity && !/screen/.test(one.dataset.source ?? ''),
  );
  const video = tile?.querySelector('video');
  if (!video) return { count: 0, deviation: 0, brightest: 0, missing: tile ? 'video' : 'tile' };
  const counts = (globalThis.__frames ??= new Map());
  let state = counts.get(identity);
  if (state?.video !== video) {
    state = { video, count: 0 };
    counts.set(identity, state);
    const step = () => {
      state.count += 1;
      video.requestVideoFrameCallback(step);
    };
    video.requestVideoFrameCallback(step);
  }
  const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 48 });
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(video, 0, 0, 64, 48);
  const pixels = context.getImageData(0, 0, 64, 48).data;
  let sum = 0;
  let squares = 0;
  let brightest = 0;
  for (let i = 0; i < pixels.length; i += 4) {
    const luma = 0.299 * pixels[i] + 0.587 * pixels[i + 1] + 0.114 * pixels[i + 2];
    sum += luma;
    squares += luma * luma;
    brightest = Math.max(brightest, luma);
  }
  const n = pixels.length / 4;
  const deviation = Math.sqrt(Math.max(0, squares / n - (sum / n) ** 2));
  return { count: state.count, deviation, brightest, width: video.videoWidth, height: video.videoHeight };
}

/** Makes the next count of a tile's frames begin at zero. */
function forgetFrames(identity) {
  const state = globalThis.__frames?.get(identity);
  if (state) state.count = 0;
}

/** Energy decoded so far from a participant's microphone, or null while there is no such track. */
async function audioEnergy(identity) {
  const participant = globalThis.__sfumato.room.remoteParticipants.get(identity);
  const track = [...(participant?.audioTrackPublications.values() ?? [])].find((one) => one.track)?.track;
  const report = await track?.getRTCStatsReport();
  if (!report) return null;
  let energy = null;
  report.forEach((entry) => {
    if (entry.type === 'inbound-rtp' && entry.kind === 'audio') energy = entry.totalAudioEnergy ?? 0;
  });
  return energy;
}
