// The tiles: a grid of participants, or, while a screen is shared, that screen with the others beside it.
import { useParticipants, useTracks } from '@livekit/components-react';
import { type Participant, Track } from 'livekit-client';
import { useRef } from 'react';
import { Tile, type TileSource } from '../tile/Tile';
import { gridFor } from './grid';
import { useElementSize } from './useElementSize';

/** Between tiles, in CSS pixels. */
const GAP = 10;

interface Seat {
  participant: Participant;
  source: TileSource;
}

export function Stage() {
  const participants = useParticipants({ updateOnlyOn: [] });
  const shares = useTracks([Track.Source.ScreenShare], { onlySubscribed: false, updateOnlyOn: [] });
  const screens: Seat[] = shares.map(({ participant }) => ({ participant, source: Track.Source.ScreenShare }));
  const cameras: Seat[] = othersFirst(participants).map((participant) => ({
    participant,
    source: Track.Source.Camera,
  }));
  // The latest screen; one's own only if nobody else shares, since one sees it anyway.
  const focus = screens.findLast(({ participant }) => !participant.isLocal) ?? screens.at(-1);
  if (!focus) return <Grid seats={cameras} />;
  const strip = [...screens.filter((screen) => screen !== focus), ...cameras];
  return <Focus focus={focus} strip={strip} />;
}

function othersFirst(participants: Participant[]): Participant[] {
  return [...participants.filter(({ isLocal }) => !isLocal), ...participants.filter(({ isLocal }) => isLocal)];
}

const keyOf = ({ participant, source }: Seat) => `${participant.identity}/${source}`;

function Grid({ seats }: { seats: Seat[] }) {
  const stage = useRef<HTMLDivElement>(null);
  const { width, height } = useElementSize(stage);
  const grid = gridFor(seats.length, width, height, GAP);
  const style = { width: grid.tileWidth, height: grid.tileHeight };
  return (
    <div ref={stage} className="stage stage-grid" data-layout="grid" data-scrolls={grid.scrolls} style={{ gap: GAP }}>
      {width > 0 && seats.map((seat) => <Tile key={keyOf(seat)} {...seat} style={style} />)}
    </div>
  );
}

function Focus({ focus, strip }: { focus: Seat; strip: Seat[] }) {
  return (
    <div className="stage stage-focus" data-layout="focus" style={{ gap: GAP }}>
      <Tile key={keyOf(focus)} {...focus} />
      <div className="strip" style={{ gap: GAP }}>
        {strip.map((seat) => (
          <Tile key={keyOf(seat)} {...seat} />
        ))}
      </div>
    </div>
  );
}
