// Owns bad input at the signalling port: tokens, join requests, frames and offers that are wrong in every way a stranger or
// a broken client can make them. What always holds: the refusal is clear, and a witness in the same room goes on.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { serverForFile } from './harness/server.mjs';
import { address, joinRequest, RawClient, refused, wrap } from './harness/signal.mjs';
import { GSM, H261, isActive, offerSdp, OPUS, sectionsOf, VP8 } from './harness/sdp.mjs';
import { accessToken } from './harness/token.mjs';
import { until, within } from './harness/wait.mjs';

const options = { timeout: 60_000 };
const { server, test } = serverForFile();
const MIB = 1024 * 1024;
/** The largest signalling frame that the server reads. */
const MAX_FRAME = 2 * MIB;
const seconds = () => Math.floor(Date.now() / 1000);

function join(room, identity, more = {}) {
  return RawClient.join(server, { token: accessToken({ room, identity, ...more.token }), fields: more.fields });
}

/** Runs `fn` with a witness in the room who must still be served afterwards. */
async function withWitness(room, fn) {
  const witness = await join(room, 'witness');
  await witness.alive();
  await fn(witness);
  await witness.alive();
  await witness.close();
}

const GOOD = { room: 'tokens', identity: 'eve' };
const WRONG_TOKENS = {
  'no token': [undefined, 401],
  'an empty token': ['', 401],
  'garbage': ['not.a.token', 401],
  'random bytes': [randomBytes(60).toString('base64url'), 401],
  'a very long token': ['a'.repeat(6_000), 401],
  'an expired token': [() => accessToken({ ...GOOD, now: seconds() - 7_200 }), 401],
  'a token that is not valid yet': [() => accessToken({ ...GOOD, claims: { nbf: seconds() + 3_600, exp: seconds() + 7_200 } }), 401],
  'a token without an end': [() => accessToken({ ...GOOD, claims: { exp: undefined } }), 401],
  'a foreign signature': [() => accessToken({ ...GOOD, secret: 'another secret' }), 401],
  'a foreign key': [() => accessToken({ ...GOOD, key: 'nobody' }), 401],
  'algorithm none': [() => accessToken({ ...GOOD, header: { alg: 'none' } }), 401],
  'algorithm HS512': [() => accessToken({ ...GOOD, header: { alg: 'HS512' } }), 401],
  'a changed payload': [() => swapPayload(accessToken(GOOD), accessToken({ ...GOOD, identity: 'admin' })), 401],
  'a token without roomJoin': [() => accessToken({ ...GOOD, video: { roomJoin: false } }), 401],
  'a token without grants': [() => accessToken({ ...GOOD, claims: { video: undefined } }), 401],
  'a token without a room': [() => accessToken({ identity: 'eve' }), 400],
  'a token with an empty room': [() => accessToken({ identity: 'eve', room: '' }), 400],
  'a token without an identity': [() => accessToken({ room: 'tokens' }), 400],
};

function swapPayload(signed, other) {
  const [head, , signature] = signed.split('.');
  return [head, other.split('.')[1], signature].join('.');
}

for (const [what, [make, status]] of Object.entries(WRONG_TOKENS)) {
  test(`${what} is refused with ${status}, at the socket and at validate`, options, async () => {
    const token = typeof make === 'function' ? make() : make;
    const answer = await refused(address(server, { token, join: joinRequest() }));
    assert.equal(answer.status, status, answer.body);
    assert.ok(answer.body.length > 0, 'the refusal has a reason');
    const url = address(server, { path: '/rtc/v1/validate', token, join: joinRequest() }).replace(/^ws/, 'http');
    const response = await within(5_000, 'answer', fetch(url));
    assert.equal(response.status, status);
    assert.equal(response.headers.get('access-control-allow-origin'), '*');
  });
}

test('a good token passes validate, and may come in the header', options, async () => {
  const url = `${server.url}/rtc/v1/validate?${new URLSearchParams({ join_request: joinRequest() })}`;
  const response = await within(5_000, 'answer', fetch(url, { headers: { authorization: `Bearer ${accessToken(GOOD)}` } }));
  assert.equal(response.status, 200);
  assert.equal(await response.text(), 'success');
});

