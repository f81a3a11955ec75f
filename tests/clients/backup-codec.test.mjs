// Owns a track in two codecs, as a stock browser SDK publishes it (`backupCodec`): Chromium sends VP9, and VP8 as well once a
// viewer comes that decodes VP8 alone. By the publisher's policy each gets what it can decode, or everybody VP8.
import assert from 'node:assert/strict';
import { skipWithout } from './harness/browser.mjs';
import { barePageForFile, joinRoom, publishCamera } from './harness/client.mjs';
import { serverForFile } from './harness/server.mjs';
import { until } from './harness/wait.mjs';

const skip = skipWithout('chromium');
const { server, test } = serverForFile();
const bare = barePageForFile(skip);
/** A viewer fails to get the first codec, the publisher negotiates another section, its encoder starts. */
const BACKUP_MS = 15_000;
/** The server waits 5 s before it has a codec paused. */
const PAUSED_MS = 8_000;

/** Has a page offer to receive VP8 alone, as an older client does. */
const decodesVp8 = (page) =>
  page.evaluateOnNewDocument(() => {
    const { addTransceiver } = RTCPeerConnection.prototype;
    RTCPeerConnection.prototype.addTransceiver = function (kind, init) {
      const transceiver = addTransceiver.call(this, kind, init);
      if (kind === 'video') {
        const { codecs } = RTCRtpReceiver.getCapabilities('video');
        transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => ['video/VP8', 'video/rtx'].includes(mimeType)));
      }
      return transceiver;
    };
  });

const joins = (room, identity) => joinRoom(bare, server, room, identity);
const joinsDecodingVp8 = (room, identity) => joinRoom(bare, server, room, identity, { prepare: decodesVp8 });
const joinsToPublish = (room) => joinRoom(bare, server, room, 'publisher', { options: { dynacast: true } });

const publishes = (page, backupCodecPolicy) =>
  publishCamera(page, { width: 640, height: 360, frameRate: 15 }, {
    videoCodec: 'vp9',
    backupCodec: { codec: 'vp8', encoding: { maxBitrate: 400_000, maxFramerate: 15 } },
    backupCodecPolicy,
    videoEncoding: { maxBitrate: 400_000, maxFramerate: 15 },
  });

/** What a page receives now. */
const received = (page) =>
  page.evaluate(async () => {
    const track = [...room.remoteParticipants.values()][0]?.videoTrackPublications.values().next().value?.track;
    const subscribed = document.querySelectorAll('video').length;
    let seen = { codec: null, frames: 0, subscribed };
    (await track?.getRTCStatsReport())?.forEach((one, _, report) => {
      if (one.type === 'inbound-rtp' && one.kind === 'video') {
        seen = { codec: report.get(one.codecId)?.mimeType ?? null, frames: one.framesDecoded ?? 0, freezes: one.freezeCount, frozen: one.totalFreezesDuration, subscribed };
      }
    });
    return seen;
  });

/** The codecs that the publisher encodes now: mime type -> frames so far of its active encodings. */
const sent = (page) =>
  page.evaluate(async () => {
    const codecs = {};
    const track = [...room.localParticipant.videoTrackPublications.values()][0]?.track;
    const senders = [track.sender, ...[...track.simulcastCodecs.values()].map((one) => one.sender)].filter(Boolean);
    for (const sender of senders) {
      (await sender.getStats()).forEach((one, _, report) => {
        const mime = one.type === 'outbound-rtp' && report.get(one.codecId)?.mimeType;
        if (mime && one.active) codecs[mime] = (codecs[mime] ?? 0) + one.framesEncoded;
      });
    }
    return codecs;
  });

const sees = (page, codec, frames = 0) => async () => {
  const seen = await received(page);
  return seen.codec === codec && seen.frames > frames && seen;
};

test('each viewer gets the codec it decodes, and the backup stops with the last that needs it', { timeout: 150_000, skip }, async (t) => {
  const publisher = await joinsToPublish('both');
  await publishes(publisher, 1 /* SIMULCAST */);
  const modern = await joins('both', 'modern');
  await until('VP9', sees(modern, 'video/VP9', 10), { ms: BACKUP_MS, describe: () => received(modern) });
  assert.deepEqual(Object.keys(await sent(publisher)), ['video/VP9'], 'nobody needs the backup yet');

  const start = Date.now();
  const old = await joinsDecodingVp8('both', 'old');
  await until('VP8', sees(old, 'video/VP8'), { ms: BACKUP_MS, everyMs: 20, describe: () => received(old) });
  t.diagnostic(`first VP8 frame ${Date.now() - start} ms after its viewer began to join`);
  const { frames } = await received(modern);
  await until('VP9 beside it', sees(modern, 'video/VP9', frames + 20), { ms: BACKUP_MS, describe: () => received(modern) });
  await until('more VP8', sees(old, 'video/VP8', 20), { ms: BACKUP_MS, describe: () => received(old) });
  assert.deepEqual(Object.keys(await sent(publisher)).sort(), ['video/VP8', 'video/VP9']);
  const listed = await modern.evaluate(() => [...room.remoteParticipants.values()].flatMap((one) => [...one.videoTrackPublications.values()]).map((one) => one.trackInfo.codecs.map((codec) => [codec.mimeType, codec.mid !== ''])));
  assert.deepEqual(listed, [[['video/VP9', true], ['video/VP8', true]]], 'one track in two codecs');

  await old.evaluate(() => room.disconnect());
  await until('VP9 alone', async () => Object.keys(await sent(publisher)).join() === 'video/VP9', { ms: PAUSED_MS, describe: () => sent(publisher) });
  const again = Date.now();
  const older = await joinsDecodingVp8('both', 'older');
  await until('VP8 again', sees(older, 'video/VP8'), { ms: BACKUP_MS, everyMs: 20, describe: () => received(older) });
  t.diagnostic(`VP8 again ${Date.now() - again} ms after its viewer began to join`);
});

test('with regression everybody comes to see the backup, and the first codec stops', { timeout: 150_000, skip }, async (t) => {
  const publisher = await joinsToPublish('regression');
  await publishes(publisher, undefined /* the default, PREFER_REGRESSION */);
  const modern = await joins('regression', 'modern');
  await until('VP9', sees(modern, 'video/VP9', 10), { ms: BACKUP_MS, describe: () => received(modern) });
  const old = await joinsDecodingVp8('regression', 'old');
  await until('VP8', sees(old, 'video/VP8', 10), { ms: BACKUP_MS, describe: () => received(old) });
  const changed = await until('VP8 for the other too', sees(modern, 'video/VP8'), { ms: BACKUP_MS, everyMs: 20, describe: () => received(modern) });
  const later = await until('more of it', sees(modern, 'video/VP8', changed.frames + 30), { ms: BACKUP_MS, describe: () => received(modern) });
  t.diagnostic(`after the change: ${JSON.stringify(later)}`);
  assert.equal(later.subscribed, 1, 'the same track goes on');
  await until('VP8 alone', async () => Object.keys(await sent(publisher)).join() === 'video/VP8', { ms: PAUSED_MS, describe: () => sent(publisher) });
});
