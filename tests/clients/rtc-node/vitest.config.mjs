// Owns how vitest finds and runs the end-to-end suite that npm @livekit/rtc-node ships inside its package.
// vitest excludes node_modules by default, so `exclude` is emptied; nothing of the suite itself is changed.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  test: {
    include: ['node_modules/@livekit/rtc-node/src/tests/*.test.ts'],
    exclude: [],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    fileParallelism: false,
  },
});
