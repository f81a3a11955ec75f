// Owns pausing of layers that nobody shows, as a stock browser SDK carries it out (`dynacast`): Chromium publishes three
// encodings; its upper ones fall silent some seconds after the only viewer asks for the low one, and come back when it asks for
// the high one; all stop when nobody is subscribed, and a new viewer gets a picture.
import assert from 'node:assert/strict';
import { skipWithout } from './harness/browser.mjs';
import { askQuality, barePageForFile, joinRoom, publishThreeEncodings, receivedVideo, sentVideo } from './harness/client.mjs';
import { serverForFile } from './harness/server.mjs';
import { delay, until } from './harness/wait.mjs';

const skip = skipWithout('chromium');
const { server, test } = serverForFile();
const bare = barePageForFile(skip);
/** The sender's own bandwidth estimate has to climb before it adds the upper encodings. */
const ALL_ENCODINGS_MS = 60_000;
/** The server waits 5 s before it has a layer paused. */
const PAUSED_MS = 7_500;
/** A paused encoding is switched on, encodes a keyframe, and the viewer switches to it; the estimate may have to climb again. */
const RESUMED_MS = 10_000;

/** The publisher's encodings: `rid` -> {active, frames}. */
const sent = async (page) => Object.fromEntries((await sentVideo(page)).map((one) => [one.rid, { active: one.active, frames: one.framesEncoded ?? 0 }]));

/** The rids of which frames were sent within a second. */
async function flowing(page) {
  const first = await sent(page);
  await delay(1_000);
  const second = await sent(page);
  return Object.keys(second).filter((rid) => second[rid].frames > (first[rid]?.frames ?? 0)).sort();
}

const flows = async (page, rids) => {
  const now = await flowing(page);
  return now.join() === rids.join() && now;
};

/** What a subscriber receives now. */
const received = async (page) => {
  const one = (await receivedVideo(page)) ?? {};
  return { height: one.frameHeight ?? 0, frames: one.framesDecoded ?? 0, freezes: one.freezeCount, plis: one.pliCount };
};

test('layers that nobody shows are paused at the publisher, and come back', { timeout: 180_000, skip }, async (t) => {
  const publisher = await joinRoom(bare, server, 'dynacast', 'publisher', { options: { dynacast: true } });
  await publishThreeEncodings(publisher);
  const viewer = await joinRoom(bare, server, 'dynacast', 'viewer');
  await until('three encodings sent', () => flows(publisher, ['f', 'h', 'q']), { ms: ALL_ENCODINGS_MS, everyMs: 100, describe: () => sent(publisher) });
  await until('720 lines', async () => (await received(viewer)).height === 720, { ms: RESUMED_MS, describe: () => received(viewer) });

  // Low: the upper encodings are paused, not before five seconds, and the picture goes on.
  let start = Date.now();
  await askQuality(viewer, 'LOW');
  await until('180 lines', async () => (await received(viewer)).height === 180, { ms: 4_000, describe: () => received(viewer) });
  const inactive = async () => Object.values(await sent(publisher)).filter((one) => !one.active).length === 2;
  await until('two encodings switched off', inactive, { ms: PAUSED_MS, everyMs: 50, describe: () => sent(publisher) });
  const paused = Date.now() - start;
  assert.ok(paused > 4_500, `paused after ${paused} ms`);
  await until('the low encoding alone', () => flows(publisher, ['q']), { ms: 4_000, everyMs: 0, describe: () => sent(publisher) });
  t.diagnostic(`upper encodings off after ${paused} ms`);
  const low = await received(viewer);
  await until('frames of the low encoding', async () => (await received(viewer)).frames > low.frames + 20, { ms: 8_000, describe: () => received(viewer) });

  // High again.
  start = Date.now();
  await askQuality(viewer, 'HIGH');
  await until('three encodings switched on', async () => Object.values(await sent(publisher)).every((one) => one.active), { ms: 2_000, everyMs: 20, describe: () => sent(publisher) });
  t.diagnostic(`upper encodings on after ${Date.now() - start} ms`);
  await until('720 lines again', async () => (await received(viewer)).height === 720, { ms: RESUMED_MS, everyMs: 50, describe: () => received(viewer) });
  t.diagnostic(`720 lines after ${Date.now() - start} ms: ${JSON.stringify(await received(viewer))}`);

  // Nobody is left: nothing is sent.
  start = Date.now();
  await viewer.evaluate(() => room.disconnect());
  await until('all encodings switched off', async () => Object.values(await sent(publisher)).every((one) => !one.active), { ms: PAUSED_MS, everyMs: 50, describe: () => sent(publisher) });
  t.diagnostic(`all encodings off after ${Date.now() - start} ms`);
  // What its pacer holds still leaves.
  await until('nothing sent', () => flows(publisher, []), { ms: 4_000, everyMs: 0, describe: () => sent(publisher) });

  // A new viewer gets a picture.
  start = Date.now();
  const second = await joinRoom(bare, server, 'dynacast', 'second viewer');
  await until('a picture', async () => (await received(second)).frames > 0, { ms: RESUMED_MS, everyMs: 20, describe: () => received(second) });
  t.diagnostic(`a new viewer's first frame ${Date.now() - start} ms after it began to join`);
  await until('720 lines', async () => (await received(second)).height === 720, { ms: ALL_ENCODINGS_MS, describe: () => received(second) });
});
