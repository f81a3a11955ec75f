// Owns one measurement: how many datagrams the server sends in one call when a real browser publishes, and what browsers that
// receive make of the packets (among them those padded to equal size).
//
//   cd tests/clients && SERVER_UNDER_TEST=/path/to/sfumato node ../../load-tests/browser-runs.mjs [viewers] [seconds]
import { launch } from '../tests/clients/harness/browser.mjs';
import { joinRoom, publishCamera, receivedVideo } from '../tests/clients/harness/client.mjs';
import { serveBarePage } from '../tests/clients/harness/http.mjs';
import { Server } from '../tests/clients/harness/server.mjs';
import { delay } from '../tests/clients/harness/wait.mjs';

const [viewers = 3, seconds = 15] = process.argv.slice(2).map(Number);

const counters = async (server) => {
  const text = await (await fetch(server.metricsUrl)).text();
  const value = (name) => Number(text.match(new RegExp(`^${name} (\\S+)`, 'm'))[1]);
  return { packets: value('sfumato_rtp_packets_sent_total'), bytes: value('sfumato_rtp_sent_bytes_total'), sends: value('sfumato_udp_sends_total') };
};

const FIGURES = ['framesDecoded', 'framesDropped', 'freezeCount', 'packetsReceived', 'packetsLost', 'pliCount', 'nackCount'];
const received = async (page) => {
  const seen = await receivedVideo(page);
  return Object.fromEntries(FIGURES.map((name) => [name, seen[name]]));
};

const server = new Server();
const [bare, browser] = await Promise.all([serveBarePage(), launch('chromium'), server.start()]);
try {
  const clients = { browser, origin: bare.origin };
  const publisher = await joinRoom(clients, server, 'runs', 'publisher');
  await publishCamera(publisher, { width: 1280, height: 720, frameRate: 30 }, { simulcast: false, videoCodec: 'vp8', videoEncoding: { maxBitrate: 2_500_000, maxFramerate: 30 } });
  const pages = [];
  for (let n = 0; n < viewers; n++) pages.push(await joinRoom(clients, server, 'runs', `viewer ${n}`));
  await delay(10_000);
  const before = [await counters(server), ...(await Promise.all(pages.map(received)))];
  await delay(seconds * 1_000);
  const after = [await counters(server), ...(await Promise.all(pages.map(received)))];
  const differences = after.map((one, index) => Object.fromEntries(Object.entries(one).map(([key, value]) => [key, value - before[index][key]])));
  const [sent, ...seen] = differences;
  console.log({ ...sent, packetsPerSend: (sent.packets / sent.sends).toFixed(2), bytesPerPacket: Math.round(sent.bytes / sent.packets) });
  console.table(seen);
} finally {
  await browser.shut();
  bare.close();
  await server.stop();
}
