// Owns layer switches as a viewer's browser shows them: Chromium publishes simulcast (VP8, H.264) and SVC (VP9, AV1: L3T3_KEY),
// another page asks for one quality after the other. The size follows each wish, pictures go on without freezes, keyframe
// requests stay few. LAYER_SWITCHES=500 makes it long. A third page watches one quality all the time: what freezes there, too, is the
// machine's doing, or the publisher's.
import assert from 'node:assert/strict';
import { skipWithout } from './harness/browser.mjs';
import { askQuality, barePageForFile, joinRoom, publishCamera, receivedVideo, sentVideo } from './harness/client.mjs';
import { between, countersOf } from './harness/link.mjs';
import { serverForFile } from './harness/server.mjs';
import { delay, until } from './harness/wait.mjs';

const skip = skipWithout('chromium');
const { server, test } = serverForFile();
const bare = barePageForFile(skip);
const SWITCHES = Number(process.env.LAYER_SWITCHES ?? 8);
/** The sender's own bandwidth estimate has to climb before it sends all layers. */
const ALL_LAYERS_MS = 60_000;
/** A keyframe request, a keyframe, and one round of statistics; the machine may be busy with three encoders. */
const SWITCH_MS = 10_000;
/** Pictures at each size before the next wish. */
const FRAMES_AT_EACH = 5;
/** The SDK sends three layers from 960 pixels on; these divide by 4 without a rest. */
const SOURCE = { width: 960, height: 544, frameRate: 15 };
const SIZES = { LOW: [240, 136], MEDIUM: [480, 272], HIGH: [960, 544] };
const COMMON = { degradationPreference: 'maintain-resolution', videoEncoding: { maxBitrate: 500_000, maxFramerate: 15 } };
const SIMULCAST = { ...COMMON, simulcast: true, videoSimulcastLayers: [[240, 136, 60_000, 15], [480, 272, 150_000, 15]] };
const SVC = { ...COMMON, backupCodec: false, scalabilityMode: 'L3T3_KEY', videoEncoding: { maxBitrate: 2_000_000, maxFramerate: 15 } };
const CASES = [
  { codec: 'vp8', options: SIMULCAST },
  { codec: 'h264', options: SIMULCAST },
  { codec: 'vp9', options: SVC },
  { codec: 'av1', options: SVC },
];

const canSend = (page, codec) => page.evaluate((mime) => RTCRtpSender.getCapabilities('video').codecs.some((one) => one.mimeType.toLowerCase() === mime), `video/${codec}`);

/** Whether all layers are sent, the largest in full size. */
async function sendsAll(page) {
  const sent = await sentVideo(page);
  const wide = sent.some((one) => one.frameWidth === SOURCE.width && one.framesEncoded > 15);
  return wide && sent.every((one) => one.framesEncoded > 5 && (!one.scalabilityMode || sent.length > 1 || one.scalabilityMode === SVC.scalabilityMode));
}

/** The next quality to ask for: up, down, over one and back, in a fixed order that visits every pair. */
const wishAt = (step) => ['LOW', 'HIGH', 'MEDIUM', 'LOW', 'MEDIUM', 'HIGH'][step % 6];

for (const { codec, options } of CASES) {
  test(`${codec}: ${SWITCHES} switches, no freeze`, { timeout: 120_000 + SWITCHES * 3_000, skip }, async (t) => {
    const room = `layers-${codec}`;
    const publisher = await joinRoom(bare, server, room, 'publisher');
    if (!(await canSend(publisher, codec))) return t.skip(`this browser sends no ${codec}`);
    await publishCamera(publisher, SOURCE, { ...options, videoCodec: codec });
    const subscriber = await joinRoom(bare, server, room, 'subscriber');
    await until('all layers sent', () => sendsAll(publisher), { ms: ALL_LAYERS_MS, everyMs: 500, describe: () => sentVideo(publisher) });
    const steady = await joinRoom(bare, server, room, 'steady');
    await switchTo(steady, 'HIGH');
    await switchTo(subscriber, 'HIGH');
    // The jitter buffer learns the stream.
    await delay(2_000);
    const before = { received: await countersOf(subscriber), steady: await countersOf(steady), keyframes: await keyframes(publisher) };
    const waits = [];
    for (let step = 0; step < SWITCHES; step++) waits.push(await switchTo(subscriber, wishAt(step)));
    const seen = between(before.received, await countersOf(subscriber));
    const alike = between(before.steady, await countersOf(steady));
    const made = (await keyframes(publisher)) - before.keyframes;
    waits.sort((a, b) => a - b);
    t.diagnostic(`${JSON.stringify(seen)}, keyframes made ${made}, a switch took ${waits[waits.length >> 1]} ms (median), ${waits.at(-1)} ms at most; ${alike.freezeCount} freezes without switches`);
    assert.ok(seen.freezeCount <= alike.freezeCount, `${seen.freezeCount} freezes, ${alike.freezeCount} without switches`);
    assert.equal(seen.packetsLost, 0);
    // A receiver that lost its way asks again and again.
    assert.ok(seen.pliCount <= 1, `${seen.pliCount} PLI`);
    // The server asks once for each switch that needs one, and again if that takes long.
    assert.ok(made <= 3 * 2 * SWITCHES, `${made} keyframes`);
    await Promise.all([publisher, subscriber, steady].map((page) => page.browserContext().close()));
  });
}

/** Asks for a quality and waits until it is shown, and goes on. @returns {Promise<number>} how long the first picture took, ms */
async function switchTo(subscriber, quality) {
  const [width, height] = SIZES[quality];
  const start = Date.now();
  await askQuality(subscriber, quality);
  const shown = async () => {
    const seen = await receivedVideo(subscriber);
    return seen?.frameWidth === width && seen.frameHeight === height && seen;
  };
  const describe = () => receivedVideo(subscriber);
  const first = await until(`${width}x${height} after asking for ${quality}`, shown, { ms: SWITCH_MS, everyMs: 50, describe });
  const took = Date.now() - start;
  await until(`frames advancing at ${quality}`, async () => (await receivedVideo(subscriber)).framesDecoded >= first.framesDecoded + FRAMES_AT_EACH, { ms: SWITCH_MS, describe });
  return took;
}

const keyframes = async (page) => (await sentVideo(page)).reduce((sum, one) => sum + one.keyFramesEncoded, 0);