const WRONG_JOINS = {
  'no join request': undefined,
  'an empty join request': '',
  'a join request that is not base64': '$$$ not base64 $$$',
  'a join request of random bytes': randomBytes(200).toString('base64url'),
  'a wrapper around random bytes': wrap(randomBytes(200), false),
  'a wrapper that says gzip and is not': wrap(randomBytes(200), true),
  'a gzip stream cut short': wrap(gzipSync(randomBytes(500)).subarray(0, 200), true),
  'a gzip stream that grows beyond all bounds': wrap(gzipSync(Buffer.alloc(8 * MIB)), true),
};

for (const [what, value] of Object.entries(WRONG_JOINS)) {
  test(`${what} is refused with 400`, options, async () => {
    const answer = await refused(address(server, { token: accessToken({ room: 'joins', identity: 'eve' }), join: value }));
    assert.equal(answer.status, 400, answer.body);
    assert.ok(answer.body.length > 0, 'the refusal has a reason');
  });
}

test('a compressed join request is accepted, with and without padding', options, async () => {
  for (const [i, value] of [joinRequest({}, { gzip: true }), Buffer.from(joinRequest(), 'base64url').toString('base64').replaceAll('+', '-').replaceAll('/', '_')].entries()) {
    const url = address(server, { path: '/rtc/v1/validate', token: accessToken({ room: 'joins', identity: `p${i}` }), join: value });
    const response = await within(5_000, 'answer', fetch(url.replace(/^ws/, 'http')));
    assert.equal(response.status, 200, await response.text());
  }
});

test('the join response has what clients depend on', options, async () => {
  const client = await join('contents', 'reader', { token: { name: 'Reader' } });
  const { room, participant, serverInfo, pingInterval, pingTimeout, enabledPublishCodecs, subscriberPrimary } = client.joined;
  assert.match(room.sid, /^RM_/);
  assert.equal(room.name, 'contents');
  assert.ok(Math.abs(Number(room.creationTime) - seconds()) < 60);
  assert.match(participant.sid, /^PA_/);
  assert.deepEqual([participant.identity, participant.name], ['reader', 'Reader']);
  const [major, minor] = serverInfo.version.split('.').map(Number);
  assert.ok(major > 1 || (major === 1 && minor >= 8), `protocol compatibility level ${serverInfo.version}`);
  assert.ok(pingInterval > 0 && pingTimeout > pingInterval);
  assert.equal(subscriberPrimary, false);
  assert.match(enabledPublishCodecs[0].mime, /^video\/VP8$/i);
  assert.ok(enabledPublishCodecs.some((codec) => /^audio\/opus$/i.test(codec.mime)));
  await client.close();
});

test('a frame beyond the limit closes the connection with 1009, and only that one', options, () =>
  withWitness('oversized', async (witness) => {
    const eve = await join('oversized', 'eve');
    eve.raw(Buffer.alloc(MAX_FRAME + 1));
    const { code } = await within(10_000, 'close', eve.closed);
    assert.equal(code, 1009);
    await witness.next(({ case: name, value }) => name === 'update' && value.participants.some((one) => one.identity === 'eve' && one.state === 3), 10_000);
  }),
);

const FRAMES = {
  'an empty frame': Buffer.alloc(0),
  'one byte': Buffer.from([0xff]),
  'a field with a length beyond the end': Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
  'a varint without end': Buffer.alloc(64, 0xff),
  'nested groups': Buffer.alloc(4_096, 0x0b),
  'an unknown message': Buffer.from([0xfa, 0x3f, 0x02, 0x08, 0x01]),
  'random bytes': randomBytes(4_096),
  'a text frame that is not JSON': 'hello?',
  'a text frame with unknown JSON': '{"nothing": {"of": "ours"}}',
  'a text frame of deep JSON': '['.repeat(50_000),
};

