// What <nearcast-player> looks like: its shadow tree and its style sheet.
//
// In → Out: nothing → a fresh tree with its named parts, styled without any inline style (strict CSP).
// Spec: HTML, "template"; CSSOM, "Constructable stylesheets"; WAI-ARIA, "button", "status".

const ICONS = {
  play: 'M8 5.5v13a.8.8 0 0 0 1.2.7l10.2-6.5a.8.8 0 0 0 0-1.4L9.2 4.8A.8.8 0 0 0 8 5.5z',
  pause: 'M7 5h3.2v14H7zM13.8 5H17v14h-3.2z',
  sound: 'M4 9.5v5h3.2l4.3 3.8V5.7L7.2 9.5H4zm11.2-1.3a5 5 0 0 1 0 7.6l1 1.2a6.6 6.6 0 0 0 0-10l-1 1.2z',
  silent: 'M4 9.5v5h3.2l4.3 3.8V5.7L7.2 9.5H4zm10.3-.2 1.1-1.1 2.1 2.1 2.1-2.1 1.1 1.1-2.1 2.1 2.1 2.1-1.1 1.1-2.1-2.1-2.1 2.1-1.1-1.1 2.1-2.1z',
  pip: 'M4 5h16a1 1 0 0 1 1 1v5.5h-1.8V6.8H4.8v10.4H11V19H4a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1zm9 8.5h8V19h-8z',
  quality: 'M4 7.1h8.3a2.6 2.6 0 0 1 5 0H20v1.8h-2.7a2.6 2.6 0 0 1-5 0H4zm0 8h2.7a2.6 2.6 0 0 1 5 0H20v1.8h-8.3a2.6 2.6 0 0 1-5 0H4z',
  full: 'M5 9.5V5h4.5v1.8H6.8v2.7zm9.5-4.5H19v4.5h-1.8V6.8h-2.7zM5 14.5h1.8v2.7h2.7V19H5zm12.2 0H19V19h-4.5v-1.8h2.7z',
} as const;

/** Name of an icon of the player. */
export type IconName = keyof typeof ICONS;

/** The path of an icon, for an SVG of 24 × 24. */
export function iconPath(name: IconName): string {
  return ICONS[name];
}

function icon(name: IconName): string {
  return `<svg viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="${ICONS[name]}"/></svg>`;
}

function button(part: string, name: IconName, label: string): string {
  return `<button type="button" part="button ${part}" data-do="${part}" aria-label="${label}" title="${label}">${icon(name)}</button>`;
}

const TREE = `
<video part="video" playsinline></video>
<img class="poster" part="poster" alt="" hidden>
<div class="shade" part="shade"></div>
<div class="state" part="state" role="status" aria-live="polite"><span class="pulse"></span><p class="message"></p></div>
<button type="button" class="start" part="start" data-do="play" aria-label="Play" hidden>${icon('play')}</button>
<button type="button" class="unmute" part="unmute" data-do="mute" hidden>${icon('silent')}<span>Tap for sound</span></button>
<div class="top" part="top"><slot name="top"></slot>
  <button type="button" class="badge" part="badge" data-do="latency" aria-pressed="false" title="Show the delay (L)">
    <i></i><span class="live">Live</span><span class="delay" aria-live="off"></span></button></div>
<div class="bottom" part="bottom"><slot name="bottom"></slot>
  <div class="bar" role="toolbar" aria-label="Player">
    ${button('play', 'pause', 'Pause (space)')}${button('mute', 'sound', 'Mute (M)')}
    <input class="volume" type="range" min="0" max="1" step="0.05" value="1" aria-label="Volume">
    <span class="grow"></span>
    <button type="button" class="quality" part="button quality" aria-haspopup="menu" aria-expanded="false" hidden>${icon('quality')}<span></span></button>
    ${button('pip', 'pip', 'Picture in picture')}${button('full', 'full', 'Full screen (F)')}
  </div><div class="menu" part="menu" role="menu" aria-label="Quality" hidden></div></div>`;

