// Elements without markup: text is inserted as text, icons as paths.
//
// In → Out: names, classes, words → elements.
// Spec: DOM, "createElement"; SVG 2, "path".

const SVG = 'http://www.w3.org/2000/svg';

/** Paths of icons, for a box of 24 × 24. */
export const ICONS = {
  heart: 'M12 20.7 4.6 13.4a5.1 5.1 0 0 1 0-7.2 5 5 0 0 1 7.1 0l.3.3.3-.3a5 5 0 0 1 7.1 7.2z',
  send: 'M4.2 19.6 20.6 12 4.2 4.4l2 6.5 7.6 1.1-7.6 1.1z',
  chat: 'M5 4h14a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2h-7l-5 4v-4H5a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2z',
  silent: 'M3.6 2.3 21.7 20.4l-1.3 1.3-4.7-4.7H12l-5 4v-4H5a2 2 0 0 1-2-2V6c0-.5.2-.9.4-1.2L2.3 3.6zM19 4a2 2 0 0 1 2 2v9c0 .8-.5 1.5-1.1 1.8L7.2 4z',
  pin: 'M9 3h6l-.7 6.3L17.5 13v1.5H13V21l-1 1-1-1v-6.5H6.5V13l3.2-3.7z',
  more: 'M6 10.3a1.7 1.7 0 1 1 0 3.4 1.7 1.7 0 0 1 0-3.4zm6 0a1.7 1.7 0 1 1 0 3.4 1.7 1.7 0 0 1 0-3.4zm6 0a1.7 1.7 0 1 1 0 3.4 1.7 1.7 0 0 1 0-3.4z',
  trash: 'M9 3h6l1 2h4v1.8H4V5h4zM5.8 8.5h12.4l-.9 11a1.7 1.7 0 0 1-1.7 1.5H8.4a1.7 1.7 0 0 1-1.7-1.5z',
  block: 'M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zm-5.6 4.7a7.1 7.1 0 0 0 9.9 9.9zm1.3-1.3 9.9 9.9A7.1 7.1 0 0 0 7.7 6.4z',
} as const;

/** An element with a class and, if given, text. */
export function make<K extends keyof HTMLElementTagNameMap>(tag: K, className = '', text = ''): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className !== '') element.className = className;
  if (text !== '') element.textContent = text;
  return element;
}

/** An icon that screen readers skip. */
export function icon(name: keyof typeof ICONS): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button that says what it does. */
export function button(className: string, label: string, content: Node | string, act: () => void): HTMLButtonElement {
  const element = make('button', className);
  element.type = 'button';
  element.append(content);
  if (content !== label) {
    element.setAttribute('aria-label', label);
    element.title = label;
  }
  element.addEventListener('click', act);
  return element;
}

/** Changes a text only if it differs: screen readers hear every change. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Whether the viewer wants little motion. */
export function calm(): boolean {
  return matchMedia('(prefers-reduced-motion: reduce)').matches;
}

/** What the browser keeps for this site; null when it does not. */
export function storage(kind: 'localStorage' | 'sessionStorage'): Storage | null {
  try {
    return window[kind];
  } catch {
    return null;
  }
}

/** A stored value, or null. */
export function recall(kind: 'localStorage' | 'sessionStorage', key: string): string | null {
  try {
    return storage(kind)?.getItem(key) ?? null;
  } catch {
    return null;
  }
}

/** Stores a value, or removes it; a store that is full or off costs the memory of it, nothing else. */
export function keep(kind: 'localStorage' | 'sessionStorage', key: string, value: string | null): void {
  try {
    if (value === null) storage(kind)?.removeItem(key);
    else storage(kind)?.setItem(key, value);
  } catch {
    // Nothing depends on it.
  }
}
