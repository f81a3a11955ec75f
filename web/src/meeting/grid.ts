// How many columns of tiles make the best use of the stage. Pure.

/** Widest tile shape: that of a camera. */
const WIDEST = 16 / 9;
/** Narrowest tile shape on a wide stage: hardly anything of a camera's picture is cut off. */
const NARROWEST_ON_WIDE_STAGE = 4 / 3;
/** The same on a phone held upright: a face still fits, and four fill the stage two by two. */
const NARROWEST_ON_TALL_STAGE = 2 / 3;
/** Narrowest useful tile, in CSS pixels; below it the stage scrolls instead. */
export const MIN_TILE_WIDTH = 150;

export interface Grid {
  columns: number;
  /** CSS pixels. */
  tileWidth: number;
  tileHeight: number;
  /** Whether the tiles are more than the stage can show at once. */
  scrolls: boolean;
}

/** The grid with the largest tiles for `count` tiles on a stage of `width` by `height` CSS pixels. */
export function gridFor(count: number, width: number, height: number, gap: number): Grid {
  const tiles = Math.max(1, count);
  let best: Grid = { columns: 1, tileWidth: 0, tileHeight: 0, scrolls: false };
  for (let columns = 1; columns <= tiles; columns++) {
    const candidate = { columns, scrolls: false, ...tileSize(tiles, columns, width, height, gap) };
    if (area(candidate) > area(best)) best = candidate;
  }
  const smallest = Math.min(MIN_TILE_WIDTH, width);
  return best.tileWidth >= smallest ? best : scrollingGrid(width, gap);
}

function area({ tileWidth, tileHeight }: Grid): number {
  return tileWidth * tileHeight;
}

function tileSize(tiles: number, columns: number, width: number, height: number, gap: number) {
  const rows = Math.ceil(tiles / columns);
  const cellWidth = Math.max(0, (width - gap * (columns - 1)) / columns);
  const cellHeight = Math.max(0, (height - gap * (rows - 1)) / rows);
  const tileWidth = Math.floor(Math.min(cellWidth, cellHeight * WIDEST));
  const narrowest = width > height ? NARROWEST_ON_WIDE_STAGE : NARROWEST_ON_TALL_STAGE;
  const tileHeight = Math.floor(Math.min(cellHeight, tileWidth / narrowest));
  return { tileWidth, tileHeight };
}

function scrollingGrid(width: number, gap: number): Grid {
  const columns = Math.max(1, Math.floor((width + gap) / (MIN_TILE_WIDTH + gap)));
  const tileWidth = Math.max(0, Math.floor((width - gap * (columns - 1)) / columns));
  return { columns, tileWidth, tileHeight: Math.floor((tileWidth * 3) / 4), scrolls: true };
}
