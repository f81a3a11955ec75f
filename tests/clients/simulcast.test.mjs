// Owns simulcast as a stock browser SDK sees it (RFC 8853): Chromium publishes three encodings of 1280x720, another page
// asks for the low one, the high one and the low one again, and gets the sizes, with frames advancing after each switch.
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
/** A switch takes a keyframe request, a keyframe and one round of statistics. */
const SWITCH_MS = 10_000;

/** The encodings that are sent now. */
const sent = async (page) => (await sentVideo(page)).map((one) => ({ rid: one.rid, width: one.frameWidth ?? 0, height: one.frameHeight ?? 0, frames: one.framesEncoded ?? 0, active: one.active }));

/** What the subscriber receives now. */
const received = async (page) => {
  const one = (await receivedVideo(page)) ?? {};
  return { width: one.frameWidth ?? 0, height: one.frameHeight ?? 0, frames: one.framesDecoded ?? 0, freezes: one.freezeCount, plis: one.pliCount };
};

test('a subscriber that asks for low, high and low again gets the sizes', { timeout: 150_000, skip }, async (t) => {
  const publisher = await joinRoom(bare, server, 'simulcast', 'publisher');
  await publishThreeEncodings(publisher);
  const subscriber = await joinRoom(bare, server, 'simulcast', 'subscriber');
  await until('three encodings sent', async () => (await sent(publisher)).filter((one) => one.frames > 15 && one.width).length === 3, {
    ms: ALL_ENCODINGS_MS,
    everyMs: 500,
    describe: () => sent(publisher),
  });
  t.diagnostic(`sent: ${JSON.stringify(await sent(publisher))}`);
  assert.deepEqual((await sent(publisher)).map((one) => one.width).sort((a, b) => a - b), [320, 640, 1280]);

  for (const [quality, width, height] of [['LOW', 320, 180], ['HIGH', 1280, 720], ['LOW', 320, 180], ['MEDIUM', 640, 360]]) {
    const start = Date.now();
    await askQuality(subscriber, quality);
    const asked = async () => {
      const seen = await received(subscriber);
      return seen.width === width && seen.height === height && seen;
    };
    const first = await until(`${width}x${height} after asking for ${quality}`, asked, { ms: SWITCH_MS, describe: () => received(subscriber) });
    t.diagnostic(`${quality}: ${width}x${height} after ${Date.now() - start} ms`);
    await until(`frames advancing at ${quality}`, async () => (await received(subscriber)).frames >= first.frames + 20, { ms: 10_000, describe: () => received(subscriber) });
    await delay(1_000);
    const settled = await received(subscriber);
    assert.deepEqual([settled.width, settled.height], [width, height], 'the size stays');
  }
});
