// A bar that moves with the user's voice, so that they see the microphone hears them.
import { createAudioAnalyser, type LocalAudioTrack } from 'livekit-client';
import { useEffect, useRef } from 'react';

/** Volume, 0 to 1, that fills the bar: speech at a usual distance reaches about half of it. */
const FULL_SCALE = 0.6;

export function MicLevel({ track }: { track: LocalAudioTrack }) {
  const bar = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    const { calculateVolume, cleanup } = createAudioAnalyser(track, { cloneTrack: false });
    let frame = 0;
    const draw = () => {
      const level = Math.min(1, calculateVolume() / FULL_SCALE);
      bar.current?.style.setProperty('transform', `scaleX(${level.toFixed(3)})`);
      frame = requestAnimationFrame(draw);
    };
    draw();
    return () => {
      cancelAnimationFrame(frame);
      void cleanup();
    };
  }, [track]);
  return (
    <div className="mic-level" aria-hidden="true">
      <span ref={bar} />
    </div>
  );
}