// Over a playing picture every effect is paid for with each frame: no blur, no filter, and what is not seen is hidden.
const STYLE = `
:host { container-type: size; --accent: var(--nearcast-accent, #ff3b5c); display: block; position: relative; overflow: hidden;
  background: #000; color: #fff; font: 500 15px/1.35 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  -webkit-tap-highlight-color: transparent; user-select: none; }
:host([hidden]) { display: none; }
video { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: var(--nearcast-fit, contain); }
[hidden] { display: none !important; }
.poster { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: var(--nearcast-fit, contain); }
.shade, .top, .bottom { position: absolute; left: 0; right: 0; transition: opacity .25s, visibility .25s; }
.shade { inset: 0; pointer-events: none;
  background: linear-gradient(#000a, #0000 22%, #0000 74%, #000b); }
.top, .bottom { padding: 14px; padding-left: max(14px, env(safe-area-inset-left)); padding-right: max(14px, env(safe-area-inset-right)); }
.top { top: 0; padding-top: max(14px, env(safe-area-inset-top)); display: flex; align-items: flex-start; gap: 12px; pointer-events: none; }
.top ::slotted(*) { flex: 1 1 auto; min-width: 0; }
.bottom { bottom: 0; padding-bottom: max(10px, env(safe-area-inset-bottom)); }
.top > *, .bar > * { pointer-events: auto; }
.bar { display: flex; align-items: center; gap: 4px; }
.grow { flex: 1; }
button { all: unset; box-sizing: border-box; cursor: pointer; color: inherit; }
.bar button { width: 44px; height: 44px; display: grid; place-items: center; border-radius: 50%; transition: background .15s; }
.bar button:hover { background: #fff2; }
.bar .quality { width: auto; min-width: 44px; padding: 0 10px; display: flex; gap: 5px; border-radius: 22px; font-size: 13px; font-weight: 650; }
.menu { position: absolute; right: max(14px, env(safe-area-inset-right)); bottom: 100%; min-width: 224px; max-width: calc(100% - 28px); box-sizing: border-box;
  max-height: 60vh; max-height: min(430px, calc(100cqh - 84px)); overflow: auto; overscroll-behavior: contain; padding: 6px; border-radius: 14px; background: #141417f5; box-shadow: 0 8px 40px #000a; }
.menu button { display: flex; align-items: baseline; gap: 16px; width: 100%; min-height: 44px; padding: 11px 14px 11px 36px; border-radius: 10px; position: relative; }
.menu button:hover, .menu button:focus-visible { background: #fff2; }
.menu small { margin-left: auto; font-size: 13px; opacity: .72; font-variant-numeric: tabular-nums; white-space: nowrap; }
.menu [aria-checked=true]::before { content: "✓"; position: absolute; left: 14px; color: var(--accent); font-weight: 700; }
.menu [role=menuitemcheckbox] { margin-top: 6px; }
.menu [role=menuitemcheckbox]::after { content: ""; position: absolute; left: 8px; right: 8px; top: -3px; border-top: 1px solid #fff2; }
svg { width: 26px; height: 26px; fill: currentColor; display: block; }
:is(button, input):focus-visible { outline: 2px solid #fff; outline-offset: 2px; }
.volume { width: 84px; height: 24px; margin: 0; accent-color: #fff; background: none; opacity: .9; }
.badge { margin-left: auto; flex: none; display: inline-flex; align-items: center; gap: 7px; padding: 5px 11px 5px 9px; border-radius: 999px;
  background: #0009; font-size: 13px; font-weight: 650; letter-spacing: .02em; white-space: nowrap; }
.badge i { width: 8px; height: 8px; border-radius: 50%; background: #8b8b93; }
:host([status=playing]) .badge i { background: var(--accent); }
.badge .delay { font-variant-numeric: tabular-nums; font-weight: 550; opacity: .92; }
.badge .delay:empty { display: none; }
.state { position: absolute; inset: 0; display: grid; place-content: center; justify-items: center; gap: 14px; padding: 24px;
  text-align: center; pointer-events: none; opacity: 0; visibility: hidden; }
.state.on { opacity: 1; visibility: visible; transition: opacity .3s .35s; }
.state.on.now { transition-delay: 0s; }
.state .message { margin: 0; max-width: 24em; font-size: 17px; text-wrap: balance; text-shadow: 0 1px 8px #000c; }
.state .message:empty { display: none; }
.state.veil { background: radial-gradient(ellipse at center, #000a, #0006); }
.pulse { width: 34px; height: 34px; border-radius: 50%; border: 3px solid #fff3; border-top-color: #fff; }
.state.on .pulse { animation: turn .9s linear infinite; }
.state.calm .pulse { width: 12px; height: 12px; border: 0; background: var(--accent); }
.state.on.calm .pulse { animation: breathe 2.4s ease-in-out infinite; }
.state.still .pulse { display: none; }
.start { position: absolute; inset: 0; margin: auto; width: 84px; height: 84px; border-radius: 50%; display: grid; place-items: center;
  background: #fffffff0; color: #111; box-shadow: 0 8px 40px #0008; }
.start svg { width: 44px; height: 44px; }
.start.small { width: 68px; height: 68px; background: #000b; color: #fff; }
.start.small svg { width: 36px; height: 36px; }
.unmute { position: absolute; left: 50%; bottom: calc(72px + env(safe-area-inset-bottom)); transform: translateX(-50%);
  display: inline-flex; align-items: center; gap: 8px; padding: 10px 18px 10px 12px; border-radius: 999px; background: #fffffff2; color: #111;
  font-weight: 650; white-space: nowrap; box-shadow: 0 6px 28px #0007; }
:host(:not([controls])) :is(.top, .bottom, .shade) { display: none; }
:host(:is([status=offline], [status=ended], [status=unreachable], [status=failed])) :is(.bar, .unmute) { display: none; }
:host(:not([status])) .badge, :host(:is([status=connecting], [status=offline], [status=unreachable], [status=failed])) .badge { visibility: hidden; }
:host([idle]) :is(.shade, .bottom) { opacity: 0; visibility: hidden; }
:host([idle]) .top ::slotted(*) { opacity: 0; visibility: hidden; transition: opacity .25s, visibility .25s; }
:host([idle]:not([latency])) .badge { opacity: 0; visibility: hidden; transition: opacity .25s, visibility .25s; }
:host([idle]) { cursor: none; }
@media (hover: none), (max-width: 480px) { .volume { display: none; } }
@keyframes turn { to { transform: rotate(1turn); } }
@keyframes breathe { 50% { opacity: .25; transform: scale(.8); } }
@media (prefers-reduced-motion: reduce) { *, .pulse { transition: none !important; animation: none !important; } }
`;

