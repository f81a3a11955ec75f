// How the page is built: one HTML file, everything else content-hashed under /assets/, so that
// the server may embed dist/ and let browsers keep the assets for ever.
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** Where a server in development mode listens while `npm run dev` serves the page. */
const SERVER = 'http://127.0.0.1:7880';

export default defineConfig({
  base: '/',
  plugins: [react()],
  build: {
    outDir: 'dist',
    assetsDir: 'assets',
    // No data: URIs, so that a strict content security policy needs no exception.
    assetsInlineLimit: 0,
    target: 'es2022',
    chunkSizeWarningLimit: 1000,
    rolldownOptions: {
      output: {
        // The libraries change less often than the page: let browsers keep them across updates.
        codeSplitting: { groups: [{ name: 'libraries', test: /node_modules/ }] },
      },
    },
  },
  server: {
    proxy: {
      '/dev/token': SERVER,
      '/rtc': { target: SERVER, ws: true },
    },
  },
});
