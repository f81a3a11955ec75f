// Owns real browsers with fake devices: finding them, starting them headless through puppeteer-core, ending them.
// Chromium is driven through CDP, Firefox through WebDriver BiDi. What always holds: a fresh profile for each start.
import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import puppeteer from 'puppeteer-core';
import { guard } from './process.mjs';
import { within } from './wait.mjs';

const LAUNCH_MS = 60_000;
const NAMES = {
  chromium: { variable: 'CHROMIUM', commands: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'] },
  firefox: { variable: 'FIREFOX', commands: ['firefox-esr', 'firefox'] },
};

/** Path of a browser's program, or undefined when it is not installed. */
export function browserPath(browser) {
  const { variable, commands } = NAMES[browser];
  if (process.env[variable]) return process.env[variable];
  const folders = (process.env.PATH ?? '').split(path.delimiter);
  for (const command of commands) {
    for (const folder of folders) {
      const file = path.join(folder, command);
      try {
        accessSync(file, constants.X_OK);
        return file;
      } catch {
        // not here
      }
    }
  }
  return undefined;
}

/** As `skipWithout`, for tests in which these browsers have calls: Firefox has none with a server on loopback. */
export function skipCallsWithout(...browsers) {
  const reason = skipWithout(...browsers);
  if (reason || !browsers.includes('firefox') || process.env.TEST_MEDIA_ADDRESS) return reason;
  return 'Firefox needs an address beside loopback: run under scripts/private-network';
}

/** What to hand to `test` as `skip`: false, or the reason why these browsers' tests cannot run. */
export function skipWithout(...browsers) {
  const missing = browsers.filter((browser) => !browserPath(browser));
  if (!missing.length) return false;
  return missing.map((b) => `${b} is not installed (scripts/setup-system, or name it in ${NAMES[b].variable})`).join('; ');
}

const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
  '--autoplay-policy=no-user-gesture-required',
  '--mute-audio',
];

const FIREFOX_PREFS = {
  'media.autoplay.default': 0,
  'media.autoplay.blocking_policy': 0,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  // enumerateDevices() otherwise waits until its window has the focus, and only one of several can have it.
  'media.devices.unfocused.enabled': true,
  // A background tab is not slowed down: several participants share one browser.
  'dom.min_background_timeout_value': 4,
  'dom.timeout.enable_budget_timer_throttling': false,
  'widget.windows.window_occlusion_tracking.enabled': false,
  'app.update.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'browser.safebrowsing.downloads.remote.enabled': false,
  'media.gmp-manager.updateEnabled': false,
};

/**
 * How the browser answers a page that asks for camera and microphone:
 * `granted` a fake device without a prompt, `denied` as if the user refused, `none` no device in the machine.
 * @typedef {'granted' | 'denied' | 'none'} Devices
 */

/**
 * @param {'chromium' | 'firefox'} browser
 * @param {{devices?: Devices, flags?: string[], prefs?: object}} [options]
 * @returns {Promise<import('puppeteer-core').Browser & {shut: () => Promise<void>}>}
 */
export async function launch(browser, { devices = 'granted', flags = [], prefs = {} } = {}) {
  const executablePath = browserPath(browser);
  if (!executablePath) throw new Error(skipWithout(browser));
  const common = { executablePath, headless: true, timeout: LAUNCH_MS, protocolTimeout: LAUNCH_MS, defaultViewport: null };
  const handle = await within(
    LAUNCH_MS,
    `start of ${browser}`,
    browser === 'chromium'
      ? puppeteer.launch({ ...common, args: [...CHROMIUM_FLAGS, ...chromiumDevices(devices), ...flags] })
      : puppeteer.launch({
          ...common,
          browser: 'firefox',
          extraPrefsFirefox: { ...FIREFOX_PREFS, ...firefoxDevices(devices), ...prefs },
        }),
  );
  const pid = handle.process()?.pid;
  const release = pid ? guard(-pid) : () => {};
  return Object.assign(handle, {
    shut: async () => {
      try {
        await within(15_000, `end of ${browser}`, handle.close());
      } catch (error) {
        handle.process()?.kill('SIGKILL');
        process.stderr.write(`${error.message}: killed\n`);
      }
      release();
    },
  });
}

function chromiumDevices(devices) {
  const fakeDevice = '--use-fake-device-for-media-stream';
  return {
    granted: [fakeDevice, '--use-fake-ui-for-media-stream'],
    denied: [fakeDevice, '--use-fake-ui-for-media-stream=deny'],
    none: ['--use-fake-ui-for-media-stream'],
  }[devices];
}

function firefoxDevices(devices) {
  return {
    granted: { 'media.navigator.streams.fake': true, 'media.navigator.permission.disabled': true },
    // 2 is nsIPermissionManager.DENY_ACTION.
    denied: { 'media.navigator.streams.fake': true, 'permissions.default.camera': 2, 'permissions.default.microphone': 2 },
    none: { 'media.navigator.streams.fake': false, 'media.navigator.permission.disabled': true },
  }[devices];
}

/**
 * A page of its own window, so that it counts as visible beside the others.
 * @param {import('puppeteer-core').Browser} browser
 * @param {{width?: number, height?: number}} [size]  of the viewport, CSS pixels
 */
export async function newPage(browser, { width = 1280, height = 800 } = {}) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage({ type: 'window' });
  page.setDefaultTimeout(20_000);
  await page.setViewport({ width, height });
  return page;
}
