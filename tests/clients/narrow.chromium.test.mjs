// Owns what a viewer's stock SDK makes of a narrow link: of a simulcast camera it gets what fits, comes back to all when the link is wide, and
// where not even the least fits it is told that the track is paused (TrackStreamStateChanged), its microphones going on.
import assert from 'node:assert/strict';
import { skipWithout } from './harness/browser.mjs';
import { barePageForFile, joinRoom, publishCamera, publishThreeEncodings, receivedVideo, sentVideo } from './harness/client.mjs';
import { Link, between, countersOf } from './harness/link.mjs';
import { serverForFile } from './harness/server.mjs';
import { delay, until } from './harness/wait.mjs';

const skip = skipWithout('chromium');
const { server, test } = serverForFile({ shards: 1 });
const bare = barePageForFile(skip);
const ALL_ENCODINGS_MS = 60_000;
/** An estimate to be made, a lower encoding's keyframe, the queue of the link to empty. */
const SETTLE_MS = 20_000;
/** Several times as long as the server waits until it tries more again: such a trial fills the link's queue for a moment. */
const SECONDS = 90;

/** A microphone, and a camera whose `encodings` are sent when this returns. */
async function publish(room, encodings, camera) {
  const publisher = await joinRoom(bare, server, room, 'publisher');
  await camera(publisher);
  await publisher.evaluate(() => globalThis.room.localParticipant.setMicrophoneEnabled(true));
  const sent = async () => (await sentVideo(publisher)).filter((one) => one.framesEncoded > 15 && one.frameWidth).length;
  await until(`${encodings} encodings sent`, async () => (await sent()) === encodings, { ms: ALL_ENCODINGS_MS, everyMs: 500, describe: sent });
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

/** What `look` gives in each of so many seconds. */
async function eachSecond(seconds, look) {
  const seen = [];
  while (seen.length < seconds) {
    await delay(1_000);
    seen.push(await look());
  }
  return seen;
}

/** Packets of audio received so far. */
const heard = (page) =>
  page.evaluate(async () => {
    const publications = [...globalThis.room.remoteParticipants.values()].flatMap((one) => [...one.audioTrackPublications.values()]);
    const report = await publications.find((one) => one.track)?.track.getRTCStatsReport();
    return [...(report?.values() ?? [])].find((one) => one.type === 'inbound-rtp')?.packetsReceived ?? 0;
  });

test('a link of 450 kbit/s gets an encoding that fits, with hardly any loss', { timeout: 270_000, skip }, async (t) => {
  await publish('narrow', 3, publishThreeEncodings);
  await behind(450, 'narrow', async (page) => {
    await until('frames', async () => (await countersOf(page)).framesDecoded > 30, { ms: 30_000, everyMs: 250 });
    await delay(SETTLE_MS);
    const before = await countersOf(page);
    const widths = await eachSecond(SECONDS, async () => (await receivedVideo(page)).frameWidth);
    const seen = between(before, await countersOf(page));
    t.diagnostic(JSON.stringify({ widths: widths.join(' '), ...seen, told: await told(page) }));
    const tooWide = widths.filter((width) => width > 640).length;
    assert.ok(tooWide <= 0.2 * SECONDS, `for ${tooWide} s more than fits: ${widths}`);
    assert.ok(seen.packetsLost <= 0.02 * seen.packetsReceived, `${seen.packetsLost} of ${seen.packetsReceived} lost`);
    assert.ok(seen.frozen <= 10, `frozen ${seen.frozen} % of the time`);
    // Temporal layers may be left out: of fifteen frames or thirty half or a quarter stays.
    assert.ok(seen.framesPerSecond > 5, `${seen.framesPerSecond} frames a second`);
    assert.deepEqual(await told(page), [], 'nothing is paused');
  });
});

test('a link too narrow for the least is told that the video is paused, and goes on hearing', { timeout: 180_000, skip }, async (t) => {
  // One encoding without layers: there is nothing less of it to send.
  const options = { simulcast: false, videoCodec: 'vp8', scalabilityMode: 'L1T1', videoEncoding: { maxBitrate: 400_000, maxFramerate: 15 } };
  await publish('hopeless', 1, (page) => publishCamera(page, { width: 640, height: 360, frameRate: 15 }, options));
  await behind(120, 'hopeless', async (page) => {
    const paused = async () => (await told(page)).includes('video paused');
    await until('the track paused', paused, { ms: 60_000, everyMs: 250, describe: () => told(page) });
    await delay(5_000);
    const before = await heard(page);
    await delay(5_000);
    const packets = (await heard(page)) - before;
    t.diagnostic(JSON.stringify({ told: await told(page), packets }));
    assert.ok(packets > 150, `${packets} packets of audio in 5 s`);
    assert.ok(!(await told(page)).some((state) => state.startsWith('audio')), 'audio is never paused');
  });
});
