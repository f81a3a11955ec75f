// Owns loss recovery as a viewer's browser shows it (case S5, in short; load-tests/lossy-viewers.mjs is the whole grid): Chromium watches
// behind a relay that loses 5 % towards it, and its picture does not freeze. It publishes a microphone too: so it knows its round trip time.
import assert from 'node:assert/strict';
import { skipWithout } from './harness/browser.mjs';
import { barePageForFile, joinRoom, publishCamera } from './harness/client.mjs';
import { watchBehind } from './harness/link.mjs';
import { serverForFile } from './harness/server.mjs';

const skip = skipWithout('chromium');
const { server, test } = serverForFile({ shards: 1 });
const bare = barePageForFile(skip);
const SECONDS = 15;
/** Percent of the time (S5). */
const MOST_FROZEN = 1;

test('a viewer behind a link that loses 5 % sees no frozen picture', { timeout: 120_000, skip }, async (t) => {
  const publisher = await joinRoom(bare, server, 'lossy', 'publisher');
  const options = { simulcast: false, videoCodec: 'vp8', videoEncoding: { maxBitrate: 800_000, maxFramerate: 30 } };
  await publishCamera(publisher, { width: 640, height: 360, frameRate: 30 }, options);
  const seen = await watchBehind({ loss: 5, lossy: 'down', delay: 10 }, bare, server, 'lossy', 'viewer', SECONDS, { speaks: true });
  t.diagnostic(JSON.stringify(seen));
  assert.ok(seen.link.down.lost > 0, 'the link loses');
  assert.ok(seen.framesPerSecond > 15, `${seen.framesPerSecond} frames a second`);
  assert.ok(seen.frozen < MOST_FROZEN, `frozen ${seen.frozen} % of the time`);
  assert.ok(seen.pliCount <= 1, `${seen.pliCount} PLI: what is lost comes again, not anew`);
});
