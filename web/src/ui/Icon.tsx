// The page's icons, drawn for it: 24 by 24, strokes in the current colour.

const PATHS = {
  mic: 'M12 3a3 3 0 0 1 3 3v6a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3ZM5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3',
  'mic-off':
    'M9 9v3a3 3 0 0 0 4.6 2.5M15 11V6a3 3 0 0 0-5.6-1.5M5.5 11.5a6.5 6.5 0 0 0 10.3 5.3M18.4 12.5l.1-1M12 18v3M4 3.5l16 17',
  camera: 'M4.5 6.5h9a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-9a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2ZM15.5 10.5l6-3.5v10l-6-3.5',
  'camera-off':
    'M9 6.5h4.5a2 2 0 0 1 2 2v3M15.5 15.5a2 2 0 0 1-2 2h-9a2 2 0 0 1-2-2v-7c0-.9.6-1.7 1.5-1.9M17 11l4.5-4v10L17 14M4 3.5l16 17',
  screen: 'M4.5 4.5h15a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2h-15a2 2 0 0 1-2-2v-8a2 2 0 0 1 2-2ZM8.5 20h7M12 13.5v-6M9 10l3-3 3 3',
  chat: 'M5 4.5h14a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2h-7l-4.5 4v-4H5a2 2 0 0 1-2-2v-8a2 2 0 0 1 2-2Z',
  leave: 'M10 4.5H6a2 2 0 0 0-2 2v11a2 2 0 0 0 2 2h4M14.5 8l4.5 4-4.5 4M19 12H9.5',
  speaker: 'M4 9.5v5h3.5l5 4v-13l-5 4H4ZM16 9a4.5 4.5 0 0 1 0 6M18.5 6.5a8 8 0 0 1 0 11',
  people: 'M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM2.5 19.5c0-3.3 2.9-5.5 6.5-5.5s6.5 2.2 6.5 5.5M16 5a3.3 3.3 0 0 1 0 6.2M18 14.4c2.1.8 3.5 2.6 3.5 5.1',
  link: 'M10 14a4 4 0 0 0 6 .4l3-3a4.2 4.2 0 0 0-6-6l-1.2 1.2M14 10a4 4 0 0 0-6-.4l-3 3a4.2 4.2 0 0 0 6 6l1.2-1.2',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  close: 'M6 6l12 12M18 6L6 18',
  send: 'M4 12l16-7.5-5 15.5-3.5-6.5L4 12Z',
  alert: 'M12 4l9 15.5H3L12 4ZM12 10v4.5M12 17v.2',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 20 }: { name: IconName; size?: number }) {
  return (
    <svg
      className="icon"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.75"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
