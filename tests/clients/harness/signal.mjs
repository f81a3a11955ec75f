// Owns a raw signalling connection: what an SDK sends is built by hand here, so that it can be wrong in every way.
// Messages are those of the published protocol package; no SDK logic is involved.
import { JoinRequest, SessionDescription, SignalRequest, SignalResponse, WrappedJoinRequest, WrappedJoinRequest_Compression } from '@livekit/protocol';
import { gzipSync } from 'node:zlib';
import WebSocket from 'ws';
import { within } from './wait.mjs';

const ANSWER_MS = 8_000;

/** The `join_request` query parameter of a well-formed join. @param {object} [fields] of JoinRequest */
export function joinRequest(fields = {}, { gzip = false } = {}) {
  const bytes = new JoinRequest({
    clientInfo: { sdk: 1, version: '2.23.0', protocol: 17, clientProtocol: 2, os: 'test', browser: 'raw' },
    connectionSettings: { autoSubscribe: true },
    ...fields,
  }).toBinary();
  return wrap(gzip ? gzipSync(bytes) : bytes, gzip);
}

/** WrappedJoinRequest around any bytes, as base64url without padding. */
export function wrap(bytes, gzip) {
  const compression = gzip ? WrappedJoinRequest_Compression.GZIP : WrappedJoinRequest_Compression.NONE;
  return Buffer.from(new WrappedJoinRequest({ compression, joinRequest: bytes }).toBinary()).toString('base64url');
}

/** @param {{path?: string, token?: string, join?: string}} parts  parts left out are left out of the address */
export function address(server, { path = '/rtc/v1', token, join } = {}) {
  const query = new URLSearchParams();
  if (token !== undefined) query.set('access_token', token);
  if (join !== undefined) query.set('join_request', join);
  return `${server.wsUrl}${path}?${query}`;
}

/** The HTTP status that refuses an upgrade, with its body; fails when the server upgrades instead. */
export function refused(url) {
  const socket = new WebSocket(url);
  const answer = new Promise((resolve, reject) => {
    socket.on('unexpected-response', (_, response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(chunks).toString() }));
    });
    socket.on('open', () => reject(new Error('the server accepted the connection')));
    socket.on('error', reject);
  });
  return within(ANSWER_MS, 'refusal', answer).finally(() => socket.terminate());
}

export class RawClient {
  /** All messages received so far, oldest first. @type {SignalResponse[]} */
  received = [];
  #waiting = new Set();
  /** Resolves to {code, reason} when the connection is closed. */
  closed;

  /** Connects and waits for the join response. */
  static async join(server, { token, fields } = {}) {
    const client = new RawClient();
    client.socket = new WebSocket(address(server, { token, join: joinRequest(fields) }));
    client.closed = new Promise((resolve) => {
      client.socket.on('close', (code, reason) => {
        resolve({ code, reason: reason.toString() });
        client.#wake();
      });
    });
    client.socket.on('message', (data, isBinary) => {
      // A text frame of ours makes the server speak JSON from then on.
      client.received.push(isBinary ? SignalResponse.fromBinary(data) : SignalResponse.fromJsonString(data.toString()));
      client.#wake();
    });
    client.socket.on('error', (error) => (client.error = error));
    client.joined = (await client.next('join')).value;
    return client;
  }

  get open() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  send(name, value) {
    this.raw(new SignalRequest({ message: { case: name, value } }).toBinary());
  }

  /** Sends a frame as it is: bytes as a binary frame, a string as a text frame. */
  raw(data) {
    this.socket.send(data);
  }

  offer(sdp, id = 1) {
    this.send('offer', new SessionDescription({ type: 'offer', sdp, id }));
  }

  /** The first message, received or yet to come, that `wanted` (a message name or a predicate) accepts. */
  async next(wanted, ms = ANSWER_MS, from = 0) {
    const accepts = typeof wanted === 'string' ? (message) => message.case === wanted : wanted;
    const found = () => this.received.slice(from).find((one) => accepts(one.message))?.message;
    const arrival = new Promise((resolve, reject) => {
      const look = () => {
        const message = found();
        if (message) resolve(message);
        else if (this.socket.readyState === WebSocket.CLOSED) reject(new Error(`the connection closed before ${wanted} came (${this.error?.message ?? 'no error'})`));
        else return;
        this.#waiting.delete(look);
      };
      this.#waiting.add(look);
      look();
    });
    const seen = () => this.received.map((one) => one.message.case).join();
    try {
      return await within(ms, `message ${wanted}`, arrival);
    } catch (error) {
      throw new Error(`${error.message}; received: ${seen()}`);
    }
  }

  /** Asserts that the connection works: a ping is answered. */
  async alive() {
    const from = this.received.length;
    this.send('pingReq', { timestamp: BigInt(Date.now()), rtt: 0n });
    await this.next('pongResp', ANSWER_MS, from);
  }

  /** How the server refused: 'leave', 'closed' or the answer it gave, whichever is first. */
  async reaction(from = this.received.length) {
    const closed = this.closed.then(({ code }) => ({ kind: 'closed', code }));
    const message = this.next((one) => one.case === 'leave' || one.case === 'answer', ANSWER_MS, from).then((one) => ({ kind: one.case, value: one.value }));
    message.catch(() => {});
    return within(ANSWER_MS, 'reaction to the offer', Promise.race([closed, message.catch(() => closed)]));
  }

  close() {
    this.socket.close();
    return within(ANSWER_MS, 'close', this.closed);
  }

  #wake() {
    for (const look of [...this.#waiting]) look();
  }
}
