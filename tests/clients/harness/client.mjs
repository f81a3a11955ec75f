// Owns participants on the bare page: the stock browser SDK in a room of the server under test, and what its statistics say
// (W3C webrtc-stats). What always holds: no adaptive stream and no dynacast unless a test asks for them.
import { after, before } from 'node:test';
import { launch, newPage } from './browser.mjs';
import { serveBarePage } from './http.mjs';

/**
 * A bare page and Chromium for all tests of the calling file; `browser` stays undefined when `skip` says that it is not here.
 * @returns {{browser?: import('puppeteer-core').Browser, origin: string}}  filled before the first test
 */
export function barePageForFile(skip) {
  const bare = { browser: undefined, origin: '' };
  let page;
  before(async () => {
    page = await serveBarePage();
    bare.origin = page.origin;
    if (!skip) bare.browser = await launch('chromium');
  }, { timeout: 90_000 });
  after(async () => {
    await bare.browser?.shut();
    page?.close();
  }, { timeout: 30_000 });
  return bare;
}

/**
 * Joins a room by a development token. The page has the global `room`; what is subscribed is shown in it.
 * @param {{browser: import('puppeteer-core').Browser, origin: string}} bare
 * @param {{options?: object, prepare?: (page: import('puppeteer-core').Page) => Promise<void>}} [more]
 *   `options` of the SDK's Room; `prepare` runs before the page is loaded
 */
export async function joinRoom({ browser, origin }, server, room, identity, { options = {}, prepare } = {}) {
  const page = await newPage(browser);
  await prepare?.(page);
  await page.goto(origin);
  const { token } = await server.devToken(room, identity);
  await page.evaluate(
    async (url, jwt, roomOptions) => {
      globalThis.room = new LivekitClient.Room(roomOptions);
      globalThis.room.on('trackSubscribed', (track) => document.body.append(track.attach()));
      await globalThis.room.connect(url, jwt);
    },
    server.wsUrl,
    token,
    { adaptiveStream: false, dynacast: false, ...options },
  );
  return page;
}

/**
 * Publishes the fake camera.
 * @param {{width: number, height: number, frameRate: number}} resolution
 * @param {object} options  of the SDK; `videoSimulcastLayers` as lists of VideoPreset's arguments
 */
export const publishCamera = (page, resolution, options) =>
  page.evaluate(
    async (size, { videoSimulcastLayers, ...rest }) => {
      const { createLocalVideoTrack, VideoPreset } = LivekitClient;
      const layers = videoSimulcastLayers?.map((layer) => new VideoPreset(...layer));
      const track = await createLocalVideoTrack({ resolution: size });
      await globalThis.room.localParticipant.publishTrack(track, { ...rest, ...(layers && { videoSimulcastLayers: layers }) });
    },
    resolution,
    options,
  );

/** Publishes it in three encodings of 320x180, 640x360 and 1280x720. */
export const publishThreeEncodings = (page) =>
  publishCamera(page, { width: 1280, height: 720, frameRate: 15 }, {
    simulcast: true,
    videoCodec: 'vp8',
    videoEncoding: { maxBitrate: 700_000, maxFramerate: 15 },
    // Small bit rates, so that an estimate that starts at 300 kbit/s soon has room for all three.
    videoSimulcastLayers: [[320, 180, 100_000, 15], [640, 360, 220_000, 15]],
    degradationPreference: 'maintain-resolution',
  });

/** The outbound-rtp statistics of the first video published, one for each encoding. */
export const sentVideo = (page) =>
  page.evaluate(async () => {
    const track = [...globalThis.room.localParticipant.videoTrackPublications.values()][0]?.track;
    const found = [];
    (await track?.getRTCStatsReport())?.forEach((one) => one.type === 'outbound-rtp' && one.kind === 'video' && found.push(one));
    return found;
  });

/** The inbound-rtp statistics of the first video received; undefined before it comes. */
export const receivedVideo = (page) =>
  page.evaluate(async () => {
    const publications = [...globalThis.room.remoteParticipants.values()].flatMap((one) => [...one.videoTrackPublications.values()]);
    const report = await publications.find((one) => one.track)?.track.getRTCStatsReport();
    return report && [...report.values()].find((one) => one.type === 'inbound-rtp' && one.kind === 'video');
  });

/** Asks for a quality of the first video received. @param {'LOW' | 'MEDIUM' | 'HIGH'} quality */
export const askQuality = (page, quality) =>
  page.evaluate((wanted) => {
    const publications = [...globalThis.room.remoteParticipants.values()].flatMap((one) => [...one.videoTrackPublications.values()]);
    publications.find((one) => one.track).setVideoQuality(LivekitClient.VideoQuality[wanted]);
  }, quality);
