// <nearcast-player src="/live/ID/index.m3u8" controls>: the player as an element, with controls that keep out of the way.
//
// In → Out: attributes and gestures → a Player; its events → DOM events of the same names, and what the viewer sees.
// The element shows states, it decides none: everything comes from the player or the media element.
// Spec: HTML, "Custom elements"; Fullscreen; Picture-in-Picture.

import { buildView, setIcon, type View } from './element_view.ts';
import { QualityMenu } from './quality_menu.ts';
import { Player, type PlayerEvents, type Stats, type Status } from './player.ts';

/** What the viewer reads while there is no moving picture. */
export const MESSAGES: Record<Status, string> = {
  connecting: '',
  playing: '',
  buffering: '',
  paused: '',
  blocked: '',
  away: 'The broadcaster is away for a moment. The picture comes back by itself.',
  offline: 'Nothing is live here right now. It starts by itself when the broadcast begins.',
  ended: 'This broadcast has ended.',
  unreachable: 'The server cannot be reached. Trying again…',
  failed: 'This browser cannot play the broadcast.',
};

/** What the badge says when it is not "Live". */
const BADGES: Partial<Record<Status, string>> = { away: 'Away', ended: 'Ended', paused: 'Paused' };

const IDLE_AFTER_MS = 2_600;
const BADGE_EVERY_MS = 250;
const POSTER_AFTER_MS = 800;
const FORWARDED = ['status', 'firstframe', 'stall', 'muted', 'renditions', 'rendition', 'error'] as const;

/** The custom element. Attributes: src, controls, muted, hotkeys, latency, message, poster, rendition, datasaver. */
export class NearcastPlayerElement extends HTMLElement {
  static readonly observedAttributes = ['src', 'latency', 'message'];