for (const [what, frame] of Object.entries(FRAMES)) {
  test(`${what} is ignored or closes that connection, and harms nobody`, options, () =>
    withWitness('frames', async () => {
      const eve = await join('frames', `eve-${randomUUID().slice(0, 8)}`);
      eve.raw(frame);
      const outcome = await Promise.race([eve.closed.then(() => 'closed'), eve.alive().then(() => 'ignored', () => 'closed')]);
      if (outcome === 'closed') await within(5_000, 'close', eve.closed);
      else await eve.close();
    }),
  );
}

test('requests that name nothing that exists are survived', options, () =>
  withWitness('nothing', async () => {
    const eve = await join('nothing', 'eve');
    eve.send('mute', { sid: 'TR_nothing', muted: true });
    eve.send('trackSetting', { trackSids: ['TR_nothing', ''], disabled: false, quality: 99 });
    eve.send('subscription', { trackSids: ['TR_nothing'], subscribe: true });
    eve.send('subscriptionPermission', { allParticipants: false, trackPermissions: [{ participantSid: 'PA_nobody', trackSids: ['TR_nothing'] }] });
    eve.send('trickle', { candidateInit: 'not json', target: 0 });
    eve.send('trickle', { candidateInit: '{"candidate":""}', target: 0 });
    eve.send('trickle', { candidateInit: '{"candidate":"candidate:1 1 udp 1 x.local 9 typ host","sdpMid":"77"}', target: 0 });
    eve.send('addTrack', { cid: '', name: 'x'.repeat(70_000), type: 99, source: 99 });
    eve.send('updateAudioTrack', { trackSid: 'TR_nothing' });
    eve.send('answer', { type: 'answer', sdp: 'unasked', id: 7 });
    eve.send('syncState', {});
    await eve.alive();
    await eve.close();
  }),
);

test('metadata beyond the limit is refused with LIMIT_EXCEEDED', options, () =>
  withWitness('metadata', async () => {
    const eve = await join('metadata', 'eve', { token: { video: { canUpdateOwnMetadata: true } } });
    eve.send('updateMetadata', { metadata: 'x'.repeat(100 * 1024), requestId: 41 });
    const { value } = await eve.next('requestResponse');
    assert.deepEqual([value.requestId, value.reason], [41, 3]);
    await eve.close();
  }),
);

test('metadata without the permission is refused with NOT_ALLOWED', options, async () => {
  const eve = await join('metadata', 'eve');
  eve.send('updateMetadata', { metadata: 'mine', requestId: 42 });
  const { value } = await eve.next('requestResponse');
  assert.deepEqual([value.requestId, value.reason], [42, 2]);
  await eve.close();
});

const GARBAGE_OFFERS = {
  'an empty offer': '',
  'an offer that is not SDP': 'this is not a session description',
  'an offer of binary bytes': String.fromCharCode(...randomBytes(500)),
  'an offer cut in a line': offerSdp([{ kind: 'audio', codecs: [OPUS] }]).slice(0, 150),
  'an offer without a fingerprint': offerSdp([{ kind: 'audio', codecs: [OPUS] }], { fingerprint: null }),
  'an offer without ICE credentials': offerSdp([{ kind: 'audio', codecs: [OPUS] }], { ufrag: null }),
  'an offer with more sections than any meeting': offerSdp(Array.from({ length: 5_000 }, () => ({ kind: 'audio', codecs: [OPUS] }))),
};

for (const [what, sdp] of Object.entries(GARBAGE_OFFERS)) {
  test(`${what} is refused clearly`, options, () =>
    withWitness('offers', async () => {
      const eve = await join('offers', `eve-${randomUUID().slice(0, 8)}`);
      const from = eve.received.length;
      eve.offer(sdp);
      refusesAll(await eve.reaction(from));
      eve.socket.terminate();
    }),
  );
}

/** A leave, a close, or an answer in which no section is active. */
function refusesAll(reaction) {
  if (reaction.kind !== 'answer') return;
  const sections = sectionsOf(reaction.value.sdp);
  assert.ok(sections.length > 0, 'an answer that refuses has the sections it refuses');
  assert.deepEqual(sections.filter(isActive), [], 'no section of a refusing answer is active');
}

