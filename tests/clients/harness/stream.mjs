// Owns a publisher by WHIP (RFC 9725) and a player by WHEP in a page of another origin: `fetch` and `RTCPeerConnection`,
// no SDK. What always holds: everything is read through CORS as any page would have to, and nothing is negotiated twice.
import assert from 'node:assert/strict';
import { newPage } from './browser.mjs';
import { until } from './wait.mjs';

const MEDIA_MS = 20_000;

export class Streamer {
  /** Publishes the fake camera and microphone. @param {{video?: string}} [options]  a codec to prefer, as `video/VP9` */
  static publish(browser, origin, endpoint, { video } = {}) {
    return Streamer.#open(browser, origin, endpoint, { publishes: true, video });
  }

  /** Watches. @param {{video?: string}} [options]  the only codec it takes, as `video/VP9` */
  static play(browser, origin, endpoint, { video } = {}) {
    return Streamer.#open(browser, origin, endpoint, { publishes: false, video });
  }

  static async #open(browser, origin, endpoint, options) {
    const streamer = new Streamer();
    streamer.page = await newPage(browser);
    await streamer.page.goto(origin);
    streamer.created = await streamer.page.evaluate(openSession, endpoint, options);
    await until(`connection of ${endpoint}`, async () => (await streamer.state()) === 'connected', { describe: () => streamer.state() });
    return streamer;
  }

  state() {
    return this.page.evaluate(() => globalThis.session.connection.connectionState);
  }

  /** What is received of one kind: SSRC, frames decoded or energy heard so far, codec. */
  received(kind) {
    return this.page.evaluate(inbound, kind);
  }

  /** Waits until video and audio have advanced, and the picture is not black. @returns what is received of each kind */
  async plays({ codec } = {}) {
    const start = { video: await this.received('video'), audio: await this.received('audio') };
    const seen = async () => {
      const [video, audio] = [await this.received('video'), await this.received('audio')];
      const advanced = video && video.frames >= (start.video?.frames ?? 0) + 15 && audio && audio.energy > (start.audio?.energy ?? 0) + 1e-6;
      const bright = (await this.page.evaluate(brightest)) > 32;
      return advanced && bright && (!codec || video.codec === codec) && { video, audio };
    };
    return until('picture and sound at the player', seen, { ms: MEDIA_MS, everyMs: 250, describe: () => Promise.all([this.received('video'), this.received('audio')]) });
  }

  /** Sends the candidates gathered so far. @returns {Promise<number>} the status */
  trickle() {
    return this.page.evaluate(trickle);
  }

  /** Restarts ICE. @returns {Promise<{status: number, tags: [string, string]}>} */
  restartIce() {
    return this.page.evaluate(restartIce);
  }

  /** The pair in use: local username fragment and how many bytes were received over it. */
  pair() {
    return this.page.evaluate(selectedPair);
  }

  /** Ends the session by its address. */
  async end() {
    assert.equal(await this.page.evaluate(endSession), 200);
    await this.page.browserContext().close();
  }
}

// The functions below run inside the page.

async function openSession(endpoint, { publishes, video }) {
  const connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  const session = { connection, candidates: [] };
  globalThis.session = session;
  connection.onicecandidate = ({ candidate }) => candidate?.candidate && session.candidates.push(candidate);
  if (publishes) {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 360 } });
    for (const track of stream.getTracks()) connection.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
  } else {
    connection.addTransceiver('audio', { direction: 'recvonly' });
    connection.addTransceiver('video', { direction: 'recvonly' });
    const player = Object.assign(document.createElement('video'), { autoplay: true, srcObject: new MediaStream() });
    document.body.append(player);
    connection.ontrack = ({ track }) => player.srcObject.addTrack(track);
  }
  if (video) {
    const codecs = RTCRtpReceiver.getCapabilities('video').codecs.filter((one) => one.mimeType === video);
    connection.getTransceivers().find((one) => one.receiver.track.kind === 'video').setCodecPreferences(codecs);
  }
  await connection.setLocalDescription();
  session.credentials = (sdp) => ['ice-ufrag', 'ice-pwd'].map((name) => sdp.match(new RegExp(`^a=${name}:.*$`, 'm'))[0].trim());
  const headers = { 'content-type': 'application/sdp' };
  const response = await fetch(endpoint, { method: 'POST', headers, body: connection.localDescription.sdp });
  if (response.status !== 201) throw new Error(`POST ${endpoint}: ${response.status} ${await response.text()}`);
  session.patch = (tag, lines) => {
    const fragment = { 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': tag };
    return fetch(session.address, { method: 'PATCH', headers: fragment, body: `${lines.join('\r\n')}\r\n` });
  };
  session.address = new URL(response.headers.get('location'), endpoint).href;
  session.tag = response.headers.get('etag');
  session.answer = await response.text();
  await connection.setRemoteDescription({ type: 'answer', sdp: session.answer });
  return { address: session.address, tag: session.tag, link: response.headers.get('link') };
}

async function trickle() {
  const { connection, candidates, credentials, patch, tag } = globalThis.session;
  const lines = [...credentials(connection.localDescription.sdp), 'm=audio 9 UDP/TLS/RTP/SAVPF 0', 'a=mid:0', ...candidates.map((one) => `a=${one.candidate}`), 'a=end-of-candidates'];
  return (await patch(tag, lines)).status;
}

async function restartIce() {
  const { session } = globalThis;
  session.connection.restartIce();
  await session.connection.setLocalDescription();
  const response = await session.patch('*', session.credentials(session.connection.localDescription.sdp));
  const tags = [session.tag, response.headers.get('etag')];
  const fresh = session.credentials(await response.text());
  const [ufrag, pwd] = session.credentials(session.answer);
  session.answer = session.answer.replaceAll(ufrag, fresh[0]).replaceAll(pwd, fresh[1]);
  session.tag = tags[1];
  await session.connection.setRemoteDescription({ type: 'answer', sdp: session.answer });
  return { status: response.status, tags };
}

async function endSession() {
  const response = await fetch(globalThis.session.address, { method: 'DELETE' });
  globalThis.session.connection.close();
  return response.status;
}

async function inbound(kind) {
  const report = await globalThis.session.connection.getStats();
  let seen = null;
  report.forEach((one) => {
    if (one.type !== 'inbound-rtp' || one.kind !== kind) return;
    seen = { ssrc: one.ssrc, frames: one.framesDecoded ?? 0, energy: one.totalAudioEnergy ?? 0, codec: report.get(one.codecId)?.mimeType, lost: one.packetsLost };
  });
  return seen;
}

async function selectedPair() {
  const report = await globalThis.session.connection.getStats();
  let pair = null;
  report.forEach((one) => {
    if (one.type === 'transport') pair = { ufrag: one.iceLocalUsernameFragment, received: report.get(one.selectedCandidatePairId)?.bytesReceived };
  });
  return pair;
}

function brightest() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 36 });
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(document.querySelector('video'), 0, 0, 64, 36);
  const { data } = context.getImageData(0, 0, 64, 36);
  return data.reduce((most, value, i) => (i % 4 === 3 ? most : Math.max(most, value)), 0);
}
