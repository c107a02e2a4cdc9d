// Hearts that float up over the picture.
//
// In → Out: flights (colour, delay) → elements that rise, sway and fade, moved by the compositor alone; a bounded number.
// Who wants little motion sees none of it: the count says the same.
// Spec: Web Animations; Media Queries 5, "prefers-reduced-motion".

import type { Flight } from '../../interaction/src/index.ts';
import { calm, icon, make } from './dom.ts';

/** Hearts on the screen at once. */
const ALOFT_MAX = 60;
const STEPS = 7;

/** The layer in which hearts float. */
export class HeartsView {
  private readonly spare: HTMLElement[] = [];
  private aloft = 0;
  /** Hearts that were let go since the page was opened; for tests. */
  launched = 0;

  constructor(private readonly layer: HTMLElement) {}

  fly(flights: Flight[]): void {
    if (calm() || document.visibilityState === 'hidden') return;
    for (const flight of flights) {
      if (flight.delayMs <= 0) this.launch(flight.colour);
      else setTimeout(() => this.launch(flight.colour), flight.delayMs);
    }
  }

  private launch(colour: number): void {
    if (this.aloft >= ALOFT_MAX) return;
    const heart = this.spare.pop() ?? this.build();
    this.aloft += 1;
    this.launched += 1;
    heart.dataset['colour'] = String(colour);
    this.layer.append(heart);
    const rise = Math.min(620, this.layer.clientHeight * (0.62 + Math.random() * 0.3));
    const animation = heart.animate(path(rise), { duration: 2_300 + Math.random() * 1_300, easing: 'cubic-bezier(.25,.5,.6,1)' });
    animation.onfinish = (): void => {
      heart.remove();
      this.spare.push(heart);
      this.aloft -= 1;
    };
  }

  private build(): HTMLElement {
    const heart = make('div', 'heart');
    heart.append(icon('heart'));
    return heart;
  }
}

/** A way up: a little to the side, swaying, smaller in the end. */
function path(rise: number): Keyframe[] {
  const drift = (Math.random() - 0.72) * 64;
  const sway = 9 + Math.random() * 15;
  const phase = Math.random() * Math.PI * 2;
  const tilt = (Math.random() - 0.5) * 34;
  const size = 0.82 + Math.random() * 0.4;
  const frames: Keyframe[] = [{ offset: 0, opacity: 0, transform: `translate3d(0,6px,0) scale(.2)` }];
  for (let i = 1; i <= STEPS; i += 1) {
    const at = i / STEPS;
    const x = drift * at + Math.sin(phase + at * Math.PI * 2.4) * sway * Math.min(1, at * 2);
    const scale = at < 0.3 ? size : size * (1.08 - at * 0.28);
    frames.push({
      offset: 0.08 + 0.92 * at - (i === 1 ? 0.06 : 0),
      opacity: at < 0.5 ? 1 : Math.max(0, (1 - at) * 2),
      transform: `translate3d(${x.toFixed(1)}px,${(-rise * at).toFixed(1)}px,0) rotate(${(tilt * at).toFixed(1)}deg) scale(${scale.toFixed(2)})`,
    });
  }
  frames[STEPS] = { ...frames[STEPS], offset: 1 };
  return frames;
}
