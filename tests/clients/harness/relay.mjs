// Owns a path between one client and the server's media port that loses and delays what the client sends. What always holds: only
// RTP and RTCP suffer (RFC 7983), so that connecting does not; one seed gives one course.
import dgram from 'node:dgram';
import { once } from 'node:events';

/** Numbers in [0, 1) that follow from a seed (mulberry32). */
function numbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const isMedia = (datagram) => datagram[0] >= 128 && datagram[0] < 192;

export class Relay {
  #random;
  /** Towards the server, one for each address of the client: it tries several. */
  #upstream = new Map();
  /** Share of the client's datagrams that are lost. */
  loss = 0;
  /** Share that is late, and by how much. */
  late = { share: 0, ms: 0 };
  /** Each way. */
  delayMs = 0;
  sent = 0;
  lost = 0;

  constructor(serverPort, seed = 1) {
    this.serverPort = serverPort;
    this.#random = numbers(seed);
  }

  async start() {
    this.socket = dgram.createSocket('udp4');
    this.socket.on('message', (datagram, from) => this.#fromClient(datagram, from));
    this.socket.bind(0, '127.0.0.1');
    await once(this.socket, 'listening');
    this.port = this.socket.address().port;
    return this;
  }

  close() {
    this.socket.close();
    for (const upstream of this.#upstream.values()) upstream.close();
  }

  #fromClient(datagram, from) {
    let delay = this.delayMs;
    if (isMedia(datagram)) {
      this.sent += 1;
      if (this.#random() < this.loss) {
        this.lost += 1;
        return;
      }
      if (this.#random() < this.late.share) delay += this.late.ms;
    }
    send(this.#towardsServer(from), datagram, this.serverPort, '127.0.0.1', delay);
  }

  #towardsServer({ address, port }) {
    const client = `${address} ${port}`;
    let upstream = this.#upstream.get(client);
    if (!upstream) {
      upstream = dgram.createSocket('udp4');
      upstream.on('message', (datagram) => send(this.socket, datagram, port, address, this.delayMs));
      this.#upstream.set(client, upstream);
    }
    return upstream;
  }
}

function send(socket, datagram, port, address, delay) {
  setTimeout(() => {
    try {
      socket.send(datagram, port, address);
    } catch {
      // closed meanwhile
    }
  }, delay);
}

/** Has a page find the server's media port at another one. To be run before the page is loaded. */
export const redirect = (page, from, to) =>
  page.evaluateOnNewDocument(
    (server, relay) => {
      const apply = RTCPeerConnection.prototype.setRemoteDescription;
      RTCPeerConnection.prototype.setRemoteDescription = function (description) {
        const sdp = description.sdp.replaceAll(new RegExp(` \\S+ ${server} typ `, 'g'), ` 127.0.0.1 ${relay} typ `);
        return apply.call(this, { type: description.type, sdp });
      };
    },
    from,
    to,
  );
