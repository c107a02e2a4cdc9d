// A soft glow of the picture's own colours where the picture does not reach the edges of the page.
//
// In → Out: the video element → a 16 × 9 canvas behind it, redrawn twice a second, only while there are bars to fill.
// Each drawing is mixed into the last, dark, so that it drifts instead of flickering.
// Spec: none.

const EVERY_MS = 500;
/** Bars narrower than this share of the page are left black. */
const BARS_LEAST = 0.04;

/** Draws the glow as long as the page lives. */
export function startAmbient(video: HTMLVideoElement): void {
  const canvas = document.querySelector<HTMLCanvasElement>('canvas.ambient');
  const context = canvas?.getContext('2d', { alpha: false });
  if (!canvas || !context) return;
  setInterval(() => {
    if (document.visibilityState === 'hidden' || video.readyState < 2 || video.paused) return;
    if (!hasBars(video)) {
      canvas.classList.remove('on');
      return;
    }
    context.globalAlpha = 0.3;
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    context.globalAlpha = 0.2;
    context.fillRect(0, 0, canvas.width, canvas.height);
    canvas.classList.add('on');
  }, EVERY_MS);
}

function hasBars(video: HTMLVideoElement): boolean {
  const picture = video.videoWidth / Math.max(1, video.videoHeight);
  const page = innerWidth / Math.max(1, innerHeight);
  return 1 - Math.min(picture, page) / Math.max(picture, page) > BARS_LEAST;
}
