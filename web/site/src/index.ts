// The home page: who is live now. It refreshes itself.
//
// In → Out: the API's list of broadcasts → cards with recent pictures, longest-watched first; the same cards are kept while they live.
// A card that is hovered or touched shows a few moving seconds.
// Spec: `/api/v1/openapi.json`, "broadcasts".

import { type Broadcast, listBroadcasts, repeat } from './api.ts';
import { age, hue, short, watching } from './words.ts';

const EVERY_MS = 3_000;
const CARDS_MAX = 200;
/** A picture is asked for again after so long; all viewers ask for the same address within it, so that caches can hold it. */
const PICTURE_EVERY_MS = 10_000;

interface Card {
  item: HTMLLIElement;
  link: HTMLAnchorElement;
  title: HTMLElement;
  facts: HTMLElement;
  picture: HTMLElement;
  thumb: HTMLImageElement;
  preview: string | null;
  pill: HTMLElement;
  crowd: HTMLElement;
}

const cards = new Map<string, Card>();

function start(): void {
  const list = document.querySelector('.cards');
  const count = document.querySelector('.count');
  const empty = document.querySelector<HTMLElement>('.empty');
  if (!list || !count || !empty) return;
  repeat(async () => {
    const all = await listBroadcasts();
    const shown = (all ?? [])
      .filter((one) => one.state === 'live' || one.state === 'reconnecting')
      .sort((a, b) => b.viewers - a.viewers || (a.since ?? '').localeCompare(b.since ?? '') || a.id.localeCompare(b.id))
      .slice(0, CARDS_MAX);
    if (all !== null || cards.size === 0) arrange(list, shown);
    showEmpty(empty, all === null, shown.length);
    const text = all === null || shown.length === 0 ? '' : shown.length === 1 ? 'One broadcast' : `${shown.length} broadcasts`;
    if (count.textContent !== text) count.textContent = text;
    return EVERY_MS;
  });
}

/** Keeps a card for each broadcast, in order, moving as few as possible. */
function arrange(list: Element, shown: Broadcast[]): void {
  const present = new Set(shown.map((one) => one.id));
  for (const [id, card] of cards) {
    if (present.has(id)) continue;
    card.item.remove();
    cards.delete(id);
  }
  shown.forEach((broadcast, index) => {
    const card = cards.get(broadcast.id) ?? build(broadcast.id);
    cards.set(broadcast.id, card);
    fill(card, broadcast);
    if (list.children[index] !== card.item) list.insertBefore(card.item, list.children[index] ?? null);
  });
}

function build(id: string): Card {
  const make = <K extends keyof HTMLElementTagNameMap>(tag: K, className: string): HTMLElementTagNameMap[K] => {
    const element = document.createElement(tag);
    element.className = className;
    return element;
  };
  const item = make('li', 'card');
  const link = make('a', 'link');
  const picture = make('div', 'picture');
  // A colour of its own until there are thumbnails; set through the object model, which a strict CSP allows.
  picture.style.setProperty('--hue', String(hue(id)));
  const letter = make('span', 'letter');
  letter.ariaHidden = 'true';
  letter.textContent = [...id][0]?.toUpperCase() ?? '';
  const thumb = make('img', 'thumb');
  thumb.alt = '';
  thumb.decoding = 'async';
  thumb.addEventListener('load', () => thumb.classList.add('on'));
  thumb.addEventListener('error', () => thumb.classList.remove('on'));
  const pill = make('span', 'pill');
  const crowd = make('span', 'crowd');
  const title = make('h2', 'title');
  const facts = make('p', 'facts');
  picture.append(letter, thumb, pill, crowd);
  link.append(picture, title, facts);
  item.append(link);
  const card: Card = { item, link, title, facts, picture, thumb, preview: null, pill, crowd };
  offerPreview(card);
  return card;
}

/** A few moving seconds for whoever points at a card or touches it. */
function offerPreview({ item, link, picture }: Card): void {
  let moving: HTMLImageElement | null = null;
  const begin = (): void => {
    const url = cards.get(item.dataset['id'] ?? '')?.preview;
    if (moving || !url || matchMedia('(prefers-reduced-motion: reduce)').matches) return;
    const image = document.createElement('img');
    moving = image;
    image.className = 'thumb';
    image.alt = '';
    image.addEventListener('load', () => image.classList.add('on'));
    image.src = `${url}?at=${Math.floor(Date.now() / PICTURE_EVERY_MS)}`;
    picture.querySelector('.thumb')?.after(image);
  };
  const end = (): void => {
    moving?.remove();
    moving = null;
  };
  for (const name of ['pointerenter', 'touchstart', 'focus']) link.addEventListener(name, begin, { passive: true });
  for (const name of ['pointerleave', 'touchend', 'touchcancel', 'blur']) link.addEventListener(name, end);
}

function fill(card: Card, broadcast: Broadcast): void {
  const away = broadcast.state === 'reconnecting';
  const began = age(broadcast.since, Date.now());
  card.item.dataset['id'] = broadcast.id;
  card.link.href = broadcast.watchUrl;
  card.preview = broadcast.previewUrl;
  const thumb = broadcast.thumbnailUrl && `${broadcast.thumbnailUrl}?at=${Math.floor(Date.now() / PICTURE_EVERY_MS)}`;
  if (thumb && card.thumb.getAttribute('src') !== thumb) card.thumb.src = thumb;
  if (!thumb) card.thumb.classList.remove('on');
  set(card.title, broadcast.title);
  set(card.pill, away ? 'Away' : 'Live');
  card.pill.classList.toggle('away', away);
  set(card.crowd, broadcast.viewers > 0 ? short(broadcast.viewers) : '');
  card.crowd.title = watching(broadcast.viewers);
  set(card.facts, away ? 'back in a moment' : began === null ? 'live' : began === 'just now' ? 'started just now' : `live for ${began}`);
}

function set(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

function showEmpty(empty: HTMLElement, unreachable: boolean, shown: number): void {
  empty.hidden = shown > 0 || (unreachable && cards.size > 0);
  const [heading, words] = [empty.querySelector('h2'), empty.querySelector('p')];
  if (!heading || !words) return;
  set(heading, unreachable ? 'The server cannot be reached' : 'Nobody is live right now');
  set(words, unreachable
    ? 'Trying again every few seconds.'
    : 'Go live with OBS, ffmpeg or any RTMP encoder, and it appears here by itself.');
}

start();