let sheet: CSSStyleSheet | null = null;

/** Named parts of one tree. */
export interface View {
  video: HTMLVideoElement;
  state: HTMLElement;
  message: HTMLElement;
  start: HTMLButtonElement;
  live: HTMLElement;
  unmute: HTMLButtonElement;
  badge: HTMLButtonElement;
  delay: HTMLElement;
  play: HTMLButtonElement;
  mute: HTMLButtonElement;
  volume: HTMLInputElement;
  pip: HTMLButtonElement;
  full: HTMLButtonElement;
  quality: HTMLButtonElement;
  menu: HTMLElement;
  poster: HTMLImageElement;
}

/** Fills `root` with the player's tree. */
export function buildView(root: ShadowRoot): View {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
  }
  root.adoptedStyleSheets = [sheet];
  const template = document.createElement('template');
  template.innerHTML = TREE;
  root.append(template.content.cloneNode(true));
  const find = <E extends Element>(selector: string): E => {
    const found = root.querySelector<E>(selector);
    if (!found) throw new Error(`the player's tree has no ${selector}`);
    return found;
  };
  return {
    video: find('video'), state: find('.state'), message: find('.message'), start: find('.start'), live: find('.live'),
    unmute: find('.unmute'), badge: find('.badge'), delay: find('.delay'), play: find('.bar [data-do=play]'),
    mute: find('.bar [data-do=mute]'), volume: find('.volume'), pip: find('[data-do=pip]'), full: find('[data-do=full]'),
    quality: find('.quality'), menu: find('.menu'), poster: find('.poster'),
  };
}

/** Shows another icon and label on a button. */
export function setIcon(target: HTMLButtonElement, name: IconName, label: string): void {
  const path = target.querySelector('path');
  if (path && path.getAttribute('d') !== ICONS[name]) path.setAttribute('d', ICONS[name]);
  if (target.title === label) return;
  target.title = label;
  target.setAttribute('aria-label', label);
}