/** No section of an answer may be active without a codec that was offered. */
function neverCodecless(sdp, offered) {
  for (const section of sectionsOf(sdp).filter((one) => one.kind !== 'application')) {
    assert.ok(section.formats.length > 0, `m=${section.kind} names a format`);
    if (!isActive(section)) continue;
    const common = section.codecs.filter(({ pt, map }) => offered.some(([p, m]) => String(p) === pt && m.toLowerCase() === map.toLowerCase()));
    assert.ok(common.length > 0, `the active section ${section.mid} (${section.kind}) has an offered codec: ${JSON.stringify(section)}`);
  }
}

for (const when of ['in the join request', 'in a later message']) {
  test(`an offer with no codec in common is answered without an active section, ${when}`, options, () =>
    withWitness('codecs', async () => {
      const sdp = offerSdp([{ kind: 'audio', codecs: [GSM] }, { kind: 'video', codecs: [H261] }]);
      const early = when === 'in the join request';
      const eve = await join('codecs', `eve-${randomUUID().slice(0, 8)}`, early ? { fields: { publisherOffer: { type: 'offer', sdp, id: 1 } } } : {});
      const from = early ? 0 : eve.received.length;
      if (!early) eve.offer(sdp);
      const reaction = await eve.reaction(from);
      if (reaction.kind === 'answer') neverCodecless(reaction.value.sdp, [GSM, H261]);
      refusesAll(reaction);
      eve.socket.terminate();
    }),
  );
}

test('an offer that can be served in part is answered in that part, with the offered payload types', options, () =>
  withWitness('partly', async () => {
    const offered = [[120, 'opus/48000/2'], H261, [97, 'VP8/90000']];
    const eve = await join('partly', 'eve');
    const from = eve.received.length;
    eve.offer(offerSdp([{ kind: 'audio', codecs: [offered[0]] }, { kind: 'video', codecs: [H261] }, { kind: 'video', codecs: [offered[2]] }, { kind: 'application' }]), 5);
    const reaction = await eve.reaction(from);
    assert.equal(reaction.kind, 'answer');
    assert.equal(reaction.value.id, 5, 'the answer echoes the id of the offer');
    neverCodecless(reaction.value.sdp, offered);
    const sections = sectionsOf(reaction.value.sdp);
    assert.equal(sections.length, 4, 'one answer section for each offered section');
    assert.deepEqual([isActive(sections[1]), sections[3].port !== 0], [false, true]);
    assert.equal(sections.filter(isActive).some((one) => one.direction.startsWith('send') && one.kind !== 'application'), false, 'nothing is sent into a sendonly section');
    await eve.close();
  }),
);

test('receiving sections that nothing fills are never active and codec-less', options, async () => {
  const codecs = [OPUS, VP8];
  const sections = ['audio', 'audio', 'audio', 'video', 'video', 'video'].map((kind) => ({ kind, codecs: [kind === 'audio' ? OPUS : VP8], direction: 'recvonly' }));
  const eve = await join('receiving', 'eve');
  const from = eve.received.length;
  eve.offer(offerSdp([...sections, { kind: 'application' }]));
  const reaction = await eve.reaction(from);
  assert.equal(reaction.kind, 'answer');
  neverCodecless(reaction.value.sdp, codecs);
  assert.equal(sectionsOf(reaction.value.sdp).length, 7);
  await eve.close();
});

test('a connection that says nothing after the join does not hold anything up', options, () =>
  withWitness('silent', async (witness) => {
    const eve = await join('silent', 'eve');
    eve.socket.terminate();
    await until('departure of a connection cut off', () =>
      witness.received.some(({ message }) => message.case === 'update' && message.value.participants.some((one) => one.identity === 'eve' && one.state === 3)), { ms: 20_000 });
  }),
);

test('hundreds of refused strangers leave the server serving', options, () =>
  withWitness('strangers', async () => {
    const refusals = await Promise.all(Array.from({ length: 200 }, () => refused(address(server, { token: 'x', join: joinRequest() }))));
    assert.ok(refusals.every(({ status }) => status === 401));
  }),
);
