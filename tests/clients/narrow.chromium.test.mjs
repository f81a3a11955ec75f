// Owns what a viewer's stock SDK makes of a narrow link: of a simulcast camera it gets what fits, comes back to all when the link is wide, and
// where not even the least fits it is told that the track is paused (TrackStreamStateChanged), its microphones going on.
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

/** Packets of audio received so far. */
const heard = (page) =>
  page.evaluate(async () => {
    const publications = [...globalThis.room.remoteParticipants.values()].flatMap((one) => [...one.audioTrackPublications.values()]);
    const report = await publications.find((one) => one.track)?.track.getRTCStatsReport();
    return [...(report?.values() ?? [])].find((one) => one.type === 'inbound-rtp')?.packetsReceived ?? 0;
  });

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

test('a link too narrow for the least is told that the video is paused, and goes on hearing', { timeout: 180_000, skip }, async (t) => {
  await publish('hopeless');
  await behind(90, 'hopeless', async (page) => {
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
