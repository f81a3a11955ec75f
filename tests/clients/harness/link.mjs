// Owns a link with faults between a page and the server: a relay (sfumato-link, load-tests) in front of the media port, the page's
// candidates led through it, and what a browser makes of the stream behind it (W3C webrtc-stats).
// What always holds: bounded in time by the relay itself too, on loopback.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { joinRoom, receivedVideo } from './client.mjs';
import { end, exited, guard } from './process.mjs';
import { redirect } from './relay.mjs';
import { built } from './server.mjs';
import { delay, until, within } from './wait.mjs';

const READY_MS = 5_000;
const STOP_MS = 5_000;
const LONGEST_SECONDS = 600;
/** Until the first frames: a join, a keyframe, a full queue of retransmissions. */
const FIRST_FRAMES_MS = 30_000;
/** A receiver's jitter buffer learns the link in this time; what happens meanwhile is not counted. */
const SETTLE_MS = 5_000;

/**
 * @typedef {object} Faults
 * @property {number} [loss]  percent, each way that `lossy` names
 * @property {number} [burst]  lost in a row on average; 0 each by itself
 * @property {'down' | 'up' | 'both'} [lossy]
 * @property {number} [delay]  one way, ms
 * @property {number} [rate]  kbit/s towards the page
 */

export class Link {
  /** In front of a server with one shard. @param {import('./server.mjs').Server} server  @param {Faults} faults */
  static async start(server, faults) {
    const program = built('sfumato-link');
    if (!existsSync(program)) throw new Error(`no ${program}: cargo build --release --package sfumato-load`);
    const link = new Link();
    link.serverPort = server.mediaPort;
    const options = Object.entries({ to: `127.0.0.1:${link.serverPort}`, seconds: LONGEST_SECONDS, ...faults });
    link.child = spawn(program, options.flatMap(([name, value]) => [`--${name}`, String(value)]), { stdio: ['ignore', 'pipe', 'inherit'] });
    link.release = link.child.pid ? guard(link.child.pid) : () => {};
    let printed = '';
    const listening = new Promise((resolve, reject) => {
      link.child.on('error', reject);
      exited(link.child).then(({ code }) => reject(new Error(`sfumato-link ended with ${code}`)));
      link.child.stdout.on('data', (chunk) => {
        printed += chunk;
        const port = printed.match(/^[\d.]+:(\d+)\n/);
        if (port) resolve(Number(port[1]));
      });
    });
    link.printed = () => printed;
    link.port = await within(READY_MS, 'port of the relay', listening);
    return link;
  }

  /** Leads every call of a page through the relay: for `prepare` of joinRoom. */
  prepare = (page) => redirect(page, this.serverPort, this.port);

  /** Ends it. @returns what passed: datagrams and how many were lost, up and down */
  async stop() {
    const { code } = await end(this.child, STOP_MS);
    this.release();
    if (code !== 0) throw new Error(`sfumato-link ended with ${code}`);
    return JSON.parse(this.printed().trim().split('\n').at(-1));
  }
}

/** What is counted, and grows. */
const COUNTERS = [
  'framesDecoded', 'framesDropped', 'keyFramesDecoded', 'freezeCount', 'totalFreezesDuration', 'packetsReceived', 'packetsLost',
  'nackCount', 'pliCount', 'retransmittedPacketsReceived',
];

/** A cut of the counters of the first video received, with the time it was taken, ms. */
export async function countersOf(page) {
  const stats = (await receivedVideo(page)) ?? {};
  return { at: stats.timestamp ?? 0, ...Object.fromEntries(COUNTERS.map((name) => [name, stats[name] ?? 0])) };
}

/** What was counted between two cuts; `frozen` is the share of time without new frames, percent (a freeze counts when it ends, so above 100 too). */
export function between(before, after) {
  const grown = Object.fromEntries(Object.keys(before).map((name) => [name, after[name] - before[name]]));
  const seconds = grown.at / 1_000;
  return { ...grown, seconds, framesPerSecond: grown.framesDecoded / seconds, frozen: (100 * grown.totalFreezesDuration) / seconds };
}

/**
 * A page joins behind a link and watches the first video of the room for so long.
 * @param {Faults} faults
 * @param {{speaks?: boolean}} [more]  `speaks`: it publishes a microphone. A browser that sends nothing does not know its round trip time,
 *   and asks for a packet again after 100 ms only.
 * @returns what it counted, and `link`: what passed the relay
 */
export async function watchBehind(faults, bare, server, room, identity, seconds, { speaks = false } = {}) {
  const link = await Link.start(server, faults);
  let page;
  let counted;
  try {
    page = await joinRoom(bare, server, room, identity, { prepare: link.prepare });
    if (speaks) await page.evaluate(() => globalThis.room.localParticipant.setMicrophoneEnabled(true));
    const playing = async () => (await countersOf(page)).framesDecoded > 30;
    await until('frames behind the link', playing, { ms: FIRST_FRAMES_MS, everyMs: 250, describe: () => countersOf(page) });
    await delay(SETTLE_MS);
    const before = await countersOf(page);
    await delay(seconds * 1_000);
    counted = between(before, await countersOf(page));
  } finally {
    await page?.browserContext().close();
    link.passed = await link.stop();
  }
  return { ...counted, link: link.passed };
}
