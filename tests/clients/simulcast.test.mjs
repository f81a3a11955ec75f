// Owns simulcast as a stock browser SDK sees it (RFC 8853): Chromium publishes three encodings of 1280x720, another page
// asks for the low one, the high one and the low one again, and gets the sizes, with frames advancing after each switch.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { launch, newPage, skipWithout } from './harness/browser.mjs';
import { serveBarePage } from './harness/http.mjs';
import { serverForFile } from './harness/server.mjs';
import { delay, until } from './harness/wait.mjs';

const skip = skipWithout('chromium');
const { server, test } = serverForFile();
/** The sender's own bandwidth estimate has to climb before it adds the upper encodings. */
const ALL_ENCODINGS_MS = 60_000;
/** A switch takes a keyframe request, a keyframe and one round of statistics. */
const SWITCH_MS = 10_000;
let browser;
let bare;
before(async () => {
  bare = await serveBarePage();
  if (!skip) browser = await launch('chromium');
}, { timeout: 90_000 });
after(async () => {
  await browser?.shut();
  bare.close();
}, { timeout: 30_000 });

async function joins(room, identity, options) {
  const page = await newPage(browser);
  await page.goto(bare.origin);
  const { token } = await server.devToken(room, identity);
  await page.evaluate(
    async (url, jwt, roomOptions) => {
      globalThis.room = new LivekitClient.Room(roomOptions);
      room.on('trackSubscribed', (track) => document.body.append(track.attach()));
      await room.connect(url, jwt);
    },
    server.wsUrl,
    token,
    options,
  );
  return page;
}

/** The encodings that are sent now: `rid` -> {width, height, frames}. */
const sent = (page) =>
  page.evaluate(async () => {
    const track = [...room.localParticipant.videoTrackPublications.values()][0]?.track;
    const encodings = {};
    (await track?.getRTCStatsReport())?.forEach((one) => {
      if (one.type === 'outbound-rtp' && one.kind === 'video' && one.rid) {
        encodings[one.rid] = { width: one.frameWidth ?? 0, height: one.frameHeight ?? 0, frames: one.framesEncoded ?? 0, active: one.active };
      }
    });
    return encodings;
  });

/** What the subscriber receives now. */
const received = (page) =>
  page.evaluate(async () => {
    const track = [...room.remoteParticipants.values()][0]?.videoTrackPublications.values().next().value?.track;
    let seen = { width: 0, height: 0, frames: 0 };
    (await track?.getRTCStatsReport())?.forEach((one) => {
      if (one.type === 'inbound-rtp' && one.kind === 'video') {
        seen = { width: one.frameWidth ?? 0, height: one.frameHeight ?? 0, frames: one.framesDecoded ?? 0, freezes: one.freezeCount, plis: one.pliCount };
      }
    });
    return seen;
  });

test('a subscriber that asks for low, high and low again gets the sizes', { timeout: 150_000, skip }, async (t) => {
  const publisher = await joins('simulcast', 'publisher', { adaptiveStream: false, dynacast: false });
  await publisher.evaluate(async () => {
    const { createLocalVideoTrack, VideoPreset } = LivekitClient;
    const track = await createLocalVideoTrack({ resolution: { width: 1280, height: 720, frameRate: 15 } });
    await room.localParticipant.publishTrack(track, {
      simulcast: true,
      videoCodec: 'vp8',
      videoEncoding: { maxBitrate: 700_000, maxFramerate: 15 },
      // Small bit rates, so that an estimate that starts at 300 kbit/s soon has room for all three.
      videoSimulcastLayers: [new VideoPreset(320, 180, 100_000, 15), new VideoPreset(640, 360, 220_000, 15)],
      degradationPreference: 'maintain-resolution',
    });
  });
  const subscriber = await joins('simulcast', 'subscriber', { adaptiveStream: false, dynacast: false });
  await until('three encodings sent', async () => Object.values(await sent(publisher)).filter((one) => one.frames > 15 && one.width).length === 3, {
    ms: ALL_ENCODINGS_MS,
    everyMs: 500,
    describe: () => sent(publisher),
  });
  t.diagnostic(`sent: ${JSON.stringify(await sent(publisher))}`);
  assert.deepEqual(Object.values(await sent(publisher)).map((one) => one.width).sort((a, b) => a - b), [320, 640, 1280]);

  for (const [quality, width, height] of [['LOW', 320, 180], ['HIGH', 1280, 720], ['LOW', 320, 180], ['MEDIUM', 640, 360]]) {
    const start = Date.now();
    await subscriber.evaluate((wanted) => {
      const publication = [...room.remoteParticipants.values()][0].videoTrackPublications.values().next().value;
      publication.setVideoQuality(LivekitClient.VideoQuality[wanted]);
    }, quality);
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
