// Starts the page.
import { setLogLevel } from 'livekit-client';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { hideToken } from './entry/query';
import './ui/base.css';

// Warnings only: the SDK's information names rooms and participants.
setLogLevel('warn');
history.replaceState(null, '', hideToken(location.href));

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
