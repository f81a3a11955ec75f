// Owns an address that stays while the servers behind it change, as a load balancer has it: each new TCP connection goes to
// the server of the moment, those that are open stay where they are.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export class Balancer {
  #open = new Set();

  /** @param {string} to  the server of the moment, `http://127.0.0.1:PORT` */
  constructor(to) {
    this.to = to;
  }

  async start() {
    this.listener = createServer((client) => {
      const { hostname, port } = new URL(this.to);
      const server = connect(Number(port), hostname);
      for (const [from, into] of [[client, server], [server, client]]) {
        this.#open.add(from);
        from.on('error', () => into.destroy());
        from.on('close', () => {
          this.#open.delete(from);
          into.destroy();
        });
        from.pipe(into);
      }
    });
    this.listener.listen(0, '127.0.0.1');
    await once(this.listener, 'listening');
    return this;
  }

  get wsUrl() {
    return `ws://127.0.0.1:${this.listener.address().port}`;
  }

  close() {
    this.listener.close();
    for (const socket of this.#open) socket.destroy();
  }
}
