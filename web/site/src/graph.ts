// Hearts over time: how loud the room was in each second of the last minutes.
//
// In → Out: hearts with their moments → bars on a canvas; the newest at the right edge.
// Spec: none.

/** Seconds that are kept and drawn. */
export const SPAN_S = 180;

/** Counts a second, in a ring. */
export class PerSecond {
  private readonly counts = new Array<number>(SPAN_S).fill(0);
  private newest = -1;

  add(count: number, nowMs: number): void {
    this.turn(nowMs);
    const at = this.newest % SPAN_S;
    this.counts[at] = (this.counts[at] ?? 0) + count;
  }

  /** The last seconds, oldest first; the last one is not over. */
  series(nowMs: number): number[] {
    this.turn(nowMs);
    return Array.from({ length: SPAN_S }, (_, i) => this.counts[(this.newest + 1 + i) % SPAN_S] ?? 0);
  }

  private turn(nowMs: number): void {
    const second = Math.max(0, Math.floor(nowMs / 1_000));
    if (this.newest < 0) this.newest = second;
    const steps = Math.min(SPAN_S, second - this.newest);
    for (let i = 1; i <= steps; i += 1) this.counts[(this.newest + i) % SPAN_S] = 0;
    this.newest = Math.max(this.newest, second);
  }
}

/** The middle of the last few values: one odd one moves it little. */
export function middle(values: number[]): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? null;
}

/** Draws the bars; gives the highest of them. */
export function draw(canvas: HTMLCanvasElement, series: number[]): number {
  const context = canvas.getContext('2d');
  const highest = series.reduce((most, one) => Math.max(most, one), 0);
  if (!context) return highest;
  const scale = devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  context.clearRect(0, 0, width, height);
  const step = width / series.length;
  const top = Math.max(4, highest);
  context.fillStyle = '#ffffff1c';
  context.fillRect(0, height - scale, width, scale);
  context.fillStyle = '#ff3b5c';
  series.forEach((count, i) => {
    if (count === 0) return;
    const bar = Math.max(2 * scale, (count / top) * (height - 4 * scale));
    context.beginPath();
    context.roundRect(i * step + step * 0.12, height - bar, Math.max(1, step * 0.76), bar, Math.min(step * 0.35, 3 * scale));
    context.fill();
  });
  return highest;
}