  /** The player behind the element; null without `src` or while not in a document. */
  player: Player | null = null;
  private readonly view: View;
  private readonly menu: QualityMenu;
  private ac: AbortController | null = null;
  private idleTimer: ReturnType<typeof setTimeout> | undefined;
  private badgeTimer: ReturnType<typeof setInterval> | undefined;
  private posterTimer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this.view = buildView(this.attachShadow({ mode: 'open' }));
    this.menu = new QualityMenu(this.view.quality, this.view.menu, {
      choose: (choice) => this.player?.setRendition(choice),
      saveData: (on) => {
        if (this.player) this.player.dataSaver = on;
      },
    });
  }

  /** The media element inside, for those who need more than this element offers. */
  get video(): HTMLVideoElement {
    return this.view.video;
  }

  /** Figures of this moment; null while nothing is loaded. */
  stats(): Stats | null {
    return this.player?.stats() ?? null;
  }

  connectedCallback(): void {
    this.ac = new AbortController();
    this.listen(this.ac.signal);
    this.view.pip.hidden = !document.pictureInPictureEnabled;
    this.view.full.hidden = !document.fullscreenEnabled && !('webkitEnterFullscreen' in this.video);
    this.load();
    this.stir();
  }

  disconnectedCallback(): void {
    this.ac?.abort();
    this.ac = null;
    clearTimeout(this.idleTimer);
    this.unload();
  }

  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (!this.ac || before === now) return;
    if (name === 'src') this.load();
    else this.show();
  }

  private load(): void {
    this.unload();
    const src = this.getAttribute('src');
    if (src === null || src === '') return;
    const player = new Player(this.video, src, {
      muted: this.hasAttribute('muted'),
      ...(this.hasAttribute('rendition') && { rendition: this.getAttribute('rendition') ?? 'auto' }),
      ...(this.hasAttribute('datasaver') && { dataSaver: true }),
    });
    this.player = player;
    this.showPosterSoon();
    player.on('firstframe', () => this.hidePoster());
    for (const name of FORWARDED) {
      player.on(name, (detail: PlayerEvents[typeof name]) => {
        this.dispatchEvent(new CustomEvent(name, { detail }));
        this.show();
      });
    }
    player.on('muted', () => {
      this.view.unmute.hidden = false;
    });
    this.show();
  }

  private unload(): void {
    this.player?.destroy();
    this.player = null;
    this.menu.close(false);
    this.hidePoster();
    clearInterval(this.badgeTimer);
    this.badgeTimer = undefined;
  }

  /** Only where the first picture takes its time: nothing may compete with it. */
  private showPosterSoon(): void {
    clearTimeout(this.posterTimer);
    const { poster } = this.view;
    this.posterTimer = setTimeout(() => {
      const src = this.getAttribute('poster');
      if (!src || this.player?.status !== 'connecting') return;
      poster.onload = () => {
        poster.hidden = this.player?.stats().join.firstFrameMs !== null;
      };
      poster.src = src;
    }, POSTER_AFTER_MS);
  }

  private hidePoster(): void {
    clearTimeout(this.posterTimer);
    this.view.poster.hidden = true;
    this.view.poster.onload = null;
    this.view.poster.removeAttribute('src');
  }

  private listen(signal: AbortSignal): void {
    const root = this.view.state.getRootNode() as ShadowRoot;
    root.addEventListener('click', (event) => this.clicked(event as MouseEvent), { signal });
    this.video.addEventListener('dblclick', () => this.toggleFull(), { signal });
    this.video.addEventListener('volumechange', () => this.show(), { signal });
    this.view.volume.addEventListener('input', () => {
      this.video.volume = Number(this.view.volume.value);
      this.video.muted = this.video.volume === 0;
    }, { signal });
    document.addEventListener('pointerdown', (event) => {
      const path = event.composedPath();
      if (!path.includes(this.view.menu) && !path.includes(this.view.quality)) this.menu.close(false);
    }, { signal });
    for (const name of ['pointermove', 'focusin', 'pointerdown']) {
      this.addEventListener(name, (event) => this.stir(event), { signal });
    }
    this.addEventListener('pointerleave', () => this.rest(), { signal });
    const keys = this.hasAttribute('hotkeys') ? document : this;
    keys.addEventListener('keydown', (event) => this.pressed(event as KeyboardEvent), { signal });
  }

  private clicked(event: MouseEvent): void {
    const target = event.target instanceof Element ? event.target.closest('[data-do]') : null;
    const action = target?.getAttribute('data-do');
    if (action === 'play') this.togglePlay();
    else if (action === 'mute') this.toggleMute();
    else if (action === 'latency') this.toggleAttribute('latency');
    else if (action === 'full') this.toggleFull();
    else if (action === 'pip') void this.togglePip();
    // "Tap for sound" holds for the whole picture.
    else if (event.target === this.video && !this.view.unmute.hidden) this.toggleMute();
  }

  private pressed(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const origin = event.composedPath()[0];
    if (origin instanceof Element && origin.closest('input, textarea, select, [contenteditable]')) return;
    // Space on a focused button presses that button.
    if (event.key === ' ' && origin instanceof Element && origin.closest('button, a')) return;
    const actions: Record<string, () => void> = {
      ' ': () => this.togglePlay(),
      k: () => this.togglePlay(),
      m: () => this.toggleMute(),
      f: () => this.toggleFull(),
      l: () => this.toggleAttribute('latency'),
    };
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
    this.stir(event);
  }

  private togglePlay(): void {
    if (!this.player) return;
    if (this.player.status === 'paused' || this.player.status === 'blocked') void this.player.play();
    else this.player.pause();
  }

  private toggleMute(): void {
    this.video.muted = !this.video.muted;
    if (!this.video.muted && this.video.volume === 0) this.video.volume = 1;
    this.view.unmute.hidden = true;
    this.show();
  }

  private toggleFull(): void {
    const video = this.video as HTMLVideoElement & { webkitEnterFullscreen?: () => void };
    if (document.fullscreenElement) void document.exitFullscreen();
    // Only the element itself can be enlarged on iPhones.
    else if (!document.fullscreenEnabled) video.webkitEnterFullscreen?.();
    else void (this.closest('[data-fullscreen]') ?? this).requestFullscreen().catch(() => undefined);
  }

  private async togglePip(): Promise<void> {
    try {
      if (document.pictureInPictureElement) await document.exitPictureInPicture();
      else await this.video.requestPictureInPicture();
    } catch {
      // Refused by the viewer or the browser; nothing has changed.
    }
  }

  /** Something moved: show the controls, and let them go later. */
  private stir(event?: Event): void {
    const touch = event instanceof PointerEvent && event.pointerType === 'touch';
    const onPicture = event?.composedPath()[0] === this.video;
    if (touch && event.type === 'pointermove') return;
    if (touch && onPicture && !this.hasAttribute('idle') && this.player?.status === 'playing') {
      this.rest();
      return;
    }
    this.removeAttribute('idle');
    clearTimeout(this.idleTimer);
    this.idleTimer = setTimeout(() => this.rest(), IDLE_AFTER_MS);
  }

  private rest(): void {
    const focused = (this.view.state.getRootNode() as ShadowRoot).activeElement;
    if (this.player?.status !== 'playing' || this.menu.isOpen || focused?.matches(':focus-visible')) return;
    this.setAttribute('idle', '');
  }

  /** Brings everything visible in line with the player and the media element. */
  private show(): void {
    const status = this.player?.status ?? 'connecting';
    if (this.getAttribute('status') !== status) {
      this.setAttribute('status', status);
      this.stir();
    }
    const { view, video } = this;
    const stopped = status === 'paused' || status === 'blocked';
    setIcon(view.play, stopped ? 'play' : 'pause', stopped ? 'Play (space)' : 'Pause (space)');
    setIcon(view.mute, video.muted ? 'silent' : 'sound', video.muted ? 'Unmute (M)' : 'Mute (M)');
    view.volume.value = String(video.muted ? 0 : video.volume);
    if (!video.muted) view.unmute.hidden = true;
    view.start.hidden = !stopped;
    view.start.classList.toggle('small', status === 'paused');
    view.live.textContent = BADGES[status] ?? 'Live';
    const waiting = status === 'connecting' || status === 'buffering';
    const message = waiting || stopped || status === 'playing' ? '' : (this.getAttribute('message') ?? MESSAGES[status]);
    if (view.message.textContent !== message) view.message.textContent = message;
    view.state.classList.toggle('on', waiting || message !== '');
    view.state.classList.toggle('now', message !== '');
    view.state.classList.toggle('veil', message !== '');
    view.state.classList.toggle('calm', status === 'away' || status === 'offline' || status === 'unreachable');
    view.state.classList.toggle('still', status === 'ended' || status === 'failed');
    const { player } = this;
    const { renditions = [], rendition = null, choice = 'auto', dataSaver = false } = player ?? {};
    this.menu.show({ renditions, rendition, choice, dataSaver });
    this.showBadge();
  }

  private showBadge(): void {
    const wanted = this.hasAttribute('latency') && this.player !== null;
    this.view.badge.setAttribute('aria-pressed', String(wanted));
    if (wanted && this.badgeTimer === undefined) {
      this.badgeTimer = setInterval(() => this.showBadge(), BADGE_EVERY_MS);
    } else if (!wanted) {
      clearInterval(this.badgeTimer);
      this.badgeTimer = undefined;
    }
    const latencyMs = wanted ? this.stats()?.latencyMs : null;
    const known = latencyMs !== null && latencyMs !== undefined;
    this.view.delay.textContent = !wanted ? '' : known ? `${(latencyMs / 1000).toFixed(2)} s` : '– s';
  }
}

if (!customElements.get('nearcast-player')) customElements.define('nearcast-player', NearcastPlayerElement);

declare global {
  interface HTMLElementTagNameMap {
    'nearcast-player': NearcastPlayerElement;
  }
}
