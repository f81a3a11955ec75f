// How well a participant is connected, as three bars and, for those who do not see them, in a word.

const BARS: Record<string, number> = { excellent: 3, good: 2, poor: 1, lost: 0 };

export function Quality({ quality }: { quality: string }) {
  const bars = BARS[quality];
  const text = bars === undefined ? 'Connection not measured yet' : `Connection ${quality}`;
  return (
    <svg className="quality" data-quality={quality} width="16" height="16" viewBox="0 0 16 16" role="img" aria-label={text}>
      <title>{text}</title>
      {[0, 1, 2].map((bar) => (
        <rect
          key={bar}
          x={1.5 + bar * 5}
          y={10 - bar * 4}
          width="3"
          height={5 + bar * 4}
          rx="1"
          opacity={bar < (bars ?? 0) ? 1 : 0.35}
        />
      ))}
    </svg>
  );
}
