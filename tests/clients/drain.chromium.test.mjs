// Owns an upgrade as stock browser SDKs see it: two in a call, the server is asked to end and another takes its place at the same
// address; at the end of the grace both are told to reconnect, do so by themselves, and see each other again.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Balancer } from './harness/balancer.mjs';
import { skipWithout } from './harness/browser.mjs';
import { barePageForFile, joinRoom, publishCamera, receivedVideo } from './harness/client.mjs';
import { Server } from './harness/server.mjs';
import { delay, until } from './harness/wait.mjs';

const skip = skipWithout('chromium');
const bare = barePageForFile(skip);
const GRACE_S = 2;
const SPREAD_S = 2;
/** The SDK waits half a second at most before it tries; a handshake and a keyframe follow. */
const BACK_MS = 15_000;
const old = new Server();
const next = new Server();
let balancer;

before(async () => {
  if (skip) return;
  await old.start({ args: ['--drain-grace', String(GRACE_S), '--drain-spread', String(SPREAD_S)] });
  await next.start();
  balancer = await new Balancer(old.url).start();
}, { timeout: 60_000 });
after(async () => {
  balancer?.close();
  await old.kill();
  await next.stop();
}, { timeout: 30_000 });

/** Keeps in the page what happens to the room. */
const watch = (page) =>
  page.evaluate(() => {
    globalThis.seen = [];
    for (const name of ['reconnecting', 'reconnected', 'disconnected']) {
      globalThis.room.on(name, () => globalThis.seen.push({ name, at: Date.now() }));
    }
  });
const seen = (page) => page.evaluate(() => globalThis.seen);
const isBack = async (page) => (await seen(page)).some((event) => event.name === 'reconnected');
const frames = async (page) => (await receivedVideo(page))?.framesDecoded ?? 0;

test('a call moves to the next server when its own ends', { timeout: 120_000, skip }, async (t) => {
  // Clients know the balancer's address alone; tokens are good for both servers.
  const at = { wsUrl: balancer.wsUrl, devToken: (...names) => old.devToken(...names) };
  const [alice, bob] = [await joinRoom(bare, at, 'upgrade', 'alice'), await joinRoom(bare, at, 'upgrade', 'bob')];
  await publishCamera(alice, { width: 640, height: 360, frameRate: 15 }, { simulcast: false, videoCodec: 'vp8' });
  await until('frames at bob', async () => (await frames(bob)) >= 15);
  await Promise.all([alice, bob].map(watch));

  balancer.to = next.url;
  const asked = Date.now();
  const ended = old.stop((GRACE_S + SPREAD_S) * 1_000 + 15_000);
  ended.catch(() => {});
  await until('the old server not ready', async () => (await fetch(`${old.url}/readyz`)).status === 503, { ms: 1_000, everyMs: 20 });
  // The call goes on where it is.
  const shown = await frames(bob);
  await delay(1_000);
  assert.ok((await frames(bob)) >= shown + 8, 'the picture stopped when the drain began');
  assert.deepEqual(await Promise.all([alice, bob].map(seen)), [[], []]);

  const ms = GRACE_S * 1_000 + SPREAD_S * 1_000 + BACK_MS;
  for (const page of [alice, bob]) await until('being back', () => isBack(page), { ms, describe: () => seen(page) });
  await until('frames at bob from the next server', async () => (await frames(bob)) >= 15, { ms: BACK_MS, describe: () => frames(bob) });
  const told = await Promise.all([alice, bob].map(seen));
  for (const events of told) {
    assert.deepEqual(events.map((event) => event.name), ['reconnecting', 'reconnected'], 'once, and never disconnected');
    assert.ok(events[0].at - asked >= GRACE_S * 1_000 - 100, 'told before the grace was over');
  }
  t.diagnostic(`from being told to being back: ${told.map(([from, to]) => to.at - from.at).join(' and ')} ms`);
  assert.equal(await next.metric('sfumato_participants'), 2);
  await ended;
});
