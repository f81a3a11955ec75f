// Owns what becomes of Chromium's video when its way to the server loses or reorders packets: another page sees it all the same.
// Recovery of all three encodings is judged by the server's figures, of the one that is watched by the viewer's statistics.
import assert from 'node:assert/strict';
import { skipWithout } from './harness/browser.mjs';
import { askQuality, barePageForFile, joinRoom, publishCamera, receivedVideo, sentVideo } from './harness/client.mjs';
import { Relay, redirect } from './harness/relay.mjs';
import { serverForFile } from './harness/server.mjs';
import { delay, until } from './harness/wait.mjs';

const skip = skipWithout('chromium');
// One media port to find.
const { server, test } = serverForFile({ shards: 1 });
const bare = barePageForFile(skip);
/** Each way, so that a packet that is lost takes a tenth of a second to come again. */
const DELAY_MS = 25;
const LOSSY_MS = 15_000;
const ALL_ENCODINGS_MS = 60_000;

const FIGURES = {
  asked: 'sfumato_nacks_sent_total',
  rtx: 'sfumato_rtx_packets_received_total',
  useless: 'sfumato_rtx_useless_total',
  padding: 'sfumato_rtx_padding_total',
  malformed: 'sfumato_rtx_malformed_total',
  recovered: 'sfumato_packets_recovered_total',
  givenUp: 'sfumato_packets_given_up_total',
  keyframes: 'sfumato_keyframe_requests_sent_total',
  packets: 'sfumato_rtp_packets_received_total',
};

async function figures() {
  const read = await Promise.all(Object.values(FIGURES).map((name) => server.metric(name)));
  return Object.fromEntries(Object.keys(FIGURES).map((name, index) => [name, read[index]]));
}

const minus = (after, before) => Object.fromEntries(Object.keys(after).map((name) => [name, after[name] - before[name]]));

const seen = async (page) => {
  const one = (await receivedVideo(page)) ?? {};
  const { framesDecoded = 0, packetsReceived = 0, packetsLost = 0, freezeCount = 0, nackCount = 0, pliCount = 0 } = one;
  return { framesDecoded, packetsReceived, packetsLost, freezeCount, nackCount, pliCount };
};

/** Frames of the low encoding, which the viewer gets. */
const encoded = async (page) => ({ frames: (await sentVideo(page)).find((one) => one.rid === 'q').framesEncoded });

/** What happened while `during` lasted. */
async function over(publisher, subscriber, during) {
  const [before, sent, viewed] = [await figures(), await encoded(publisher), await seen(subscriber)];
  await during();
  const publisherSent = minus(await encoded(publisher), sent);
  return { ...minus(await figures(), before), publisher: publisherSent, viewer: minus(await seen(subscriber), viewed) };
}

test('what the way from a browser loses comes again, and what is late is waited for', { timeout: 180_000, skip }, async (t) => {
  const port = server.mediaPort;
  const relay = await new Relay(port).start();
  t.after(() => relay.close());
  relay.delayMs = DELAY_MS;
  const publisher = await joinRoom(bare, server, 'loss', 'publisher', { prepare: (page) => redirect(page, port, relay.port) });
  await publishCamera(publisher, { width: 1280, height: 720, frameRate: 15 }, {
    simulcast: true,
    videoCodec: 'vp8',
    videoEncoding: { maxBitrate: 700_000, maxFramerate: 15 },
    videoSimulcastLayers: [[320, 180, 100_000, 15], [640, 360, 220_000, 15]],
    degradationPreference: 'maintain-resolution',
  });
  const subscriber = await joinRoom(bare, server, 'loss', 'subscriber');
  const flowing = async () => (await sentVideo(publisher)).filter((one) => (one.framesEncoded ?? 0) > 15 && one.frameWidth).length;
  await until('three encodings sent', async () => (await flowing()) === 3, { ms: ALL_ENCODINGS_MS, everyMs: 500, describe: flowing });
  await until('pictures', async () => (await seen(subscriber)).framesDecoded > 30);
  // The one encoding that a busy machine does not make Chromium leave out: going to another would need a keyframe.
  await askQuality(subscriber, 'LOW');
  await until('the low encoding', async () => (await receivedVideo(subscriber))?.frameHeight === 180);
  await delay(2_000);

  const lossy = await over(publisher, subscriber, async () => {
    relay.loss = 0.05;
    await delay(LOSSY_MS);
    relay.loss = 0;
    await delay(2_000);
  });
  t.diagnostic(`5 % lost (${relay.lost} of ${relay.sent}): ${JSON.stringify(lossy)}`);
  assert.ok(relay.lost > 30, 'packets were lost');
  assert.ok(lossy.recovered >= 30, 'and came again');
  assert.equal(lossy.givenUp, 0);
  assert.equal(lossy.malformed, 0);
  assert.ok(lossy.viewer.packetsLost <= 2, 'the viewer lost nothing');
  assert.ok(lossy.viewer.framesDecoded >= lossy.publisher.frames * 0.9, 'and saw every frame');
  assert.equal(lossy.keyframes, 0, 'nobody needed a keyframe');

  const reordered = await over(publisher, subscriber, async () => {
    relay.late = { share: 0.01, ms: 50 };
    await delay(LOSSY_MS);
    relay.late = { share: 0, ms: 0 };
    await delay(1_000);
  });
  t.diagnostic(`1 % late by 50 ms: ${JSON.stringify(reordered)}`);
  assert.equal(reordered.keyframes, 0);
  assert.equal(reordered.givenUp, 0);
  assert.ok(reordered.viewer.packetsLost <= 2);
});
