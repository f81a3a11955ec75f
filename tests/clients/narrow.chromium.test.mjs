// Owns what a viewer's stock SDK makes of a narrow link: of a simulcast camera it gets what fits, without loss, and nothing is paused.
import assert from 'node:assert/strict';
import { skipWithout } from './harness/browser.mjs';
import { barePageForFile, joinRoom, publishThreeEncodings, receivedVideo, sentVideo } from './harness/client.mjs';
import { Link, between, countersOf } from './harness/link.mjs';
import { serverForFile } from './harness/server.mjs';
import { delay, until } from './harness/wait.mjs';

const skip = skipWithout('chromium');
const { server, test } = serverForFile({ shards: 1 });
const bare = barePageForFile(skip);
const ALL_ENCODINGS_MS = 60_000;
/** An estimate to be made, a lower encoding's keyframe, the queue of the link to empty. */
const SETTLE_MS = 20_000;
const SECONDS = 15;

/** Three encodings of about 100, 220 and 700 kbit/s, and a microphone. */
async function publish(room) {
  const publisher = await joinRoom(bare, server, room, 'publisher');
  await publishThreeEncodings(publisher);
  await publisher.evaluate(() => globalThis.room.localParticipant.setMicrophoneEnabled(true));
  const sent = async () => (await sentVideo(publisher)).filter((one) => one.framesEncoded > 15 && one.frameWidth).length;
  await until('three encodings sent', async () => (await sent()) === 3, { ms: ALL_ENCODINGS_MS, everyMs: 500, describe: sent });
}

/** The states that the SDK was told, oldest first. */
const told = (page) => page.evaluate(() => globalThis.told);

/** Has a viewer look at a room through a link of so many kbit/s. */
async function behind(rate, room, look) {
  const link = await Link.start(server, { rate, delay: 20 });
  let page;
  try {
    page = await joinRoom(bare, server, room, 'viewer', { prepare: link.prepare });
    await page.evaluate(() => {
      globalThis.told = [];
      globalThis.room.on('trackStreamStateChanged', (publication, state) => globalThis.told.push(`${publication.kind} ${state}`));
    });
    await look(page);
  } finally {
    await page?.browserContext().close();
    await link.stop();
  }
}

test('a link of 450 kbit/s gets an encoding that fits, without loss', { timeout: 180_000, skip }, async (t) => {
  await publish('narrow');
  await behind(450, 'narrow', async (page) => {
    await until('frames', async () => (await countersOf(page)).framesDecoded > 30, { ms: 30_000, everyMs: 250 });
    await delay(SETTLE_MS);
    const before = await countersOf(page);
    await delay(SECONDS * 1_000);
    const seen = between(before, await countersOf(page));
    const { frameWidth } = await receivedVideo(page);
    t.diagnostic(JSON.stringify({ frameWidth, ...seen, told: await told(page) }));
    assert.ok(frameWidth <= 640, `${frameWidth} pixels wide`);
    assert.ok(seen.packetsLost <= 0.02 * seen.packetsReceived, `${seen.packetsLost} of ${seen.packetsReceived} lost`);
    // Temporal layers may be left out: of thirty frames a quarter stays.
    assert.ok(seen.framesPerSecond > 5, `${seen.framesPerSecond} frames a second`);
    assert.deepEqual(await told(page), [], 'nothing is paused');
  });
});
