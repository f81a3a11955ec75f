// Owns publishing and playback by plain HTTP in Chromium, from pages of another origin: a WHIP publisher on the meeting
// page's tiles, and a WHEP player that goes on from one publisher to the next, with another codec, and over an ICE restart.
import assert from 'node:assert/strict';
import { skipWithout } from './harness/browser.mjs';
import { barePageForFile } from './harness/client.mjs';
import { Meeter } from './harness/meeting.mjs';
import { serverForFile } from './harness/server.mjs';
import { Streamer } from './harness/stream.mjs';
import { until } from './harness/wait.mjs';

const skip = skipWithout('chromium');
const options = { timeout: 120_000, skip };
const { server, test } = serverForFile({ args: ['--stun-servers', '127.0.0.1:3478'] });
const bare = barePageForFile(skip);

const publish = (path, more) => Streamer.publish(bare.browser, bare.origin, `${server.url}/whip/${path}`, more);
const play = (path, more) => Streamer.play(bare.browser, bare.origin, `${server.url}/whep/${path}`, more);

test('a publisher by WHIP is seen and heard on the meeting page, and is gone when it ends', options, async () => {
  const ada = await Meeter.join(bare.browser, server.url, { name: 'Ada', room: 'stage' });
  const player = await play('stage/caster');
  const caster = { identity: 'caster', name: 'caster' };
  const publisher = await publish('stage?identity=caster');
  assert.equal(publisher.created.link, '<stun:127.0.0.1:3478>; rel="ice-server"');
  // The player has no tile.
  await ada.seesExactly([caster]);
  await ada.seesFrames(caster);
  await ada.hears(caster);
  await player.plays();
  await publisher.end();
  await ada.seesExactly([]);
  await player.end();
  assert.equal(await server.metric('sfumato_http_sessions'), 0);
  await ada.close();
});

test('a player by WHEP goes on from the meeting page to a publisher by WHIP in the same stream', options, async (t) => {
  const player = await play('relay');
  const ada = await Meeter.join(bare.browser, server.url, { name: 'Ada', room: 'relay' });
  const before = await player.plays();
  const publisher = await publish('relay');
  await player.plays();
  await ada.leave();
  const after = await player.plays();
  t.diagnostic(JSON.stringify({ before, after }));
  assert.equal(after.video.ssrc, before.video.ssrc);
  assert.equal(after.audio.ssrc, before.audio.ssrc);
  assert.equal(after.video.lost, 0);
  await ada.close();
  await publisher.end();
  await player.end();
});

test('a player that reads one codec only is given the publisher that sends it, and may change codec', options, async (t) => {
  const any = await play('codecs');
  const vp9 = await play('codecs', { video: 'video/VP9' });
  const first = await publish('codecs', { video: 'video/VP8' });
  await any.plays({ codec: 'video/VP8' });
  assert.equal((await vp9.received('video'))?.frames ?? 0, 0);
  const second = await publish('codecs', { video: 'video/VP9' });
  await vp9.plays({ codec: 'video/VP9' });
  const before = await any.received('video');
  await first.end();
  const after = await any.plays({ codec: 'video/VP9' });
  t.diagnostic(JSON.stringify({ before, after: after.video }));
  assert.equal(after.video.ssrc, before.ssrc);
  await Promise.all([second.end(), any.end(), vp9.end()]);
});

test('candidates trickle, and ICE restarts at both ends while the picture runs', options, async () => {
  const publisher = await publish('moving');
  const player = await play('moving');
  await player.plays();
  for (const streamer of [publisher, player]) {
    assert.equal(await streamer.trickle(), 204);
    const before = await streamer.pair();
    const { status, tags } = await streamer.restartIce();
    assert.equal(status, 200);
    assert.notEqual(tags[0], tags[1]);
    assert.equal(await streamer.trickle(), 204);
    await until('a pair of the new generation', async () => {
      const pair = await streamer.pair();
      return pair.ufrag !== before.ufrag && pair.received > 0 && (await streamer.state()) === 'connected';
    }, { describe: () => streamer.pair() });
    await player.plays();
  }
  assert.equal(await server.metric('sfumato_http_ice_restarts_total'), 2);
  await Promise.all([publisher.end(), player.end()]);
});
