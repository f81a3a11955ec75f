import { describe, expect, it } from 'vitest';
import { gridFor, MIN_TILE_WIDTH } from './grid';

const GAP = 8;
const columns = (count: number, width: number, height: number) => gridFor(count, width, height, GAP).columns;

describe('gridFor', () => {
  it('puts two side by side on a desktop and one above the other on a phone', () => {
    expect(columns(2, 1280, 640)).toBe(2);
    expect(columns(2, 390, 700)).toBe(1);
  });
  it('makes a square of four', () => {
    expect(columns(4, 1280, 640)).toBe(2);
    expect(columns(4, 390, 700)).toBe(2);
  });
  it('keeps the shape of a camera on a wide stage', () => {
    for (let count = 1; count <= 12; count++) {
      const { tileWidth, tileHeight } = gridFor(count, 1248, 570, GAP);
      expect(tileWidth / tileHeight, `${count}`).toBeGreaterThan(1.32);
      expect(tileWidth / tileHeight, `${count}`).toBeLessThan(1.79);
    }
  });
  it('never overflows the stage unless it says so', () => {
    for (const [width, height] of [[1280, 640], [390, 700], [360, 560], [800, 300], [320, 120]] as const) {
      for (let count = 1; count <= 60; count++) {
        const grid = gridFor(count, width, height, GAP);
        const rows = Math.ceil(count / grid.columns);
        const label = `${count} on ${width}x${height}`;
        expect(grid.columns * grid.tileWidth + (grid.columns - 1) * GAP, label).toBeLessThanOrEqual(width);
        if (!grid.scrolls) {
          expect(rows * grid.tileHeight + (rows - 1) * GAP, label).toBeLessThanOrEqual(height);
          expect(grid.tileWidth, label).toBeGreaterThanOrEqual(MIN_TILE_WIDTH);
        }
      }
    }
  });
  it('scrolls rather than shrink tiles below what is useful', () => {
    const grid = gridFor(50, 390, 600, GAP);
    expect(grid.scrolls).toBe(true);
    expect(grid.columns).toBe(2);
  });
  it('has an answer for an empty stage and before the stage has a size', () => {
    expect(gridFor(0, 1280, 640, GAP).columns).toBe(1);
    expect(gridFor(3, 0, 0, GAP)).toMatchObject({ columns: 1, tileWidth: 0 });
  });
});
