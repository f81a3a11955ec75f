// Owns one measurement: what a real browser shows behind a lossy link (case S5): a grid of loss, even and in bursts, and round trip times.
// Chromium publishes on a clean path, another page watches through a relay that loses. One line a cell; ends non-zero when one misses its bar.
//
//   cargo build --release --package sfumato --package sfumato-load
//   cd tests/clients && node ../../load-tests/lossy-viewers.mjs [seconds a cell] [loss in percent, by commas] [round trip times in ms] [who]
//
// Who: `speaks` publishes a microphone beside watching, `watches` publishes nothing, by default both take turns. A browser that sends nothing
// never learns its round trip time, and asks for a packet again after 100 ms only, however near the server is.
import { launch } from '../tests/clients/harness/browser.mjs';
import { joinRoom, publishCamera } from '../tests/clients/harness/client.mjs';
import { serveBarePage } from '../tests/clients/harness/http.mjs';
import { watchBehind } from '../tests/clients/harness/link.mjs';
import { Server } from '../tests/clients/harness/server.mjs';

const numbers = (text, fallback) => (text ? text.split(',').map(Number) : fallback);
const [seconds = '20', losses, roundTrips, who = 'speaks,watches'] = process.argv.slice(2);
const BURST = 5;
/** Its own pictures come 20 times a second. */
const FAKE_CAMERA = '--use-fake-device-for-media-stream=fps=30';

/** Share of time that may be frozen, percent. */
const bar = (loss) => (loss <= 5 ? 1 : 5);

function* grid() {
  // What the machine itself does to pictures: no link may be blamed for that.
  yield { who: 'watches', loss: 0, burst: 0, roundTrip: 0 };
  for (const one of who.split(',')) {
    for (const roundTrip of numbers(roundTrips, [20, 100])) {
      for (const loss of numbers(losses, [1, 5, 10, 20])) {
        for (const burst of [0, BURST]) yield { who: one, loss, burst, roundTrip };
      }
    }
  }
}

const line = (cell, seen, passes) => {
  const { loss, burst, roundTrip } = cell;
  const lost = seen.link.down.lost;
  return [
    `S5 ${passes ? 'pass' : 'FAIL'}`,
    cell.who,
    `loss ${String(loss).padStart(2)} % ${burst ? `in bursts of ${burst}` : 'even          '}`,
    `RTT ${String(roundTrip).padStart(3)} ms`,
    `frozen ${seen.frozen.toFixed(2)} % (bar ${bar(loss)} %, ${seen.freezeCount} freezes)`,
    `${seen.framesPerSecond.toFixed(1)} frames/s`,
    `${seen.nackCount} NACK`,
    `${seen.pliCount} PLI`,
    `${seen.retransmittedPacketsReceived} retransmitted of ${seen.packetsReceived}`,
    `${lost} of ${seen.link.down.datagrams} lost on the way`,
  ].join('  ');
};

const server = new Server();
const [page, browser] = await Promise.all([serveBarePage(), launch('chromium', { flags: [FAKE_CAMERA] }), server.start({ shards: 1 })]);
const bare = { browser, origin: page.origin };
try {
  const publisher = await joinRoom(bare, server, 'lossy', 'publisher');
  const options = { simulcast: false, videoCodec: 'vp8', videoEncoding: { maxBitrate: 2_000_000, maxFramerate: 30 } };
  await publishCamera(publisher, { width: 1280, height: 720, frameRate: 30 }, options);
  for (const cell of grid()) {
    const faults = { loss: cell.loss, burst: cell.burst, lossy: 'down', delay: cell.roundTrip / 2, seed: 1 + cell.loss };
    try {
      const seen = await watchBehind(faults, bare, server, 'lossy', `viewer ${JSON.stringify(cell)}`, Number(seconds), { speaks: cell.who === 'speaks' });
      const passes = seen.frozen < bar(cell.loss) && (cell.loss === 0 || seen.link.down.lost > 0);
      if (!passes) process.exitCode = 1;
      console.log(line(cell, seen, passes));
    } catch (error) {
      process.exitCode = 1;
      console.log(`S5 FAIL  ${JSON.stringify(cell)}  ${error.message}`);
    }
  }
} finally {
  await browser.shut();
  page.close();
  await server.stop();
}
